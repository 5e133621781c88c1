CREATE TABLE "checkpoint_values" (
	"owner_id" text COLLATE "C" DEFAULT '' NOT NULL,
	"thread_id" text COLLATE "C" NOT NULL,
	"namespace" text COLLATE "C" NOT NULL,
	"channel" text COLLATE "C" NOT NULL,
	"version" text COLLATE "C" NOT NULL,
	"type" text COLLATE "C" NOT NULL,
	"data" "bytea" NOT NULL,
	CONSTRAINT "checkpoint_values_pk" PRIMARY KEY("owner_id","thread_id","namespace","channel","version")
);
--> statement-breakpoint
CREATE TABLE "checkpoint_writes" (
	"owner_id" text COLLATE "C" DEFAULT '' NOT NULL,
	"thread_id" text COLLATE "C" NOT NULL,
	"namespace" text COLLATE "C" NOT NULL,
	"checkpoint_id" text COLLATE "C" NOT NULL,
	"task_id" text COLLATE "C" NOT NULL,
	"index" integer NOT NULL,
	"task_path" text COLLATE "C" NOT NULL,
	"channel" text COLLATE "C" NOT NULL,
	"type" text COLLATE "C" NOT NULL,
	"data" "bytea" NOT NULL,
	CONSTRAINT "checkpoint_writes_pk" PRIMARY KEY("owner_id","thread_id","namespace","checkpoint_id","task_id","index")
);
--> statement-breakpoint
CREATE TABLE "checkpoints" (
	"owner_id" text COLLATE "C" DEFAULT '' NOT NULL,
	"thread_id" text COLLATE "C" NOT NULL,
	"namespace" text COLLATE "C" NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"parent_id" text COLLATE "C",
	"metadata" json NOT NULL,
	"versions" json NOT NULL,
	"ancestors" integer NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"type" text COLLATE "C" NOT NULL,
	"data" "bytea" NOT NULL,
	CONSTRAINT "checkpoints_owner_id_thread_id_namespace_id_pk" PRIMARY KEY("owner_id","thread_id","namespace","id")
);
