import type { Columns } from './columns.ts'
import type { MessageRole } from './values.ts'

/**
 * Defines how an entry of the full-text index is written, tokens included: in PostgreSQL the tables of search-tables.ts with
 * their column `terms`, in SQLite tables that stay empty, whose triggers write or replace the row and its tokens instead.
 * drizzle-kit must not see them. They are no views: those make drizzle-kit fail in a file that another program shares.
 */
export function defineSearchEntries(c: Columns, names: { messages: string; memories: string }) {
  return {
    messages: c.table(names.messages, {
      doc: c.looseSequence('doc'),
      sessionId: c.text('session_id').notNull(),
      ownerId: c.owner(),
      seq: c.integer('seq').notNull(),
      role: c.text('role').$type<MessageRole>().notNull(),
      generation: c.integer('generation').notNull(),
      terms: c.terms('terms').notNull(),
    }),
    memories: c.table(names.memories, {
      doc: c.looseSequence('doc'),
      memoryId: c.text('memory_id').notNull(),
      ownerId: c.owner(),
      generation: c.integer('generation').notNull(),
      terms: c.terms('terms').notNull(),
    }),
  }
}

export type SearchEntries = ReturnType<typeof defineSearchEntries>
