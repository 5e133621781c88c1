CREATE TABLE `memory_embeddings` (
	`memory_id` text NOT NULL,
	`owner_id` text DEFAULT '' NOT NULL,
	`model` text NOT NULL,
	`text_hash` text NOT NULL,
	`vector` blob,
	PRIMARY KEY(`memory_id`, `model`),
	FOREIGN KEY (`memory_id`) REFERENCES `memories`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `memory_embeddings_owner` ON `memory_embeddings` (`owner_id`,`model`) WHERE "memory_embeddings"."owner_id" <> '';--> statement-breakpoint
CREATE TABLE `message_embeddings` (
	`session_id` text NOT NULL,
	`owner_id` text DEFAULT '' NOT NULL,
	`seq` integer NOT NULL,
	`model` text NOT NULL,
	`text_hash` text NOT NULL,
	`vector` blob,
	PRIMARY KEY(`session_id`, `owner_id`, `seq`, `model`),
	FOREIGN KEY (`session_id`,`owner_id`,`seq`) REFERENCES `messages`(`session_id`,`owner_id`,`seq`) ON UPDATE cascade ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `message_embeddings_owner` ON `message_embeddings` (`owner_id`,`model`) WHERE "message_embeddings"."owner_id" <> '';