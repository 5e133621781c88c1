CREATE TABLE "allowed_tools" (
	"scope" text COLLATE "C" NOT NULL,
	"tool" text COLLATE "C" NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "allowed_tools_scope_tool_pk" PRIMARY KEY("scope","tool")
);
--> statement-breakpoint
CREATE TABLE "approval_states" (
	"scope" text COLLATE "C" PRIMARY KEY NOT NULL,
	"state" json,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "approvals" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"session_id" text COLLATE "C",
	"type" text COLLATE "C" NOT NULL,
	"request" json,
	"created_at" timestamp (3) with time zone NOT NULL,
	"decision" text COLLATE "C",
	"response" json,
	"responded_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "events" (
	"seq" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "events_seq_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"id" text COLLATE "C" NOT NULL,
	"type" text COLLATE "C" NOT NULL,
	"session_id" text COLLATE "C",
	"run_id" text COLLATE "C",
	"payload" json,
	"occurred_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "memories" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"content" text COLLATE "C" NOT NULL,
	"source" text COLLATE "C",
	"pinned" boolean NOT NULL,
	"metadata" json NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "memory_tags" (
	"memory_id" text COLLATE "C" NOT NULL,
	"tag" text COLLATE "C" NOT NULL,
	"position" integer NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "memory_tags_memory_id_tag_pk" PRIMARY KEY("memory_id","tag")
);
--> statement-breakpoint
CREATE TABLE "prompts" (
	"name" text COLLATE "C" PRIMARY KEY NOT NULL,
	"content" json,
	"description" text COLLATE "C",
	"metadata" json NOT NULL,
	"version" integer NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "queue_items" (
	"session_id" text COLLATE "C" NOT NULL,
	"queue" text COLLATE "C" NOT NULL,
	"position" integer NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"item" json NOT NULL,
	CONSTRAINT "queue_items_session_id_queue_position_pk" PRIMARY KEY("session_id","queue","position")
);
--> statement-breakpoint
CREATE TABLE "queues" (
	"session_id" text COLLATE "C" NOT NULL,
	"name" text COLLATE "C" NOT NULL,
	"last_position" integer NOT NULL,
	CONSTRAINT "queues_session_id_name_pk" PRIMARY KEY("session_id","name")
);
--> statement-breakpoint
CREATE TABLE "tool_executions" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"run_id" text COLLATE "C" NOT NULL,
	"turn_id" text COLLATE "C" NOT NULL,
	"model_step_id" text COLLATE "C" NOT NULL,
	"tool_call_id" text COLLATE "C" NOT NULL,
	"tool_name" text COLLATE "C" NOT NULL,
	"input" json,
	"status" text COLLATE "C" NOT NULL,
	"output" json,
	"error" json,
	"started_at" timestamp (3) with time zone NOT NULL,
	"finished_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "tool_preferences" (
	"scope" text COLLATE "C" PRIMARY KEY NOT NULL,
	"preferences" json NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "tool_state" (
	"tool" text COLLATE "C" NOT NULL,
	"key" text COLLATE "C" NOT NULL,
	"value" json,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "tool_state_tool_key_pk" PRIMARY KEY("tool","key")
);
--> statement-breakpoint
CREATE TABLE "workspaces" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"path" text COLLATE "C" NOT NULL,
	"name" text COLLATE "C",
	"metadata" json NOT NULL,
	"is_current" boolean NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "memory_tags" ADD CONSTRAINT "memory_tags_memory_id_memories_id_fk" FOREIGN KEY ("memory_id") REFERENCES "public"."memories"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "queue_items" ADD CONSTRAINT "queue_items_session_id_queue_queues_session_id_name_fk" FOREIGN KEY ("session_id","queue") REFERENCES "public"."queues"("session_id","name") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "approvals_pending" ON "approvals" USING btree ("session_id","created_at","id") WHERE "approvals"."responded_at" is null;--> statement-breakpoint
CREATE INDEX "approvals_session" ON "approvals" USING btree ("session_id");--> statement-breakpoint
CREATE UNIQUE INDEX "events_id" ON "events" USING btree ("id");--> statement-breakpoint
CREATE INDEX "events_session" ON "events" USING btree ("session_id","seq");--> statement-breakpoint
CREATE INDEX "events_run" ON "events" USING btree ("run_id","seq");--> statement-breakpoint
CREATE INDEX "events_type" ON "events" USING btree ("type","seq");--> statement-breakpoint
CREATE INDEX "events_occurred" ON "events" USING btree ("occurred_at");--> statement-breakpoint
CREATE INDEX "memories_created" ON "memories" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "memories_source" ON "memories" USING btree ("source","created_at","id");--> statement-breakpoint
CREATE INDEX "memories_pinned" ON "memories" USING btree ("pinned","created_at","id");--> statement-breakpoint
CREATE INDEX "memory_tags_tag" ON "memory_tags" USING btree ("tag","created_at","memory_id");--> statement-breakpoint
CREATE UNIQUE INDEX "queue_items_id" ON "queue_items" USING btree ("session_id","queue","id");--> statement-breakpoint
CREATE INDEX "tool_executions_run" ON "tool_executions" USING btree ("run_id","started_at","id");--> statement-breakpoint
CREATE UNIQUE INDEX "workspaces_path" ON "workspaces" USING btree ("path");--> statement-breakpoint
CREATE UNIQUE INDEX "workspaces_current" ON "workspaces" USING btree ("is_current") WHERE "workspaces"."is_current";--> statement-breakpoint
CREATE INDEX "workspaces_created" ON "workspaces" USING btree ("created_at","id");