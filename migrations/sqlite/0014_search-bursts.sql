-- FTS5 merges its segments in units of 64 pages: smaller pages make the longest merge of a write shorter.
INSERT INTO message_terms (message_terms, rank) VALUES ('pgsz', 1000);
--> statement-breakpoint
INSERT INTO memory_terms (memory_terms, rank) VALUES ('pgsz', 1000);
