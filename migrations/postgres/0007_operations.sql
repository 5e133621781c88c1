CREATE TABLE "session_operations" (
	"session_id" text COLLATE "C" NOT NULL,
	"owner_id" text COLLATE "C" DEFAULT '' NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"payload_hash" text COLLATE "C" NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "session_operations_session_id_owner_id_id_pk" PRIMARY KEY("session_id","owner_id","id")
);
--> statement-breakpoint
ALTER TABLE "session_operations" ADD CONSTRAINT "session_operations_session_id_owner_id_sessions_id_owner_id_fk" FOREIGN KEY ("session_id","owner_id") REFERENCES "public"."sessions"("id","owner_id") ON DELETE cascade ON UPDATE cascade;