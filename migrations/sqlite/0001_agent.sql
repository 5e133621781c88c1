CREATE TABLE `allowed_tools` (
	`scope` text NOT NULL,
	`tool` text NOT NULL,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`scope`, `tool`)
);
--> statement-breakpoint
CREATE TABLE `approval_states` (
	`scope` text PRIMARY KEY NOT NULL,
	`state` text,
	`updated_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `approvals` (
	`id` text PRIMARY KEY NOT NULL,
	`session_id` text,
	`type` text NOT NULL,
	`request` text,
	`created_at` integer NOT NULL,
	`decision` text,
	`response` text,
	`responded_at` integer
);
--> statement-breakpoint
CREATE INDEX `approvals_pending` ON `approvals` (`session_id`,`created_at`,`id`) WHERE "approvals"."responded_at" is null;--> statement-breakpoint
CREATE INDEX `approvals_session` ON `approvals` (`session_id`);--> statement-breakpoint
CREATE TABLE `events` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`type` text NOT NULL,
	`session_id` text,
	`run_id` text,
	`payload` text,
	`occurred_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `events_id` ON `events` (`id`);--> statement-breakpoint
CREATE INDEX `events_session` ON `events` (`session_id`,`seq`);--> statement-breakpoint
CREATE INDEX `events_run` ON `events` (`run_id`,`seq`);--> statement-breakpoint
CREATE INDEX `events_type` ON `events` (`type`,`seq`);--> statement-breakpoint
CREATE INDEX `events_occurred` ON `events` (`occurred_at`);--> statement-breakpoint
CREATE TABLE `memories` (
	`id` text PRIMARY KEY NOT NULL,
	`content` text NOT NULL,
	`source` text,
	`pinned` integer NOT NULL,
	`metadata` text NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `memories_created` ON `memories` (`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `memories_source` ON `memories` (`source`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `memories_pinned` ON `memories` (`pinned`,`created_at`,`id`);--> statement-breakpoint
CREATE TABLE `memory_tags` (
	`memory_id` text NOT NULL,
	`tag` text NOT NULL,
	`position` integer NOT NULL,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`memory_id`, `tag`),
	FOREIGN KEY (`memory_id`) REFERENCES `memories`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `memory_tags_tag` ON `memory_tags` (`tag`,`created_at`,`memory_id`);--> statement-breakpoint
CREATE TABLE `prompts` (
	`name` text PRIMARY KEY NOT NULL,
	`content` text,
	`description` text,
	`metadata` text NOT NULL,
	`version` integer NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `queue_items` (
	`session_id` text NOT NULL,
	`queue` text NOT NULL,
	`position` integer NOT NULL,
	`id` text NOT NULL,
	`item` text NOT NULL,
	PRIMARY KEY(`session_id`, `queue`, `position`),
	FOREIGN KEY (`session_id`,`queue`) REFERENCES `queues`(`session_id`,`name`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE UNIQUE INDEX `queue_items_id` ON `queue_items` (`session_id`,`queue`,`id`);--> statement-breakpoint
CREATE TABLE `queues` (
	`session_id` text NOT NULL,
	`name` text NOT NULL,
	`last_position` integer NOT NULL,
	PRIMARY KEY(`session_id`, `name`)
);
--> statement-breakpoint
CREATE TABLE `tool_executions` (
	`id` text PRIMARY KEY NOT NULL,
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
	`finished_at` integer
);
--> statement-breakpoint
CREATE INDEX `tool_executions_run` ON `tool_executions` (`run_id`,`started_at`,`id`);--> statement-breakpoint
CREATE TABLE `tool_preferences` (
	`scope` text PRIMARY KEY NOT NULL,
	`preferences` text NOT NULL,
	`updated_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `tool_state` (
	`tool` text NOT NULL,
	`key` text NOT NULL,
	`value` text,
	`updated_at` integer NOT NULL,
	PRIMARY KEY(`tool`, `key`)
);
--> statement-breakpoint
CREATE TABLE `workspaces` (
	`id` text PRIMARY KEY NOT NULL,
	`path` text NOT NULL,
	`name` text,
	`metadata` text NOT NULL,
	`is_current` integer NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `workspaces_path` ON `workspaces` (`path`);--> statement-breakpoint
CREATE UNIQUE INDEX `workspaces_current` ON `workspaces` (`is_current`) WHERE "workspaces"."is_current";--> statement-breakpoint
CREATE INDEX `workspaces_created` ON `workspaces` (`created_at`,`id`);