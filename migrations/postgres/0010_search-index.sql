ALTER TABLE message_search ADD COLUMN terms tsvector NOT NULL;
--> statement-breakpoint
ALTER TABLE memory_search ADD COLUMN terms tsvector NOT NULL;
--> statement-breakpoint
CREATE INDEX message_search_terms ON message_search USING gin (terms, (ARRAY[session_id]), (ARRAY[owner_id]));
--> statement-breakpoint
CREATE INDEX memory_search_terms ON memory_search USING gin (terms, (ARRAY[owner_id]));
