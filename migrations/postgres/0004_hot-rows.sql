DROP INDEX "tool_executions_run";--> statement-breakpoint
ALTER TABLE "queues" ADD COLUMN "gaps" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX "approvals_all_pending" ON "approvals" USING btree ("created_at","id") WHERE "approvals"."responded_at" is null;--> statement-breakpoint
CREATE INDEX "sessions_created" ON "sessions" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "sessions_owner_created" ON "sessions" USING btree ("owner_id","created_at","id");--> statement-breakpoint
UPDATE "queues" SET "gaps" = "last_position" - (SELECT count(*) FROM "queue_items" WHERE "queue_items"."session_id" = "queues"."session_id" AND "queue_items"."queue" = "queues"."name");--> statement-breakpoint
-- Rows that are updated all the time: room for HOT updates in their pages, and vacuum before dead versions pile up.
ALTER TABLE "sessions" SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);--> statement-breakpoint
ALTER TABLE "queues" SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);--> statement-breakpoint
ALTER TABLE "lists" SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);--> statement-breakpoint
ALTER TABLE "blob_usage" SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
