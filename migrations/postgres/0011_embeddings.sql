CREATE TABLE "memory_embeddings" (
	"memory_id" text COLLATE "C" NOT NULL,
	"owner_id" text COLLATE "C" DEFAULT '' NOT NULL,
	"model" text COLLATE "C" NOT NULL,
	"text_hash" text COLLATE "C" NOT NULL,
	"vector" "bytea",
	CONSTRAINT "memory_embeddings_memory_id_model_pk" PRIMARY KEY("memory_id","model")
);
--> statement-breakpoint
CREATE TABLE "message_embeddings" (
	"session_id" text COLLATE "C" NOT NULL,
	"owner_id" text COLLATE "C" DEFAULT '' NOT NULL,
	"seq" integer NOT NULL,
	"model" text COLLATE "C" NOT NULL,
	"text_hash" text COLLATE "C" NOT NULL,
	"vector" "bytea",
	CONSTRAINT "message_embeddings_session_id_owner_id_seq_model_pk" PRIMARY KEY("session_id","owner_id","seq","model")
);
--> statement-breakpoint
ALTER TABLE "memory_embeddings" ADD CONSTRAINT "memory_embeddings_memory_id_memories_id_fk" FOREIGN KEY ("memory_id") REFERENCES "public"."memories"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "message_embeddings" ADD CONSTRAINT "message_embeddings_message_fk" FOREIGN KEY ("session_id","owner_id","seq") REFERENCES "public"."messages"("session_id","owner_id","seq") ON DELETE cascade ON UPDATE cascade;--> statement-breakpoint
CREATE INDEX "memory_embeddings_owner" ON "memory_embeddings" USING btree ("owner_id","model") WHERE "memory_embeddings"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX "message_embeddings_owner" ON "message_embeddings" USING btree ("owner_id","model") WHERE "message_embeddings"."owner_id" <> '';