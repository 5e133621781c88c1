ALTER TABLE `queue_items` ADD `lease` text;--> statement-breakpoint
ALTER TABLE `queue_items` ADD `leased_until` integer;--> statement-breakpoint
ALTER TABLE `queue_items` ADD `attempts` integer DEFAULT 0 NOT NULL;