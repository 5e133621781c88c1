import type { AgentTables } from './agent-tables.ts'
import type { Columns } from './columns.ts'
import type { ConversationTables } from './conversation-tables.ts'
import { hasOwner } from './has-owner.ts'

type Embedded = Pick<ConversationTables, 'messages'> & Pick<AgentTables, 'memories'>

/**
 * Defines the tables of embeddings: a row for each text and model. A text without a row of the current model is still to be
 * embedded. `model` is the name of the model with its dimensions, such as `text-embedding-3-small/1536`, so that the primary
 * key alone tells what is missing. `vector` is null if the text is empty; it comes last, so that SQLite finds the other columns
 * without reading it.
 */
export function defineEmbeddingTables(c: Columns, { messages, memories }: Embedded) {
  const messageEmbeddings = c.table(
    'message_embeddings',
    {
      sessionId: c.text('session_id').notNull(),
      ownerId: c.owner(),
      seq: c.integer('seq').notNull(),
      model: c.text('model').notNull(),
      /** A hash of the text that was embedded: a text that has another is not found by this vector. */
      textHash: c.text('text_hash').notNull(),
      /** Float32, little-endian, of length 1. */
      vector: c.bytes('vector'),
    },
    (t) => [
      c.primaryKey({ columns: [t.sessionId, t.ownerId, t.seq, t.model] }),
      c.index('message_embeddings_owner').on(t.ownerId, t.model).where(hasOwner(t)),
      c
        .foreignKey({
          name: 'message_embeddings_message_fk',
          columns: [t.sessionId, t.ownerId, t.seq],
          foreignColumns: [messages.sessionId, messages.ownerId, messages.seq],
        })
        .onDelete('cascade')
        .onUpdate('cascade'),
    ],
  )

  const memoryEmbeddings = c.table(
    'memory_embeddings',
    {
      memoryId: c.text('memory_id').notNull(),
      ownerId: c.owner(),
      model: c.text('model').notNull(),
      textHash: c.text('text_hash').notNull(),
      vector: c.bytes('vector'),
    },
    (t) => [
      c.primaryKey({ columns: [t.memoryId, t.model] }),
      c.index('memory_embeddings_owner').on(t.ownerId, t.model).where(hasOwner(t)),
      c.foreignKey({ columns: [t.memoryId], foreignColumns: [memories.id] }).onDelete('cascade'),
    ],
  )

  return { messageEmbeddings, memoryEmbeddings }
}
