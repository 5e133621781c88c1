import { sql } from 'drizzle-orm'
import type { Columns } from './columns.ts'
import { hasOwner } from './has-owner.ts'
import type { Json, JsonObject, MessageContent, MessageRole } from './values.ts'

/**
 * Defines the tables of sessions, messages, operations, keys and lists. `sessions.get` does not return the columns that an append
 * changes (lastSeq, messageCount, lastActiveAt), so that a running conversation stays cached.
 */
export function defineConversationTables(c: Columns) {
  const sessions = c.table(
    'sessions',
    {
      id: c.text('id').notNull(),
      ownerId: c.owner(),
      title: c.text('title'),
      metadata: c.json('metadata').$type<JsonObject>().notNull(),
      version: c.integer('version').notNull(),
      parentId: c.text('parent_id'),
      createdAt: c.instant('created_at').notNull(),
      updatedAt: c.instant('updated_at').notNull(),
      expiresAt: c.instant('expires_at'),
      lastSeq: c.integer('last_seq').notNull(),
      messageCount: c.integer('message_count').notNull(),
      lastActiveAt: c.instant('last_active_at').notNull(),
    },
    (t) => [
      c.primaryKey({ columns: [t.id, t.ownerId] }),
      c.index('sessions_activity').on(t.lastActiveAt, t.id, t.ownerId),
      c.index('sessions_owner_activity').on(t.ownerId, t.lastActiveAt, t.id).where(hasOwner(t)),
      c.index('sessions_created').on(t.createdAt, t.id, t.ownerId),
      c.index('sessions_owner_created').on(t.ownerId, t.createdAt, t.id).where(hasOwner(t)),
      c.index('sessions_parent').on(t.parentId, t.ownerId, t.createdAt, t.id).where(sql`${t.parentId} is not null`),
      c.index('sessions_expiry').on(t.expiresAt).where(sql`${t.expiresAt} is not null`),
    ],
  )

  const messages = c.table(
    'messages',
    {
      sessionId: c.text('session_id').notNull(),
      ownerId: c.owner(),
      seq: c.integer('seq').notNull(),
      id: c.text('id').notNull(),
      role: c.text('role').$type<MessageRole>().notNull(),
      content: c.json('content').$type<MessageContent>(),
      metadata: c.json('metadata').$type<JsonObject>().notNull(),
      createdAt: c.instant('created_at').notNull(),
    },
    (t) => [
      c.primaryKey({ columns: [t.sessionId, t.ownerId, t.seq] }),
      c.uniqueIndex('messages_id').on(t.sessionId, t.ownerId, t.id),
      c
        .foreignKey({ columns: [t.sessionId, t.ownerId], foreignColumns: [sessions.id, sessions.ownerId] })
        .onDelete('cascade')
        .onUpdate('cascade'),
    ],
  )

  /** What was done once in a session, by ids that programs choose. */
  const sessionOperations = c.table(
    'session_operations',
    {
      sessionId: c.text('session_id').notNull(),
      ownerId: c.owner(),
      id: c.text('id').notNull(),
      /** A hash of what the operation was to do. */
      payloadHash: c.text('payload_hash').notNull(),
      createdAt: c.instant('created_at').notNull(),
    },
    (t) => [
      c.primaryKey({ columns: [t.sessionId, t.ownerId, t.id] }),
      c
        .foreignKey({ columns: [t.sessionId, t.ownerId], foreignColumns: [sessions.id, sessions.ownerId] })
        .onDelete('cascade')
        .onUpdate('cascade'),
    ],
  )

  /** An entry with a session goes when the session goes. It is never cached: the deletion of a session names no keys. */
  const kv = c.table(
    'kv',
    {
      ownerId: c.owner(),
      key: c.text('key').notNull(),
      sessionId: c.text('session_id'),
      value: c.json('value').$type<Json>(),
      version: c.integer('version').notNull(),
      createdAt: c.instant('created_at').notNull(),
      updatedAt: c.instant('updated_at').notNull(),
      expiresAt: c.instant('expires_at'),
    },
    (t) => [
      c.primaryKey({ columns: [t.ownerId, t.key] }),
      c.index('kv_expiry').on(t.expiresAt).where(sql`${t.expiresAt} is not null`),
      c.index('kv_session').on(t.sessionId, t.ownerId).where(sql`${t.sessionId} is not null`),
      c
        .foreignKey({ columns: [t.sessionId, t.ownerId], foreignColumns: [sessions.id, sessions.ownerId] })
        .onDelete('cascade')
        .onUpdate('cascade'),
    ],
  )

  /** The length of each list. Writers lock this row. A list with a session goes when the session goes. */
  const lists = c.table(
    'lists',
    {
      ownerId: c.owner(),
      key: c.text('key').notNull(),
      sessionId: c.text('session_id'),
      length: c.integer('length').notNull(),
    },
    (t) => [
      c.primaryKey({ columns: [t.ownerId, t.key] }),
      c.index('lists_session').on(t.sessionId, t.ownerId).where(sql`${t.sessionId} is not null`),
      c
        .foreignKey({ columns: [t.sessionId, t.ownerId], foreignColumns: [sessions.id, sessions.ownerId] })
        .onDelete('cascade')
        .onUpdate('cascade'),
    ],
  )

  /** The items of lists. Positions run from 0 without gaps. */
  const listItems = c.table(
    'list_items',
    {
      ownerId: c.owner(),
      key: c.text('key').notNull(),
      position: c.integer('position').notNull(),
      value: c.json('value').$type<Json>(),
    },
    (t) => [
      c.primaryKey({ columns: [t.ownerId, t.key, t.position] }),
      c
        .foreignKey({ columns: [t.ownerId, t.key], foreignColumns: [lists.ownerId, lists.key] })
        .onDelete('cascade')
        .onUpdate('cascade'),
    ],
  )

  return { sessions, messages, sessionOperations, kv, lists, listItems }
}

export type ConversationTables = ReturnType<typeof defineConversationTables>
