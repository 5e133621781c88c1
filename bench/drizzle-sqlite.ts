import { randomUUID } from 'node:crypto'
import type BetterSqlite3 from 'better-sqlite3'
import { and, asc, eq, gt, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { MessageInput } from 'holdfast'

const sessions = sqliteTable('sessions', {
  id: text('id').notNull(),
  ownerId: text('owner_id').notNull().default(''),
  metadata: text('metadata', { mode: 'json' }).notNull(),
  version: integer('version').notNull(),
  createdAt: integer('created_at', { mode: 'timestamp_ms' }).notNull(),
  updatedAt: integer('updated_at', { mode: 'timestamp_ms' }).notNull(),
  lastSeq: integer('last_seq').notNull(),
  messageCount: integer('message_count').notNull(),
  lastActiveAt: integer('last_active_at', { mode: 'timestamp_ms' }).notNull(),
})
const messages = sqliteTable('messages', {
  sessionId: text('session_id').notNull(),
  ownerId: text('owner_id').notNull().default(''),
  seq: integer('seq').notNull(),
  id: text('id').notNull(),
  role: text('role').notNull(),
  content: text('content', { mode: 'json' }),
  metadata: text('metadata', { mode: 'json' }).notNull(),
  createdAt: integer('created_at', { mode: 'timestamp_ms' }).notNull(),
})

/**
 * Returns two contenders over drizzle's own better-sqlite3 driver: one builds each query per call, one uses
 * `.prepare()`.
 */
export function drizzleSqlite(client: BetterSqlite3.Database) {
  const db = drizzle({ client })

  const message = (sessionId: string, id: string) =>
    db
      .select()
      .from(messages)
      .where(and(eq(messages.sessionId, sessionId), eq(messages.ownerId, ''), eq(messages.id, id)))
  const page = (sessionId: string, after: number, limit: number) =>
    db
      .select()
      .from(messages)
      .where(and(eq(messages.sessionId, sessionId), eq(messages.ownerId, ''), gt(messages.seq, after)))
      .orderBy(asc(messages.seq))
      .limit(limit)
  const nextSeq = (sessionId: string, now: Date) =>
    db
      .insert(sessions)
      .values({
        id: sessionId,
        metadata: {},
        version: 1,
        createdAt: now,
        updatedAt: now,
        lastSeq: 1,
        messageCount: 1,
        lastActiveAt: now,
      })
      .onConflictDoUpdate({
        target: [sessions.id, sessions.ownerId],
        set: {
          lastSeq: sql`${sessions.lastSeq} + 1`,
          messageCount: sql`${sessions.messageCount} + 1`,
          lastActiveAt: sql`excluded.last_active_at`,
        },
      })
      .returning({ lastSeq: sessions.lastSeq })
  const insert = (row: typeof messages.$inferInsert) => db.insert(messages).values(row).returning()

  // Cast: the builder's types ask for a value, and a placeholder stands for one.
  const any = (name: string) => sql.placeholder(name) as unknown as string & number & Date
  const prepared = {
    message: message(any('sessionId'), any('id')).prepare(),
    page: page(any('sessionId'), any('after'), any('limit')).prepare(),
    nextSeq: nextSeq(any('sessionId'), any('now')).prepare(),
    insert: insert({
      sessionId: any('sessionId'),
      seq: any('seq'),
      id: any('id'),
      role: any('role'),
      content: any('content'),
      metadata: any('metadata'),
      createdAt: any('now'),
    }).prepare(),
  }

  const append = client.transaction(
    (sessionId: string, { id = randomUUID(), role, content, metadata = {} }: MessageInput) => {
      const now = new Date()
      if (message(sessionId, id).get()) throw new Error('A repeat')
      const seq = nextSeq(sessionId, now).all()[0]?.lastSeq ?? 0
      return insert({ sessionId, seq, id, role, content, metadata, createdAt: now }).all()
    },
  )
  const appendPrepared = client.transaction(
    (sessionId: string, { id = randomUUID(), role, content, metadata = {} }: MessageInput) => {
      const now = new Date()
      if (prepared.message.get({ sessionId, id })) throw new Error('A repeat')
      const seq = prepared.nextSeq.all({ sessionId, now })[0]?.lastSeq ?? 0
      return prepared.insert.all({ sessionId, seq, id, role, content, metadata, now })
    },
  )

  return {
    perCall: {
      message: (sessionId: string, id: string) => message(sessionId, id).get(),
      page: (sessionId: string, after: number, limit: number) => page(sessionId, after, limit + 1).all(),
      append: append.immediate,
    },
    prepared: {
      message: (sessionId: string, id: string) => prepared.message.get({ sessionId, id }),
      page: (sessionId: string, after: number, limit: number) =>
        prepared.page.all({ sessionId, after, limit: limit + 1 }),
      append: appendPrepared.immediate,
    },
  }
}
