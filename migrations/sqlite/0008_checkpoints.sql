CREATE TABLE `checkpoint_values` (
	`owner_id` text DEFAULT '' NOT NULL,
	`thread_id` text NOT NULL,
	`namespace` text NOT NULL,
	`channel` text NOT NULL,
	`version` text NOT NULL,
	`type` text NOT NULL,
	`data` blob NOT NULL,
	PRIMARY KEY(`owner_id`, `thread_id`, `namespace`, `channel`, `version`)
);
--> statement-breakpoint
CREATE TABLE `checkpoint_writes` (
	`owner_id` text DEFAULT '' NOT NULL,
	`thread_id` text NOT NULL,
	`namespace` text NOT NULL,
	`checkpoint_id` text NOT NULL,
	`task_id` text NOT NULL,
	`index` integer NOT NULL,
	`task_path` text NOT NULL,
	`channel` text NOT NULL,
	`type` text NOT NULL,
	`data` blob NOT NULL,
	PRIMARY KEY(`owner_id`, `thread_id`, `namespace`, `checkpoint_id`, `task_id`, `index`)
);
--> statement-breakpoint
CREATE TABLE `checkpoints` (
	`owner_id` text DEFAULT '' NOT NULL,
	`thread_id` text NOT NULL,
	`namespace` text NOT NULL,
	`id` text NOT NULL,
	`parent_id` text,
	`metadata` text NOT NULL,
	`versions` text NOT NULL,
	`ancestors` integer NOT NULL,
	`created_at` integer NOT NULL,
	`type` text NOT NULL,
	`data` blob NOT NULL,
	PRIMARY KEY(`owner_id`, `thread_id`, `namespace`, `id`)
);
