CREATE TABLE `blob_content` (
	`hash` text PRIMARY KEY NOT NULL,
	`size` integer NOT NULL,
	`state` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `blob_leases` (
	`id` text PRIMARY KEY NOT NULL,
	`hash` text NOT NULL,
	`expires_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `blob_leases_hash` ON `blob_leases` (`hash`);--> statement-breakpoint
CREATE INDEX `blob_leases_expiry` ON `blob_leases` (`expires_at`);--> statement-breakpoint
CREATE TABLE `blob_refs` (
	`blob_id` text NOT NULL,
	`session_id` text NOT NULL,
	`message_id` text NOT NULL,
	PRIMARY KEY(`session_id`, `message_id`, `blob_id`),
	FOREIGN KEY (`blob_id`) REFERENCES `blobs`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`session_id`,`message_id`) REFERENCES `messages`(`session_id`,`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `blob_refs_blob` ON `blob_refs` (`blob_id`);--> statement-breakpoint
CREATE TABLE `blob_usage` (
	`id` integer PRIMARY KEY NOT NULL,
	`used` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `blobs` (
	`id` text PRIMARY KEY NOT NULL,
	`hash` text NOT NULL,
	`name` text,
	`mime_type` text NOT NULL,
	`source` text,
	`metadata` text NOT NULL,
	`created_at` integer NOT NULL,
	`last_used_at` integer NOT NULL,
	`expires_at` integer,
	FOREIGN KEY (`hash`) REFERENCES `blob_content`(`hash`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `blobs_hash` ON `blobs` (`hash`);--> statement-breakpoint
CREATE INDEX `blobs_created` ON `blobs` (`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `blobs_source` ON `blobs` (`source`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `blobs_last_used` ON `blobs` (`last_used_at`);--> statement-breakpoint
CREATE INDEX `blobs_expiry` ON `blobs` (`expires_at`);--> statement-breakpoint
CREATE TABLE `maintenance_leases` (
	`step` text PRIMARY KEY NOT NULL,
	`holder` text NOT NULL,
	`expires_at` integer NOT NULL
);
