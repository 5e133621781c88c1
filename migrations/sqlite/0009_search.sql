CREATE TABLE `memory_search` (
	`doc` integer PRIMARY KEY NOT NULL,
	`memory_id` text NOT NULL,
	`owner_id` text DEFAULT '' NOT NULL,
	`generation` integer NOT NULL,
	FOREIGN KEY (`memory_id`) REFERENCES `memories`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE UNIQUE INDEX `memory_search_memory` ON `memory_search` (`memory_id`);--> statement-breakpoint
CREATE TABLE `message_search` (
	`doc` integer PRIMARY KEY NOT NULL,
	`session_id` text NOT NULL,
	`owner_id` text DEFAULT '' NOT NULL,
	`seq` integer NOT NULL,
	`role` text NOT NULL,
	`generation` integer NOT NULL,
	FOREIGN KEY (`session_id`,`owner_id`,`seq`) REFERENCES `messages`(`session_id`,`owner_id`,`seq`) ON UPDATE cascade ON DELETE cascade
);
--> statement-breakpoint
CREATE UNIQUE INDEX `message_search_message` ON `message_search` (`session_id`,`owner_id`,`seq`);