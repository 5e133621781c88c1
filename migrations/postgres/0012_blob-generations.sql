CREATE TABLE "blob_chunks" (
	"hash" text COLLATE "C" NOT NULL,
	"generation" text COLLATE "C" NOT NULL,
	"start" bigint NOT NULL,
	"stored_at" timestamp (3) with time zone NOT NULL,
	"data" "bytea" NOT NULL,
	CONSTRAINT "blob_chunks_hash_generation_start_pk" PRIMARY KEY("hash","generation","start")
);
--> statement-breakpoint
CREATE TABLE "blob_removals" (
	"hash" text COLLATE "C" NOT NULL,
	"generation" text COLLATE "C" NOT NULL,
	"counted" bigint NOT NULL,
	CONSTRAINT "blob_removals_hash_generation_pk" PRIMARY KEY("hash","generation")
);
--> statement-breakpoint
ALTER TABLE "blob_content" ADD COLUMN "generation" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
-- Not compressed: most blobs are already, and parts of a value can be read without the rest.
ALTER TABLE "blob_chunks" ALTER COLUMN "data" SET STORAGE EXTERNAL;