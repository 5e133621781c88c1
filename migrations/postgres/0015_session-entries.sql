ALTER TABLE "list_items" DROP CONSTRAINT "list_items_owner_id_key_lists_owner_id_key_fk";
--> statement-breakpoint
ALTER TABLE "kv" ADD COLUMN "session_id" text COLLATE "C";--> statement-breakpoint
ALTER TABLE "lists" ADD COLUMN "session_id" text COLLATE "C";--> statement-breakpoint
ALTER TABLE "kv" ADD CONSTRAINT "kv_session_id_owner_id_sessions_id_owner_id_fk" FOREIGN KEY ("session_id","owner_id") REFERENCES "sessions"("id","owner_id") ON DELETE cascade ON UPDATE cascade;--> statement-breakpoint
ALTER TABLE "list_items" ADD CONSTRAINT "list_items_owner_id_key_lists_owner_id_key_fk" FOREIGN KEY ("owner_id","key") REFERENCES "lists"("owner_id","key") ON DELETE cascade ON UPDATE cascade;--> statement-breakpoint
ALTER TABLE "lists" ADD CONSTRAINT "lists_session_id_owner_id_sessions_id_owner_id_fk" FOREIGN KEY ("session_id","owner_id") REFERENCES "sessions"("id","owner_id") ON DELETE cascade ON UPDATE cascade;--> statement-breakpoint
CREATE INDEX "kv_session" ON "kv" USING btree ("session_id","owner_id") WHERE "kv"."session_id" is not null;--> statement-breakpoint
CREATE INDEX "lists_session" ON "lists" USING btree ("session_id","owner_id") WHERE "lists"."session_id" is not null;