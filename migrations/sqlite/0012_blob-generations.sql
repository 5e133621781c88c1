CREATE TABLE `blob_chunks` (
	`hash` text NOT NULL,
	`generation` text NOT NULL,
	`start` integer NOT NULL,
	`stored_at` integer NOT NULL,
	`data` blob NOT NULL,
	PRIMARY KEY(`hash`, `generation`, `start`)
);
--> statement-breakpoint
CREATE TABLE `blob_removals` (
	`hash` text NOT NULL,
	`generation` text NOT NULL,
	`counted` integer NOT NULL,
	PRIMARY KEY(`hash`, `generation`)
);
--> statement-breakpoint
ALTER TABLE `blob_content` ADD `generation` text DEFAULT '' NOT NULL;