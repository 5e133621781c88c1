DROP INDEX `tool_executions_run`;--> statement-breakpoint
ALTER TABLE `queues` ADD `gaps` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX `approvals_all_pending` ON `approvals` (`created_at`,`id`) WHERE "approvals"."responded_at" is null;--> statement-breakpoint
CREATE INDEX `sessions_created` ON `sessions` (`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `sessions_owner_created` ON `sessions` (`owner_id`,`created_at`,`id`);--> statement-breakpoint
UPDATE `queues` SET `gaps` = `last_position` - (SELECT count(*) FROM `queue_items` WHERE `queue_items`.`session_id` = `queues`.`session_id` AND `queue_items`.`queue` = `queues`.`name`);
