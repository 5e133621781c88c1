ALTER TABLE "queue_items" ADD COLUMN "lease" text COLLATE "C";--> statement-breakpoint
ALTER TABLE "queue_items" ADD COLUMN "leased_until" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "queue_items" ADD COLUMN "attempts" integer DEFAULT 0 NOT NULL;