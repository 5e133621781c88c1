CREATE TABLE "kv" (
	"key" text COLLATE "C" PRIMARY KEY NOT NULL,
	"value" json,
	"version" integer NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "list_items" (
	"key" text COLLATE "C" NOT NULL,
	"position" integer NOT NULL,
	"value" json,
	CONSTRAINT "list_items_key_position_pk" PRIMARY KEY("key","position")
);
--> statement-breakpoint
CREATE TABLE "lists" (
	"key" text COLLATE "C" PRIMARY KEY NOT NULL,
	"length" integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE "messages" (
	"session_id" text COLLATE "C" NOT NULL,
	"seq" integer NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"role" text COLLATE "C" NOT NULL,
	"content" json,
	"metadata" json NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "messages_session_id_seq_pk" PRIMARY KEY("session_id","seq")
);
--> statement-breakpoint
CREATE TABLE "properties" (
	"name" text COLLATE "C" PRIMARY KEY NOT NULL,
	"value" text COLLATE "C" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sessions" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"title" text COLLATE "C",
	"owner_id" text COLLATE "C",
	"metadata" json NOT NULL,
	"version" integer NOT NULL,
	"parent_id" text COLLATE "C",
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone,
	"last_seq" integer NOT NULL,
	"message_count" integer NOT NULL,
	"last_active_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "list_items" ADD CONSTRAINT "list_items_key_lists_key_fk" FOREIGN KEY ("key") REFERENCES "public"."lists"("key") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "messages" ADD CONSTRAINT "messages_session_id_sessions_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."sessions"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "kv_expiry" ON "kv" USING btree ("expires_at") WHERE "kv"."expires_at" is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "messages_id" ON "messages" USING btree ("session_id","id");--> statement-breakpoint
CREATE INDEX "sessions_activity" ON "sessions" USING btree ("last_active_at","id");--> statement-breakpoint
CREATE INDEX "sessions_owner_activity" ON "sessions" USING btree ("owner_id","last_active_at","id");--> statement-breakpoint
CREATE INDEX "sessions_expiry" ON "sessions" USING btree ("expires_at") WHERE "sessions"."expires_at" is not null;