ALTER TABLE "blob_refs" DROP CONSTRAINT "blob_refs_session_id_message_id_messages_session_id_id_fk";--> statement-breakpoint
ALTER TABLE "list_items" DROP CONSTRAINT "list_items_key_lists_key_fk";--> statement-breakpoint
ALTER TABLE "messages" DROP CONSTRAINT "messages_session_id_sessions_id_fk";--> statement-breakpoint
ALTER TABLE "queue_items" DROP CONSTRAINT "queue_items_session_id_queue_queues_session_id_name_fk";--> statement-breakpoint
DROP INDEX "approvals_pending";--> statement-breakpoint
DROP INDEX "approvals_all_pending";--> statement-breakpoint
DROP INDEX "approvals_session";--> statement-breakpoint
DROP INDEX "events_id";--> statement-breakpoint
DROP INDEX "messages_id";--> statement-breakpoint
DROP INDEX "queue_items_id";--> statement-breakpoint
DROP INDEX "sessions_activity";--> statement-breakpoint
DROP INDEX "sessions_owner_activity";--> statement-breakpoint
DROP INDEX "sessions_created";--> statement-breakpoint
DROP INDEX "sessions_owner_created";--> statement-breakpoint
DROP INDEX "workspaces_path";--> statement-breakpoint
DROP INDEX "workspaces_current";--> statement-breakpoint
DROP INDEX "workspaces_created";--> statement-breakpoint
ALTER TABLE "allowed_tools" DROP CONSTRAINT "allowed_tools_scope_tool_pk";--> statement-breakpoint
ALTER TABLE "blob_refs" DROP CONSTRAINT "blob_refs_session_id_message_id_blob_id_pk";--> statement-breakpoint
ALTER TABLE "list_items" DROP CONSTRAINT "list_items_key_position_pk";--> statement-breakpoint
ALTER TABLE "messages" DROP CONSTRAINT "messages_session_id_seq_pk";--> statement-breakpoint
ALTER TABLE "queue_items" DROP CONSTRAINT "queue_items_session_id_queue_position_pk";--> statement-breakpoint
ALTER TABLE "queues" DROP CONSTRAINT "queues_session_id_name_pk";--> statement-breakpoint
ALTER TABLE "tool_state" DROP CONSTRAINT "tool_state_tool_key_pk";--> statement-breakpoint
ALTER TABLE "approval_states" DROP CONSTRAINT "approval_states_pkey";--> statement-breakpoint
ALTER TABLE "approvals" DROP CONSTRAINT "approvals_pkey";--> statement-breakpoint
ALTER TABLE "kv" DROP CONSTRAINT "kv_pkey";--> statement-breakpoint
ALTER TABLE "lists" DROP CONSTRAINT "lists_pkey";--> statement-breakpoint
ALTER TABLE "prompts" DROP CONSTRAINT "prompts_pkey";--> statement-breakpoint
ALTER TABLE "sessions" DROP CONSTRAINT "sessions_pkey";--> statement-breakpoint
ALTER TABLE "tool_executions" DROP CONSTRAINT "tool_executions_pkey";--> statement-breakpoint
ALTER TABLE "tool_preferences" DROP CONSTRAINT "tool_preferences_pkey";--> statement-breakpoint
ALTER TABLE "workspaces" DROP CONSTRAINT "workspaces_pkey";--> statement-breakpoint
UPDATE "sessions" SET "owner_id" = '' WHERE "owner_id" IS NULL;--> statement-breakpoint
ALTER TABLE "sessions" ALTER COLUMN "owner_id" SET DEFAULT '';--> statement-breakpoint
ALTER TABLE "sessions" ALTER COLUMN "owner_id" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "allowed_tools" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "approval_states" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "approvals" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "blob_refs" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "blobs" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "events" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "kv" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "list_items" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "lists" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "memories" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "memory_tags" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "messages" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "prompts" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "queue_items" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "queues" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "tool_executions" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "tool_preferences" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "tool_state" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "workspaces" ADD COLUMN "owner_id" text COLLATE "C" DEFAULT '' NOT NULL;--> statement-breakpoint
-- What belongs to a session has its owner. Everything else belongs to nobody.
UPDATE "messages" SET "owner_id" = "sessions"."owner_id" FROM "sessions" WHERE "sessions"."id" = "messages"."session_id" AND "sessions"."owner_id" <> '';--> statement-breakpoint
UPDATE "queues" SET "owner_id" = "sessions"."owner_id" FROM "sessions" WHERE "sessions"."id" = "queues"."session_id" AND "sessions"."owner_id" <> '';--> statement-breakpoint
UPDATE "queue_items" SET "owner_id" = "sessions"."owner_id" FROM "sessions" WHERE "sessions"."id" = "queue_items"."session_id" AND "sessions"."owner_id" <> '';--> statement-breakpoint
UPDATE "events" SET "owner_id" = "sessions"."owner_id" FROM "sessions" WHERE "sessions"."id" = "events"."session_id" AND "sessions"."owner_id" <> '';--> statement-breakpoint
UPDATE "approvals" SET "owner_id" = "sessions"."owner_id" FROM "sessions" WHERE "sessions"."id" = "approvals"."session_id" AND "sessions"."owner_id" <> '';--> statement-breakpoint
UPDATE "approval_states" SET "owner_id" = "sessions"."owner_id" FROM "sessions" WHERE "sessions"."id" = "approval_states"."scope" AND "sessions"."owner_id" <> '';--> statement-breakpoint
UPDATE "allowed_tools" SET "owner_id" = "sessions"."owner_id" FROM "sessions" WHERE "sessions"."id" = "allowed_tools"."scope" AND "sessions"."owner_id" <> '';--> statement-breakpoint
UPDATE "tool_preferences" SET "owner_id" = "sessions"."owner_id" FROM "sessions" WHERE "sessions"."id" = "tool_preferences"."scope" AND "sessions"."owner_id" <> '';--> statement-breakpoint
UPDATE "blob_refs" SET "owner_id" = "sessions"."owner_id" FROM "sessions" WHERE "sessions"."id" = "blob_refs"."session_id" AND "sessions"."owner_id" <> '';--> statement-breakpoint
ALTER TABLE "allowed_tools" ADD CONSTRAINT "allowed_tools_owner_id_scope_tool_pk" PRIMARY KEY("owner_id","scope","tool");--> statement-breakpoint
ALTER TABLE "approval_states" ADD CONSTRAINT "approval_states_owner_id_scope_pk" PRIMARY KEY("owner_id","scope");--> statement-breakpoint
ALTER TABLE "approvals" ADD CONSTRAINT "approvals_id_owner_id_pk" PRIMARY KEY("id","owner_id");--> statement-breakpoint
ALTER TABLE "blob_refs" ADD CONSTRAINT "blob_refs_session_id_owner_id_message_id_blob_id_pk" PRIMARY KEY("session_id","owner_id","message_id","blob_id");--> statement-breakpoint
ALTER TABLE "kv" ADD CONSTRAINT "kv_owner_id_key_pk" PRIMARY KEY("owner_id","key");--> statement-breakpoint
ALTER TABLE "list_items" ADD CONSTRAINT "list_items_owner_id_key_position_pk" PRIMARY KEY("owner_id","key","position");--> statement-breakpoint
ALTER TABLE "lists" ADD CONSTRAINT "lists_owner_id_key_pk" PRIMARY KEY("owner_id","key");--> statement-breakpoint
ALTER TABLE "messages" ADD CONSTRAINT "messages_session_id_owner_id_seq_pk" PRIMARY KEY("session_id","owner_id","seq");--> statement-breakpoint
ALTER TABLE "prompts" ADD CONSTRAINT "prompts_owner_id_name_pk" PRIMARY KEY("owner_id","name");--> statement-breakpoint
ALTER TABLE "queue_items" ADD CONSTRAINT "queue_items_session_id_owner_id_queue_position_pk" PRIMARY KEY("session_id","owner_id","queue","position");--> statement-breakpoint
ALTER TABLE "queues" ADD CONSTRAINT "queues_session_id_owner_id_name_pk" PRIMARY KEY("session_id","owner_id","name");--> statement-breakpoint
ALTER TABLE "sessions" ADD CONSTRAINT "sessions_id_owner_id_pk" PRIMARY KEY("id","owner_id");--> statement-breakpoint
ALTER TABLE "tool_executions" ADD CONSTRAINT "tool_executions_id_owner_id_pk" PRIMARY KEY("id","owner_id");--> statement-breakpoint
ALTER TABLE "tool_preferences" ADD CONSTRAINT "tool_preferences_owner_id_scope_pk" PRIMARY KEY("owner_id","scope");--> statement-breakpoint
ALTER TABLE "tool_state" ADD CONSTRAINT "tool_state_owner_id_tool_key_pk" PRIMARY KEY("owner_id","tool","key");--> statement-breakpoint
ALTER TABLE "workspaces" ADD CONSTRAINT "workspaces_owner_id_id_pk" PRIMARY KEY("owner_id","id");--> statement-breakpoint
CREATE UNIQUE INDEX "messages_id" ON "messages" USING btree ("session_id","owner_id","id");--> statement-breakpoint
ALTER TABLE "blob_refs" ADD CONSTRAINT "blob_refs_message_fk" FOREIGN KEY ("session_id","owner_id","message_id") REFERENCES "public"."messages"("session_id","owner_id","id") ON DELETE cascade ON UPDATE cascade;--> statement-breakpoint
ALTER TABLE "list_items" ADD CONSTRAINT "list_items_owner_id_key_lists_owner_id_key_fk" FOREIGN KEY ("owner_id","key") REFERENCES "public"."lists"("owner_id","key") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "messages" ADD CONSTRAINT "messages_session_id_owner_id_sessions_id_owner_id_fk" FOREIGN KEY ("session_id","owner_id") REFERENCES "public"."sessions"("id","owner_id") ON DELETE cascade ON UPDATE cascade;--> statement-breakpoint
ALTER TABLE "queue_items" ADD CONSTRAINT "queue_items_queue_fk" FOREIGN KEY ("session_id","owner_id","queue") REFERENCES "public"."queues"("session_id","owner_id","name") ON DELETE cascade ON UPDATE cascade;--> statement-breakpoint
CREATE INDEX "approvals_owner_pending" ON "approvals" USING btree ("owner_id","created_at","id") WHERE "approvals"."responded_at" is null and "approvals"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX "approvals_created" ON "approvals" USING btree ("created_at","id","owner_id");--> statement-breakpoint
CREATE INDEX "approvals_owner_created" ON "approvals" USING btree ("owner_id","created_at","id") WHERE "approvals"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX "blobs_owner_created" ON "blobs" USING btree ("owner_id","created_at","id") WHERE "blobs"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX "blobs_owner_source" ON "blobs" USING btree ("owner_id","source","created_at","id") WHERE "blobs"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX "events_owner" ON "events" USING btree ("owner_id","seq") WHERE "events"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX "events_owner_session" ON "events" USING btree ("owner_id","session_id","seq") WHERE "events"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX "events_owner_run" ON "events" USING btree ("owner_id","run_id","seq") WHERE "events"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX "events_owner_type" ON "events" USING btree ("owner_id","type","seq") WHERE "events"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX "memories_owner_created" ON "memories" USING btree ("owner_id","created_at","id") WHERE "memories"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX "memories_owner_source" ON "memories" USING btree ("owner_id","source","created_at","id") WHERE "memories"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX "memories_owner_pinned" ON "memories" USING btree ("owner_id","pinned","created_at","id") WHERE "memories"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX "memory_tags_owner_tag" ON "memory_tags" USING btree ("owner_id","tag","created_at","memory_id") WHERE "memory_tags"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX "tool_executions_started" ON "tool_executions" USING btree ("started_at","id","owner_id");--> statement-breakpoint
CREATE INDEX "tool_executions_running" ON "tool_executions" USING btree ("started_at","id","owner_id") WHERE "tool_executions"."status" = 'running';--> statement-breakpoint
CREATE INDEX "tool_executions_run" ON "tool_executions" USING btree ("run_id","started_at","id","owner_id");--> statement-breakpoint
CREATE INDEX "tool_executions_owner" ON "tool_executions" USING btree ("owner_id","started_at","id") WHERE "tool_executions"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX "approvals_pending" ON "approvals" USING btree ("session_id","created_at","id","owner_id") WHERE "approvals"."responded_at" is null;--> statement-breakpoint
CREATE INDEX "approvals_all_pending" ON "approvals" USING btree ("created_at","id","owner_id") WHERE "approvals"."responded_at" is null;--> statement-breakpoint
CREATE INDEX "approvals_session" ON "approvals" USING btree ("session_id","created_at","id","owner_id");--> statement-breakpoint
CREATE UNIQUE INDEX "events_id" ON "events" USING btree ("id","owner_id");--> statement-breakpoint
CREATE UNIQUE INDEX "queue_items_id" ON "queue_items" USING btree ("session_id","owner_id","queue","id");--> statement-breakpoint
CREATE INDEX "sessions_activity" ON "sessions" USING btree ("last_active_at","id","owner_id");--> statement-breakpoint
CREATE INDEX "sessions_owner_activity" ON "sessions" USING btree ("owner_id","last_active_at","id") WHERE "sessions"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX "sessions_created" ON "sessions" USING btree ("created_at","id","owner_id");--> statement-breakpoint
CREATE INDEX "sessions_owner_created" ON "sessions" USING btree ("owner_id","created_at","id") WHERE "sessions"."owner_id" <> '';--> statement-breakpoint
CREATE UNIQUE INDEX "workspaces_path" ON "workspaces" USING btree ("owner_id","path");--> statement-breakpoint
CREATE UNIQUE INDEX "workspaces_current" ON "workspaces" USING btree ("owner_id") WHERE "workspaces"."is_current";--> statement-breakpoint
CREATE INDEX "workspaces_created" ON "workspaces" USING btree ("owner_id","created_at","id");--> statement-breakpoint
CREATE INDEX "queues_owner" ON "queues" USING btree ("owner_id","session_id","name") WHERE "queues"."owner_id" <> '';
