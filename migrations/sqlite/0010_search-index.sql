CREATE VIRTUAL TABLE message_terms USING fts5(terms, scope, content='', contentless_delete=1, tokenize='ascii');
--> statement-breakpoint
CREATE VIRTUAL TABLE memory_terms USING fts5(terms, scope, content='', contentless_delete=1, tokenize='ascii');
--> statement-breakpoint
CREATE TABLE message_search_entries (doc integer, session_id text, owner_id text, seq integer, role text, generation integer, terms text);
--> statement-breakpoint
CREATE TABLE memory_search_entries (doc integer, memory_id text, owner_id text, generation integer, terms text);
--> statement-breakpoint
CREATE TRIGGER message_search_write BEFORE INSERT ON message_search_entries BEGIN
	INSERT INTO message_search (doc, session_id, owner_id, seq, role, generation)
		VALUES (new.doc, new.session_id, new.owner_id, new.seq, new.role, new.generation)
		ON CONFLICT (doc) DO UPDATE SET role = excluded.role, generation = excluded.generation;
	INSERT OR REPLACE INTO message_terms (rowid, terms, scope) VALUES (
		coalesce(new.doc, last_insert_rowid()), new.terms,
		's' || hex(substr(new.session_id, -8)) || ' o' || hex(substr(new.owner_id, -8)));
	SELECT RAISE(IGNORE);
END;
--> statement-breakpoint
CREATE TRIGGER memory_search_write BEFORE INSERT ON memory_search_entries BEGIN
	INSERT INTO memory_search (doc, memory_id, owner_id, generation)
		VALUES (new.doc, new.memory_id, new.owner_id, new.generation)
		ON CONFLICT (doc) DO UPDATE SET generation = excluded.generation;
	INSERT OR REPLACE INTO memory_terms (rowid, terms, scope)
		VALUES (coalesce(new.doc, last_insert_rowid()), new.terms, 'o' || hex(substr(new.owner_id, -8)));
	SELECT RAISE(IGNORE);
END;
--> statement-breakpoint
CREATE TRIGGER message_search_delete AFTER DELETE ON message_search BEGIN
	DELETE FROM message_terms WHERE rowid = old.doc;
END;
--> statement-breakpoint
CREATE TRIGGER memory_search_delete AFTER DELETE ON memory_search BEGIN
	DELETE FROM memory_terms WHERE rowid = old.doc;
END;
