CREATE TABLE `session_operations` (
	`session_id` text NOT NULL,
	`owner_id` text DEFAULT '' NOT NULL,
	`id` text NOT NULL,
	`payload_hash` text NOT NULL,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`session_id`, `owner_id`, `id`),
	FOREIGN KEY (`session_id`,`owner_id`) REFERENCES `sessions`(`id`,`owner_id`) ON UPDATE cascade ON DELETE cascade
);
