CREATE TABLE "memory_search" (
	"doc" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "memory_search_doc_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"memory_id" text COLLATE "C" NOT NULL,
	"owner_id" text COLLATE "C" DEFAULT '' NOT NULL,
	"generation" integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE "message_search" (
	"doc" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "message_search_doc_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"session_id" text COLLATE "C" NOT NULL,
	"owner_id" text COLLATE "C" DEFAULT '' NOT NULL,
	"seq" integer NOT NULL,
	"role" text COLLATE "C" NOT NULL,
	"generation" integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE "memory_search" ADD CONSTRAINT "memory_search_memory_id_memories_id_fk" FOREIGN KEY ("memory_id") REFERENCES "public"."memories"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "message_search" ADD CONSTRAINT "message_search_message_fk" FOREIGN KEY ("session_id","owner_id","seq") REFERENCES "public"."messages"("session_id","owner_id","seq") ON DELETE cascade ON UPDATE cascade;--> statement-breakpoint
CREATE UNIQUE INDEX "memory_search_memory" ON "memory_search" USING btree ("memory_id");--> statement-breakpoint
CREATE UNIQUE INDEX "message_search_message" ON "message_search" USING btree ("session_id","owner_id","seq");