-- A primary key cannot be changed, so tables are made anew. Drizzle-kit migrates with foreign keys on: children are dropped
-- before their parents, so that no DROP deletes rows that are still needed. A RENAME also renames what foreign keys refer to.
CREATE TABLE `__new_sessions` (
	`id` text NOT NULL,
	`owner_id` text DEFAULT '' NOT NULL,
	`title` text,
	`metadata` text NOT NULL,
	`version` integer NOT NULL,
	`parent_id` text,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`expires_at` integer,
	`last_seq` integer NOT NULL,
	`message_count` integer NOT NULL,
	`last_active_at` integer NOT NULL,
	PRIMARY KEY(`id`, `owner_id`)
);--> statement-breakpoint
INSERT INTO `__new_sessions` (`id`, `owner_id`, `title`, `metadata`, `version`, `parent_id`, `created_at`, `updated_at`, `expires_at`, `last_seq`, `message_count`, `last_active_at`) SELECT `id`, coalesce(`owner_id`, ''), `title`, `metadata`, `version`, `parent_id`, `created_at`, `updated_at`, `expires_at`, `last_seq`, `message_count`, `last_active_at` FROM `sessions` ORDER BY `id`;--> statement-breakpoint
CREATE TABLE `__new_messages` (
	`session_id` text NOT NULL,
	`owner_id` text DEFAULT '' NOT NULL,
	`seq` integer NOT NULL,
	`id` text NOT NULL,
	`role` text NOT NULL,
	`content` text,
	`metadata` text NOT NULL,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`session_id`, `owner_id`, `seq`),
	FOREIGN KEY (`session_id`,`owner_id`) REFERENCES `__new_sessions`(`id`,`owner_id`) ON UPDATE cascade ON DELETE cascade
);--> statement-breakpoint
INSERT INTO `__new_messages` (`session_id`, `owner_id`, `seq`, `id`, `role`, `content`, `metadata`, `created_at`) SELECT `t`.`session_id`, coalesce(`s`.`owner_id`, ''), `t`.`seq`, `t`.`id`, `t`.`role`, `t`.`content`, `t`.`metadata`, `t`.`created_at` FROM `messages` AS `t` LEFT JOIN `__new_sessions` AS `s` ON `s`.`id` = `t`.`session_id` ORDER BY `t`.`session_id`, `t`.`seq`;--> statement-breakpoint
DROP INDEX `messages_id`;--> statement-breakpoint
CREATE UNIQUE INDEX `messages_id` ON `__new_messages` (`session_id`,`owner_id`,`id`);--> statement-breakpoint
CREATE TABLE `__new_blob_refs` (
	`blob_id` text NOT NULL,
	`session_id` text NOT NULL,
	`owner_id` text DEFAULT '' NOT NULL,
	`message_id` text NOT NULL,
	PRIMARY KEY(`session_id`, `owner_id`, `message_id`, `blob_id`),
	FOREIGN KEY (`blob_id`) REFERENCES `blobs`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`session_id`,`owner_id`,`message_id`) REFERENCES `__new_messages`(`session_id`,`owner_id`,`id`) ON UPDATE cascade ON DELETE cascade
);--> statement-breakpoint
INSERT INTO `__new_blob_refs` (`blob_id`, `session_id`, `owner_id`, `message_id`) SELECT `t`.`blob_id`, `t`.`session_id`, coalesce(`s`.`owner_id`, ''), `t`.`message_id` FROM `blob_refs` AS `t` LEFT JOIN `__new_sessions` AS `s` ON `s`.`id` = `t`.`session_id`;--> statement-breakpoint
CREATE TABLE `__new_lists` (
	`owner_id` text DEFAULT '' NOT NULL,
	`key` text NOT NULL,
	`length` integer NOT NULL,
	PRIMARY KEY(`owner_id`, `key`)
);--> statement-breakpoint
INSERT INTO `__new_lists` (`owner_id`, `key`, `length`) SELECT '', `key`, `length` FROM `lists`;--> statement-breakpoint
CREATE TABLE `__new_list_items` (
	`owner_id` text DEFAULT '' NOT NULL,
	`key` text NOT NULL,
	`position` integer NOT NULL,
	`value` text,
	PRIMARY KEY(`owner_id`, `key`, `position`),
	FOREIGN KEY (`owner_id`,`key`) REFERENCES `__new_lists`(`owner_id`,`key`) ON UPDATE no action ON DELETE cascade
);--> statement-breakpoint
INSERT INTO `__new_list_items` (`owner_id`, `key`, `position`, `value`) SELECT '', `key`, `position`, `value` FROM `list_items`;--> statement-breakpoint
CREATE TABLE `__new_queues` (
	`session_id` text NOT NULL,
	`owner_id` text DEFAULT '' NOT NULL,
	`name` text NOT NULL,
	`last_position` integer NOT NULL,
	`gaps` integer DEFAULT 0 NOT NULL,
	PRIMARY KEY(`session_id`, `owner_id`, `name`)
);--> statement-breakpoint
INSERT INTO `__new_queues` (`session_id`, `owner_id`, `name`, `last_position`, `gaps`) SELECT `t`.`session_id`, coalesce(`s`.`owner_id`, ''), `t`.`name`, `t`.`last_position`, `t`.`gaps` FROM `queues` AS `t` LEFT JOIN `__new_sessions` AS `s` ON `s`.`id` = `t`.`session_id`;--> statement-breakpoint
CREATE TABLE `__new_queue_items` (
	`session_id` text NOT NULL,
	`owner_id` text DEFAULT '' NOT NULL,
	`queue` text NOT NULL,
	`position` integer NOT NULL,
	`id` text NOT NULL,
	`item` text NOT NULL,
	`lease` text,
	`leased_until` integer,
	`attempts` integer DEFAULT 0 NOT NULL,
	PRIMARY KEY(`session_id`, `owner_id`, `queue`, `position`),
	FOREIGN KEY (`session_id`,`owner_id`,`queue`) REFERENCES `__new_queues`(`session_id`,`owner_id`,`name`) ON UPDATE cascade ON DELETE cascade
);--> statement-breakpoint
INSERT INTO `__new_queue_items` (`session_id`, `owner_id`, `queue`, `position`, `id`, `item`, `lease`, `leased_until`, `attempts`) SELECT `t`.`session_id`, coalesce(`s`.`owner_id`, ''), `t`.`queue`, `t`.`position`, `t`.`id`, `t`.`item`, `t`.`lease`, `t`.`leased_until`, `t`.`attempts` FROM `queue_items` AS `t` LEFT JOIN `__new_sessions` AS `s` ON `s`.`id` = `t`.`session_id`;--> statement-breakpoint
CREATE TABLE `__new_approvals` (
	`id` text NOT NULL,
	`owner_id` text DEFAULT '' NOT NULL,
	`session_id` text,
	`type` text NOT NULL,
	`request` text,
	`created_at` integer NOT NULL,
	`decision` text,
	`response` text,
	`responded_at` integer,
	PRIMARY KEY(`id`, `owner_id`)
);--> statement-breakpoint
INSERT INTO `__new_approvals` (`id`, `owner_id`, `session_id`, `type`, `request`, `created_at`, `decision`, `response`, `responded_at`) SELECT `t`.`id`, coalesce(`s`.`owner_id`, ''), `t`.`session_id`, `t`.`type`, `t`.`request`, `t`.`created_at`, `t`.`decision`, `t`.`response`, `t`.`responded_at` FROM `approvals` AS `t` LEFT JOIN `__new_sessions` AS `s` ON `s`.`id` = `t`.`session_id`;--> statement-breakpoint
CREATE TABLE `__new_workspaces` (
	`owner_id` text DEFAULT '' NOT NULL,
	`id` text NOT NULL,
	`path` text NOT NULL,
	`name` text,
	`metadata` text NOT NULL,
	`is_current` integer NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	PRIMARY KEY(`owner_id`, `id`)
);--> statement-breakpoint
INSERT INTO `__new_workspaces` (`owner_id`, `id`, `path`, `name`, `metadata`, `is_current`, `created_at`, `updated_at`) SELECT '', `id`, `path`, `name`, `metadata`, `is_current`, `created_at`, `updated_at` FROM `workspaces`;--> statement-breakpoint
CREATE TABLE `__new_allowed_tools` (
	`owner_id` text DEFAULT '' NOT NULL,
	`scope` text NOT NULL,
	`tool` text NOT NULL,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`owner_id`, `scope`, `tool`)
);--> statement-breakpoint
INSERT INTO `__new_allowed_tools` (`owner_id`, `scope`, `tool`, `created_at`) SELECT coalesce(`s`.`owner_id`, ''), `t`.`scope`, `t`.`tool`, `t`.`created_at` FROM `allowed_tools` AS `t` LEFT JOIN `__new_sessions` AS `s` ON `s`.`id` = `t`.`scope`;--> statement-breakpoint
CREATE TABLE `__new_tool_state` (
	`owner_id` text DEFAULT '' NOT NULL,
	`tool` text NOT NULL,
	`key` text NOT NULL,
	`value` text,
	`updated_at` integer NOT NULL,
	PRIMARY KEY(`owner_id`, `tool`, `key`)
);--> statement-breakpoint
INSERT INTO `__new_tool_state` (`owner_id`, `tool`, `key`, `value`, `updated_at`) SELECT '', `tool`, `key`, `value`, `updated_at` FROM `tool_state`;--> statement-breakpoint
CREATE TABLE `__new_approval_states` (
	`owner_id` text DEFAULT '' NOT NULL,
	`scope` text NOT NULL,
	`state` text,
	`updated_at` integer NOT NULL,
	PRIMARY KEY(`owner_id`, `scope`)
);--> statement-breakpoint
INSERT INTO `__new_approval_states` (`owner_id`, `scope`, `state`, `updated_at`) SELECT coalesce(`s`.`owner_id`, ''), `t`.`scope`, `t`.`state`, `t`.`updated_at` FROM `approval_states` AS `t` LEFT JOIN `__new_sessions` AS `s` ON `s`.`id` = `t`.`scope`;--> statement-breakpoint
CREATE TABLE `__new_kv` (
	`owner_id` text DEFAULT '' NOT NULL,
	`key` text NOT NULL,
	`value` text,
	`version` integer NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`expires_at` integer,
	PRIMARY KEY(`owner_id`, `key`)
);--> statement-breakpoint
INSERT INTO `__new_kv` (`owner_id`, `key`, `value`, `version`, `created_at`, `updated_at`, `expires_at`) SELECT '', `key`, `value`, `version`, `created_at`, `updated_at`, `expires_at` FROM `kv`;--> statement-breakpoint
CREATE TABLE `__new_prompts` (
	`owner_id` text DEFAULT '' NOT NULL,
	`name` text NOT NULL,
	`content` text,
	`description` text,
	`metadata` text NOT NULL,
	`version` integer NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	PRIMARY KEY(`owner_id`, `name`)
);--> statement-breakpoint
INSERT INTO `__new_prompts` (`owner_id`, `name`, `content`, `description`, `metadata`, `version`, `created_at`, `updated_at`) SELECT '', `name`, `content`, `description`, `metadata`, `version`, `created_at`, `updated_at` FROM `prompts`;--> statement-breakpoint
CREATE TABLE `__new_tool_executions` (
	`id` text NOT NULL,
	`owner_id` text DEFAULT '' NOT NULL,
	`run_id` text NOT NULL,
	`turn_id` text NOT NULL,
	`model_step_id` text NOT NULL,
	`tool_call_id` text NOT NULL,
	`tool_name` text NOT NULL,
	`input` text,
	`status` text NOT NULL,
	`output` text,
	`error` text,
	`started_at` integer NOT NULL,
	`finished_at` integer,
	PRIMARY KEY(`id`, `owner_id`)
);--> statement-breakpoint
INSERT INTO `__new_tool_executions` (`id`, `owner_id`, `run_id`, `turn_id`, `model_step_id`, `tool_call_id`, `tool_name`, `input`, `status`, `output`, `error`, `started_at`, `finished_at`) SELECT `id`, '', `run_id`, `turn_id`, `model_step_id`, `tool_call_id`, `tool_name`, `input`, `status`, `output`, `error`, `started_at`, `finished_at` FROM `tool_executions`;--> statement-breakpoint
CREATE TABLE `__new_tool_preferences` (
	`owner_id` text DEFAULT '' NOT NULL,
	`scope` text NOT NULL,
	`preferences` text NOT NULL,
	`updated_at` integer NOT NULL,
	PRIMARY KEY(`owner_id`, `scope`)
);--> statement-breakpoint
INSERT INTO `__new_tool_preferences` (`owner_id`, `scope`, `preferences`, `updated_at`) SELECT coalesce(`s`.`owner_id`, ''), `t`.`scope`, `t`.`preferences`, `t`.`updated_at` FROM `tool_preferences` AS `t` LEFT JOIN `__new_sessions` AS `s` ON `s`.`id` = `t`.`scope`;--> statement-breakpoint
DROP TABLE `blob_refs`;--> statement-breakpoint
DROP TABLE `messages`;--> statement-breakpoint
DROP TABLE `sessions`;--> statement-breakpoint
DROP TABLE `list_items`;--> statement-breakpoint
DROP TABLE `lists`;--> statement-breakpoint
DROP TABLE `queue_items`;--> statement-breakpoint
DROP TABLE `queues`;--> statement-breakpoint
DROP TABLE `approvals`;--> statement-breakpoint
DROP TABLE `workspaces`;--> statement-breakpoint
DROP TABLE `allowed_tools`;--> statement-breakpoint
DROP TABLE `tool_state`;--> statement-breakpoint
DROP TABLE `approval_states`;--> statement-breakpoint
DROP TABLE `kv`;--> statement-breakpoint
DROP TABLE `prompts`;--> statement-breakpoint
DROP TABLE `tool_executions`;--> statement-breakpoint
DROP TABLE `tool_preferences`;--> statement-breakpoint
ALTER TABLE `__new_sessions` RENAME TO `sessions`;--> statement-breakpoint
ALTER TABLE `__new_messages` RENAME TO `messages`;--> statement-breakpoint
ALTER TABLE `__new_blob_refs` RENAME TO `blob_refs`;--> statement-breakpoint
ALTER TABLE `__new_lists` RENAME TO `lists`;--> statement-breakpoint
ALTER TABLE `__new_list_items` RENAME TO `list_items`;--> statement-breakpoint
ALTER TABLE `__new_queues` RENAME TO `queues`;--> statement-breakpoint
ALTER TABLE `__new_queue_items` RENAME TO `queue_items`;--> statement-breakpoint
ALTER TABLE `__new_approvals` RENAME TO `approvals`;--> statement-breakpoint
ALTER TABLE `__new_workspaces` RENAME TO `workspaces`;--> statement-breakpoint
ALTER TABLE `__new_allowed_tools` RENAME TO `allowed_tools`;--> statement-breakpoint
ALTER TABLE `__new_tool_state` RENAME TO `tool_state`;--> statement-breakpoint
ALTER TABLE `__new_approval_states` RENAME TO `approval_states`;--> statement-breakpoint
ALTER TABLE `__new_kv` RENAME TO `kv`;--> statement-breakpoint
ALTER TABLE `__new_prompts` RENAME TO `prompts`;--> statement-breakpoint
ALTER TABLE `__new_tool_executions` RENAME TO `tool_executions`;--> statement-breakpoint
ALTER TABLE `__new_tool_preferences` RENAME TO `tool_preferences`;--> statement-breakpoint
DROP INDEX `events_id`;--> statement-breakpoint
ALTER TABLE `events` ADD `owner_id` text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE `blobs` ADD `owner_id` text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE `memories` ADD `owner_id` text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE `memory_tags` ADD `owner_id` text DEFAULT '' NOT NULL;--> statement-breakpoint
UPDATE `events` SET `owner_id` = (SELECT `owner_id` FROM `sessions` WHERE `id` = `events`.`session_id`) WHERE `session_id` IN (SELECT `id` FROM `sessions` WHERE `owner_id` <> '');--> statement-breakpoint
CREATE INDEX `blob_refs_blob` ON `blob_refs` (`blob_id`);--> statement-breakpoint
CREATE UNIQUE INDEX `queue_items_id` ON `queue_items` (`session_id`,`owner_id`,`queue`,`id`);--> statement-breakpoint
CREATE INDEX `approvals_pending` ON `approvals` (`session_id`,`created_at`,`id`,`owner_id`) WHERE "approvals"."responded_at" is null;--> statement-breakpoint
CREATE INDEX `approvals_all_pending` ON `approvals` (`created_at`,`id`,`owner_id`) WHERE "approvals"."responded_at" is null;--> statement-breakpoint
CREATE INDEX `approvals_owner_pending` ON `approvals` (`owner_id`,`created_at`,`id`) WHERE "approvals"."responded_at" is null and "approvals"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX `approvals_session` ON `approvals` (`session_id`,`created_at`,`id`,`owner_id`);--> statement-breakpoint
CREATE INDEX `approvals_created` ON `approvals` (`created_at`,`id`,`owner_id`);--> statement-breakpoint
CREATE INDEX `approvals_owner_created` ON `approvals` (`owner_id`,`created_at`,`id`) WHERE "approvals"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX `events_owner` ON `events` (`owner_id`,`seq`) WHERE "events"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX `events_owner_session` ON `events` (`owner_id`,`session_id`,`seq`) WHERE "events"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX `events_owner_run` ON `events` (`owner_id`,`run_id`,`seq`) WHERE "events"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX `events_owner_type` ON `events` (`owner_id`,`type`,`seq`) WHERE "events"."owner_id" <> '';--> statement-breakpoint
CREATE UNIQUE INDEX `events_id` ON `events` (`id`,`owner_id`);--> statement-breakpoint
CREATE INDEX `sessions_activity` ON `sessions` (`last_active_at`,`id`,`owner_id`);--> statement-breakpoint
CREATE INDEX `sessions_owner_activity` ON `sessions` (`owner_id`,`last_active_at`,`id`) WHERE "sessions"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX `sessions_created` ON `sessions` (`created_at`,`id`,`owner_id`);--> statement-breakpoint
CREATE INDEX `sessions_owner_created` ON `sessions` (`owner_id`,`created_at`,`id`) WHERE "sessions"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX `sessions_expiry` ON `sessions` (`expires_at`) WHERE "sessions"."expires_at" is not null;--> statement-breakpoint
CREATE UNIQUE INDEX `workspaces_path` ON `workspaces` (`owner_id`,`path`);--> statement-breakpoint
CREATE UNIQUE INDEX `workspaces_current` ON `workspaces` (`owner_id`) WHERE "workspaces"."is_current";--> statement-breakpoint
CREATE INDEX `workspaces_created` ON `workspaces` (`owner_id`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `kv_expiry` ON `kv` (`expires_at`) WHERE "kv"."expires_at" is not null;--> statement-breakpoint
CREATE INDEX `tool_executions_started` ON `tool_executions` (`started_at`,`id`,`owner_id`);--> statement-breakpoint
CREATE INDEX `tool_executions_running` ON `tool_executions` (`started_at`,`id`,`owner_id`) WHERE "tool_executions"."status" = 'running';--> statement-breakpoint
CREATE INDEX `tool_executions_run` ON `tool_executions` (`run_id`,`started_at`,`id`,`owner_id`);--> statement-breakpoint
CREATE INDEX `tool_executions_owner` ON `tool_executions` (`owner_id`,`started_at`,`id`) WHERE "tool_executions"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX `blobs_owner_created` ON `blobs` (`owner_id`,`created_at`,`id`) WHERE "blobs"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX `blobs_owner_source` ON `blobs` (`owner_id`,`source`,`created_at`,`id`) WHERE "blobs"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX `memories_owner_created` ON `memories` (`owner_id`,`created_at`,`id`) WHERE "memories"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX `memories_owner_source` ON `memories` (`owner_id`,`source`,`created_at`,`id`) WHERE "memories"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX `memories_owner_pinned` ON `memories` (`owner_id`,`pinned`,`created_at`,`id`) WHERE "memories"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX `memory_tags_owner_tag` ON `memory_tags` (`owner_id`,`tag`,`created_at`,`memory_id`) WHERE "memory_tags"."owner_id" <> '';--> statement-breakpoint
CREATE INDEX `queues_owner` ON `queues` (`owner_id`,`session_id`,`name`) WHERE "queues"."owner_id" <> '';
