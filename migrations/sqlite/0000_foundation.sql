CREATE TABLE `kv` (
	`key` text PRIMARY KEY NOT NULL,
	`value` text,
	`version` integer NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`expires_at` integer
);
--> statement-breakpoint
CREATE INDEX `kv_expiry` ON `kv` (`expires_at`) WHERE "kv"."expires_at" is not null;--> statement-breakpoint
CREATE TABLE `list_items` (
	`key` text NOT NULL,
	`position` integer NOT NULL,
	`value` text,
	PRIMARY KEY(`key`, `position`),
	FOREIGN KEY (`key`) REFERENCES `lists`(`key`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE TABLE `lists` (
	`key` text PRIMARY KEY NOT NULL,
	`length` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `messages` (
	`session_id` text NOT NULL,
	`seq` integer NOT NULL,
	`id` text NOT NULL,
	`role` text NOT NULL,
	`content` text,
	`metadata` text NOT NULL,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`session_id`, `seq`),
	FOREIGN KEY (`session_id`) REFERENCES `sessions`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE UNIQUE INDEX `messages_id` ON `messages` (`session_id`,`id`);--> statement-breakpoint
CREATE TABLE `properties` (
	`name` text PRIMARY KEY NOT NULL,
	`value` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `sessions` (
	`id` text PRIMARY KEY NOT NULL,
	`title` text,
	`owner_id` text,
	`metadata` text NOT NULL,
	`version` integer NOT NULL,
	`parent_id` text,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`expires_at` integer,
	`last_seq` integer NOT NULL,
	`message_count` integer NOT NULL,
	`last_active_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `sessions_activity` ON `sessions` (`last_active_at`,`id`);--> statement-breakpoint
CREATE INDEX `sessions_owner_activity` ON `sessions` (`owner_id`,`last_active_at`,`id`);--> statement-breakpoint
CREATE INDEX `sessions_expiry` ON `sessions` (`expires_at`) WHERE "sessions"."expires_at" is not null;