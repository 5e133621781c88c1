import type { AgentTables } from './agent-tables.ts'
import type { Columns } from './columns.ts'
import type { ConversationTables } from './conversation-tables.ts'
import type { MessageRole } from './values.ts'

type Searched = Pick<ConversationTables, 'messages'> & Pick<AgentTables, 'memories'>

/**
 * Defines the tables of the full-text index: a row for each text that is indexed, in the order in which the texts came.
 * The tokens are beside them, in what only one dialect has: a column `terms` with a GIN index in PostgreSQL, an FTS5 table with
 * `doc` as its rowid in SQLite. A migration of our own makes both. See search-entries.ts.
 */
export function defineSearchTables(c: Columns, { messages, memories }: Searched) {
  /** `role` is copied from the message, so that a search by role reads no messages. */
  const messageSearch = c.table(
    'message_search',
    {
      doc: c.looseSequence('doc'),
      sessionId: c.text('session_id').notNull(),
      ownerId: c.owner(),
      seq: c.integer('seq').notNull(),
      role: c.text('role').$type<MessageRole>().notNull(),
      generation: c.integer('generation').notNull(),
    },
    (t) => [
      c.uniqueIndex('message_search_message').on(t.sessionId, t.ownerId, t.seq),
      c
        .foreignKey({
          name: 'message_search_message_fk',
          columns: [t.sessionId, t.ownerId, t.seq],
          foreignColumns: [messages.sessionId, messages.ownerId, messages.seq],
        })
        .onDelete('cascade')
        .onUpdate('cascade'),
    ],
  )

  const memorySearch = c.table(
    'memory_search',
    {
      doc: c.looseSequence('doc'),
      memoryId: c.text('memory_id').notNull(),
      ownerId: c.owner(),
      generation: c.integer('generation').notNull(),
    },
    (t) => [
      c.uniqueIndex('memory_search_memory').on(t.memoryId),
      c.foreignKey({ columns: [t.memoryId], foreignColumns: [memories.id] }).onDelete('cascade'),
    ],
  )

  return { messageSearch, memorySearch }
}
