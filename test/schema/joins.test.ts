import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { and, eq } from 'drizzle-orm'
import { drizzle as drizzleSqlite } from 'drizzle-orm/better-sqlite3'
import * as pg from 'drizzle-orm/pg-core'
import { drizzle as drizzlePostgres } from 'drizzle-orm/postgres-js'
import * as lite from 'drizzle-orm/sqlite-core'
import { type JsonObject, type MessageContent, openStorage, type StorageConfig } from 'holdfast'
import * as ours from 'holdfast/schema/postgres'
import { messages, sessions } from 'holdfast/schema/sqlite'
import postgres from 'postgres'
import { expect, expectTypeOf, test } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { silent } from '../setup/silent.ts'

interface Row {
  stars: number
  content: MessageContent
  metadata: JsonObject
  createdAt: Date
  title: string | null
}

const content = [{ type: 'text', text: '10' }]
const metadata = { z: 1, a: '\u0000' }
const createdAt = new Date('2026-01-02T03:04:05.678Z')
const expected = [
  { stars: 5, content, metadata, createdAt, title: 'title' },
  { stars: 1, content: '10', metadata: {}, createdAt, title: 'title' },
]

async function fill(database: StorageConfig['database']): Promise<void> {
  await using storage = await openStorage({ database }, { logger: silent })
  await storage.sessions.create({ id: 'session', title: 'title' })
  await storage.messages.append('session', [
    { id: 'a', role: 'user', content, metadata, createdAt },
    { id: 'b', role: 'user', content: '10', createdAt },
  ])
}

test("holdfast/schema/sqlite joins with a program's own tables", async () => {
  const path = join(freshDirectory(), 'agent.db')
  await fill({ type: 'sqlite', path })
  const ratings = lite.sqliteTable('ratings', {
    session: lite.text('session').notNull(),
    message: lite.text('message').notNull(),
    stars: lite.integer('stars').notNull(),
  })
  const file = new BetterSqlite3(path)
  try {
    file.exec(
      "create table ratings (session, message, stars); insert into ratings values ('session', 'a', 5), ('session', 'b', 1)",
    )
    const { content, metadata, createdAt } = messages
    const rows = await drizzleSqlite(file)
      .select({ stars: ratings.stars, content, metadata, createdAt, title: sessions.title })
      .from(ratings)
      .innerJoin(messages, and(eq(messages.sessionId, ratings.session), eq(messages.id, ratings.message)))
      .innerJoin(sessions, eq(sessions.id, messages.sessionId))
      .orderBy(messages.seq)
    expectTypeOf(rows).toEqualTypeOf<Row[]>()
    expect(rows).toEqual(expected)
    expectTypeOf(messages.$inferSelect).toEqualTypeOf(ours.messages.$inferSelect)
  } finally {
    file.close()
  }
})

test("holdfast/schema/postgres joins with a program's own tables", async () => {
  const url = await freshPostgres()
  await fill({ type: 'postgres', url })
  const ratings = pg.pgTable('ratings', {
    session: pg.text('session').notNull(),
    message: pg.text('message').notNull(),
    stars: pg.integer('stars').notNull(),
  })
  const client = postgres(url, { max: 1 })
  try {
    await client`create table ratings (session text, message text, stars int)`
    await client`insert into ratings values ('session', 'a', 5), ('session', 'b', 1)`
    const { content, metadata, createdAt } = ours.messages
    const rows = await drizzlePostgres(client)
      .select({ stars: ratings.stars, content, metadata, createdAt, title: ours.sessions.title })
      .from(ratings)
      .innerJoin(
        ours.messages,
        and(eq(ours.messages.sessionId, ratings.session), eq(ours.messages.id, ratings.message)),
      )
      .innerJoin(ours.sessions, eq(ours.sessions.id, ours.messages.sessionId))
      .orderBy(ours.messages.seq)
    expectTypeOf(rows).toEqualTypeOf<Row[]>()
    expect(rows).toEqual(expected)
  } finally {
    await client.end()
  }
})
