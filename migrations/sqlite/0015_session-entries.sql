-- SQLite adds no foreign key to a table, so tables are made anew. Drizzle-kit migrates with foreign keys on: list_items is dropped
-- before lists, so that no DROP deletes rows that are still needed. A RENAME also renames what foreign keys refer to.
CREATE TABLE `__new_kv` (
	`owner_id` text DEFAULT '' NOT NULL,
	`key` text NOT NULL,
	`session_id` text,
	`value` text,
	`version` integer NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`expires_at` integer,
	PRIMARY KEY(`owner_id`, `key`),
	FOREIGN KEY (`session_id`,`owner_id`) REFERENCES `sessions`(`id`,`owner_id`) ON UPDATE cascade ON DELETE cascade
);
--> statement-breakpoint
INSERT INTO `__new_kv`("owner_id", "key", "value", "version", "created_at", "updated_at", "expires_at") SELECT "owner_id", "key", "value", "version", "created_at", "updated_at", "expires_at" FROM `kv` ORDER BY "owner_id", "key";--> statement-breakpoint
DROP TABLE `kv`;--> statement-breakpoint
ALTER TABLE `__new_kv` RENAME TO `kv`;--> statement-breakpoint
CREATE INDEX `kv_expiry` ON `kv` (`expires_at`) WHERE "kv"."expires_at" is not null;--> statement-breakpoint
CREATE INDEX `kv_session` ON `kv` (`session_id`,`owner_id`) WHERE "kv"."session_id" is not null;--> statement-breakpoint
CREATE TABLE `__new_lists` (
	`owner_id` text DEFAULT '' NOT NULL,
	`key` text NOT NULL,
	`session_id` text,
	`length` integer NOT NULL,
	PRIMARY KEY(`owner_id`, `key`),
	FOREIGN KEY (`session_id`,`owner_id`) REFERENCES `sessions`(`id`,`owner_id`) ON UPDATE cascade ON DELETE cascade
);
--> statement-breakpoint
INSERT INTO `__new_lists`("owner_id", "key", "length") SELECT "owner_id", "key", "length" FROM `lists` ORDER BY "owner_id", "key";--> statement-breakpoint
CREATE TABLE `__new_list_items` (
	`owner_id` text DEFAULT '' NOT NULL,
	`key` text NOT NULL,
	`position` integer NOT NULL,
	`value` text,
	PRIMARY KEY(`owner_id`, `key`, `position`),
	FOREIGN KEY (`owner_id`,`key`) REFERENCES `__new_lists`(`owner_id`,`key`) ON UPDATE cascade ON DELETE cascade
);
--> statement-breakpoint
INSERT INTO `__new_list_items`("owner_id", "key", "position", "value") SELECT "owner_id", "key", "position", "value" FROM `list_items` ORDER BY "owner_id", "key", "position";--> statement-breakpoint
DROP TABLE `list_items`;--> statement-breakpoint
DROP TABLE `lists`;--> statement-breakpoint
ALTER TABLE `__new_lists` RENAME TO `lists`;--> statement-breakpoint
ALTER TABLE `__new_list_items` RENAME TO `list_items`;--> statement-breakpoint
CREATE INDEX `lists_session` ON `lists` (`session_id`,`owner_id`) WHERE "lists"."session_id" is not null;
