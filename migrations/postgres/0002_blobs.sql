CREATE TABLE "blob_content" (
	"hash" text COLLATE "C" PRIMARY KEY NOT NULL,
	"size" bigint NOT NULL,
	"state" text COLLATE "C" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "blob_leases" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"hash" text COLLATE "C" NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "blob_refs" (
	"blob_id" text COLLATE "C" NOT NULL,
	"session_id" text COLLATE "C" NOT NULL,
	"message_id" text COLLATE "C" NOT NULL,
	CONSTRAINT "blob_refs_session_id_message_id_blob_id_pk" PRIMARY KEY("session_id","message_id","blob_id")
);
--> statement-breakpoint
CREATE TABLE "blob_usage" (
	"id" integer PRIMARY KEY NOT NULL,
	"used" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "blobs" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"hash" text COLLATE "C" NOT NULL,
	"name" text COLLATE "C",
	"mime_type" text COLLATE "C" NOT NULL,
	"source" text COLLATE "C",
	"metadata" json NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"last_used_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "maintenance_leases" (
	"step" text COLLATE "C" PRIMARY KEY NOT NULL,
	"holder" text COLLATE "C" NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "blob_refs" ADD CONSTRAINT "blob_refs_blob_id_blobs_id_fk" FOREIGN KEY ("blob_id") REFERENCES "public"."blobs"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "blob_refs" ADD CONSTRAINT "blob_refs_session_id_message_id_messages_session_id_id_fk" FOREIGN KEY ("session_id","message_id") REFERENCES "public"."messages"("session_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "blobs" ADD CONSTRAINT "blobs_hash_blob_content_hash_fk" FOREIGN KEY ("hash") REFERENCES "public"."blob_content"("hash") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "blob_leases_hash" ON "blob_leases" USING btree ("hash");--> statement-breakpoint
CREATE INDEX "blob_leases_expiry" ON "blob_leases" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "blob_refs_blob" ON "blob_refs" USING btree ("blob_id");--> statement-breakpoint
CREATE INDEX "blobs_hash" ON "blobs" USING btree ("hash");--> statement-breakpoint
CREATE INDEX "blobs_created" ON "blobs" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "blobs_source" ON "blobs" USING btree ("source","created_at","id");--> statement-breakpoint
CREATE INDEX "blobs_last_used" ON "blobs" USING btree ("last_used_at");--> statement-breakpoint
CREATE INDEX "blobs_expiry" ON "blobs" USING btree ("expires_at");