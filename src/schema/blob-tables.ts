import type { Columns } from './columns.ts'
import type { ConversationTables } from './conversation-tables.ts'
import type { JsonObject } from './values.ts'

/** Records apart from bytes: many records may share one content, and nothing counts references. */
export function defineBlobTables(c: Columns, { messages }: Pick<ConversationTables, 'messages'>) {
  /** Bytes that exist (`live`) or may (`pending`), by their sha256; the row that put and collect lock. */
  const blobContent = c.table('blob_content', {
    hash: c.text('hash').primaryKey(),
    size: c.long('size').notNull(),
    state: c.text('state').$type<'pending' | 'live'>().notNull(),
  })

  /** A put under way: while it lives, the collector leaves its content alone. */
  const blobLeases = c.table(
    'blob_leases',
    {
      id: c.text('id').primaryKey(),
      hash: c.text('hash').notNull(),
      expiresAt: c.instant('expires_at').notNull(),
    },
    (t) => [c.index('blob_leases_hash').on(t.hash), c.index('blob_leases_expiry').on(t.expiresAt)],
  )

  const blobs = c.table(
    'blobs',
    {
      id: c.text('id').primaryKey(),
      hash: c.text('hash').notNull(),
      name: c.text('name'),
      mimeType: c.text('mime_type').notNull(),
      source: c.text('source'),
      metadata: c.json('metadata').$type<JsonObject>().notNull(),
      createdAt: c.instant('created_at').notNull(),
      lastUsedAt: c.instant('last_used_at').notNull(),
      expiresAt: c.instant('expires_at'),
    },
    (t) => [
      c.foreignKey({ columns: [t.hash], foreignColumns: [blobContent.hash] }),
      c.index('blobs_hash').on(t.hash),
      c.index('blobs_created').on(t.createdAt, t.id),
      c.index('blobs_source').on(t.source, t.createdAt, t.id),
      c.index('blobs_last_used').on(t.lastUsedAt),
      c.index('blobs_expiry').on(t.expiresAt),
    ],
  )

  /** Which message mentions which blob: kept by the transaction that writes the message. */
  const blobRefs = c.table(
    'blob_refs',
    {
      blobId: c.text('blob_id').notNull(),
      sessionId: c.text('session_id').notNull(),
      messageId: c.text('message_id').notNull(),
    },
    (t) => [
      c.primaryKey({ columns: [t.sessionId, t.messageId, t.blobId] }),
      c.index('blob_refs_blob').on(t.blobId),
      c.foreignKey({ columns: [t.blobId], foreignColumns: [blobs.id] }).onDelete('cascade'),
      c
        .foreignKey({ columns: [t.sessionId, t.messageId], foreignColumns: [messages.sessionId, messages.id] })
        .onDelete('cascade'),
    ],
  )

  /** What contents take, how many they are, and how many blobs: a row each, so that nothing has to be counted. */
  const blobUsage = c.table('blob_usage', {
    id: c.integer('id').primaryKey(),
    used: c.long('used').notNull(),
  })

  return { blobContent, blobLeases, blobs, blobRefs, blobUsage }
}
