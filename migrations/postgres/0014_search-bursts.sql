-- The write that finds the list of what the index has yet to sort full sorts it: 4 MB, the default, takes 300 ms.
ALTER INDEX message_search_terms SET (gin_pending_list_limit = 256);
--> statement-breakpoint
ALTER INDEX memory_search_terms SET (gin_pending_list_limit = 256);
