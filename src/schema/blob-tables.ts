import type { Columns } from './columns.ts'
import type { ConversationTables } from './conversation-tables.ts'
import { hasOwner } from './has-owner.ts'
import type { JsonObject } from './values.ts'

/** Defines the tables of blobs. Records are apart from contents: many records may share a content, without a reference count. */
export function defineBlobTables(c: Columns, { messages }: Pick<ConversationTables, 'messages'>) {
  /**
   * Contents by sha256. The bytes exist (`live`) or may exist (`pending`). The generation says which object has them: it is
   * empty for objects of the first version, which knew none.
   */
  const blobContent = c.table('blob_content', {
    hash: c.text('hash').primaryKey(),
    size: c.long('size').notNull(),
    state: c.text('state').$type<'pending' | 'live'>().notNull(),
    generation: c.text('generation').notNull().default(''),
  })

  /** Objects that nobody needs any more, until their bytes are removed. They never become needed again. */
  const blobRemovals = c.table(
    'blob_removals',
    {
      hash: c.text('hash').notNull(),
      generation: c.text('generation').notNull(),
      /** What the quota still counts for the object: 0 if the content is stored in another one as well. */
      counted: c.long('counted').notNull(),
    },
    (t) => [c.primaryKey({ columns: [t.hash, t.generation] })],
  )

  /** The bytes of objects, in parts, for a store inside the database. `start` is where a part begins. */
  const blobChunks = c.table(
    'blob_chunks',
    {
      hash: c.text('hash').notNull(),
      generation: c.text('generation').notNull(),
      start: c.long('start').notNull(),
      storedAt: c.instant('stored_at').notNull(),
      data: c.bytes('data').notNull(),
    },
    (t) => [c.primaryKey({ columns: [t.hash, t.generation, t.start] })],
  )

  /** Reservations of puts in flight. Until one expires, its content is not collected. */
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
      ownerId: c.owner(),
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
      c.index('blobs_owner_created').on(t.ownerId, t.createdAt, t.id).where(hasOwner(t)),
      c.index('blobs_owner_source').on(t.ownerId, t.source, t.createdAt, t.id).where(hasOwner(t)),
    ],
  )

  /** Which message mentions which blob. Written by the transaction that writes the message, whose owner it has. */
  const blobRefs = c.table(
    'blob_refs',
    {
      blobId: c.text('blob_id').notNull(),
      sessionId: c.text('session_id').notNull(),
      ownerId: c.owner(),
      messageId: c.text('message_id').notNull(),
    },
    (t) => [
      c.primaryKey({ columns: [t.sessionId, t.ownerId, t.messageId, t.blobId] }),
      c.index('blob_refs_blob').on(t.blobId),
      c.foreignKey({ columns: [t.blobId], foreignColumns: [blobs.id] }).onDelete('cascade'),
      c
        .foreignKey({
          name: 'blob_refs_message_fk',
          columns: [t.sessionId, t.ownerId, t.messageId],
          foreignColumns: [messages.sessionId, messages.ownerId, messages.id],
        })
        .onDelete('cascade')
        .onUpdate('cascade'),
    ],
  )

  /** Running totals, one row each: bytes of contents, number of contents, number of blobs. No query has to count. */
  const blobUsage = c.table('blob_usage', {
    id: c.integer('id').primaryKey(),
    used: c.long('used').notNull(),
  })

  return { blobContent, blobRemovals, blobChunks, blobLeases, blobs, blobRefs, blobUsage }
}
