import { randomUUID } from 'node:crypto'
import { and, asc, eq, gt, sql } from 'drizzle-orm'
import { integer, json, pgTable, text, timestamp } from 'drizzle-orm/pg-core'
import { drizzle } from 'drizzle-orm/postgres-js'
import type { MessageInput } from 'holdfast'
import type postgres from 'postgres'

const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 })
const sessions = pgTable('sessions', {
  id: text('id').notNull(),
  ownerId: text('owner_id').notNull().default(''),
  metadata: json('metadata').notNull(),
  version: integer('version').notNull(),
  createdAt: instant('created_at').notNull(),
  updatedAt: instant('updated_at').notNull(),
  lastSeq: integer('last_seq').notNull(),
  messageCount: integer('message_count').notNull(),
  lastActiveAt: instant('last_active_at').notNull(),
})
const messages = pgTable('messages', {
  sessionId: text('session_id').notNull(),
  ownerId: text('owner_id').notNull().default(''),
  seq: integer('seq').notNull(),
  id: text('id').notNull(),
  role: text('role').notNull(),
  content: json('content'),
  metadata: json('metadata').notNull(),
  createdAt: instant('created_at').notNull(),
})

type Orm = Pick<ReturnType<typeof drizzle>, 'select' | 'insert'>

/**
 * Returns two contenders over drizzle's own postgres.js driver: one builds each query per call, one uses `.prepare()`.
 */
export function drizzlePostgres(client: postgres.Sql) {
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
  const nextSeq = (orm: Orm, sessionId: string, now: Date) =>
    orm
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

  // Cast: the builder's types ask for a value, and a placeholder stands for one.
  const any = (name: string) => sql.placeholder(name) as unknown as string & number
  const prepared = {
    message: message(any('sessionId'), any('id')).prepare('message'),
    page: page(any('sessionId'), any('after'), any('limit')).prepare('page'),
  }

  return {
    perCall: {
      message: async (sessionId: string, id: string) => (await message(sessionId, id))[0],
      page: async (sessionId: string, after: number, limit: number) => page(sessionId, after, limit + 1),
      append: (sessionId: string, { id = randomUUID(), role, content, metadata = {} }: MessageInput) =>
        db.transaction(async (tx) => {
          const now = new Date()
          const [session] = await nextSeq(tx, sessionId, now)
          const row = { sessionId, seq: session?.lastSeq ?? 0, id, role, content, metadata }
          return tx
            .insert(messages)
            .values({ ...row, createdAt: now })
            .returning()
        }),
    },
    prepared: {
      message: async (sessionId: string, id: string) => (await prepared.message.execute({ sessionId, id }))[0],
      page: (sessionId: string, after: number, limit: number) =>
        prepared.page.execute({ sessionId, after, limit: limit + 1 }),
    },
  }
}
