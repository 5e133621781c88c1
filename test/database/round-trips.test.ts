import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/postgres-js'
import { openStorage, type StatementMessage } from 'holdfast'
import postgres from 'postgres'
import { expect, onTestFinished, test } from 'vitest'
import { messages, sessions } from '../../src/schema/postgres.ts'
import { freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { type Link, startLink } from './link.ts'

const delayMillis = 25

/** Creates a database with Holdfast's tables, behind a proxy that delays every answer. */
async function distantPostgres() {
  const url = new URL(await freshPostgres())
  await (await openStorage({ database: { type: 'postgres', url: url.href } }, quiet)).close()
  const link = await startLink(Number(url.port), { delayMillis })
  url.port = String(link.port)
  return { url: url.href, link }
}

/** Returns the number of round trips of a call. */
async function roundTrips(link: Link, work: () => Promise<unknown>): Promise<number> {
  const before = link.roundTrips
  await work()
  return link.roundTrips - before
}

test('a call takes one round trip once its statements are prepared, and a transaction at most three', async () => {
  const { url, link } = await distantPostgres()
  await using storage = await openStorage({ database: { type: 'postgres', url, maxConnections: 1 } }, quiet)
  const message = { role: 'user', content: 'hello' }
  const calls: Record<string, () => Promise<unknown>> = {
    append: () => storage.messages.append('session', message),
    'append of 20': () =>
      storage.messages.append(
        'session',
        Array.from({ length: 20 }, () => message),
      ),
    latest: () => storage.messages.latest('session', 20),
    'set a key': () => storage.kv.set('key', 1),
    'append to a list': () => storage.lists.append('list', 1, 2, 3),
  }
  const inTransaction = () => storage.transaction((tx) => tx.lists.append('list', 1))
  for (const call of [...Object.values(calls), inTransaction]) await call()
  const counted: Record<string, number> = {}
  for (const [name, call] of Object.entries(calls)) counted[name] = await roundTrips(link, call)
  expect(counted).toEqual(Object.fromEntries(Object.keys(calls).map((name) => [name, 1])))
  expect(await roundTrips(link, inTransaction)).toBeLessThanOrEqual(3)
})

test('an append of any number of messages is one statement without BEGIN and COMMIT', async () => {
  await using storage = await openStorage({ database: { type: 'postgres', url: await freshPostgres() } }, quiet)
  const sent: number[] = []
  const listener = (message: unknown) => sent.push((message as StatementMessage).statements) // of this channel
  subscribe('tracing:holdfast:statement:start', listener)
  onTestFinished(() => void unsubscribe('tracing:holdfast:statement:start', listener))
  for (const count of [1, 2, 1000]) {
    const messages = Array.from({ length: count }, (_, i) => ({
      id: `"${count}\\{${i}},`,
      role: 'NULL',
      content: null,
    }))
    const stored = await storage.messages.append('chat', messages)
    expect(stored.map(({ id, role, content }) => ({ id, role, content }))).toEqual(messages)
  }
  expect(sent).toEqual([1, 1, 1])
  const found = await storage.messages.latest('chat', 1000)
  expect(found[0]).toMatchObject({ id: '"1000\\{0},', seq: 4, role: 'NULL', content: null })
  expect(found.at(-1)).toMatchObject({ id: '"1000\\{999},', seq: 1003 })
})

// The naive variant: drizzle's own transaction over postgres.js.
test('an append with drizzle alone takes at least four round trips', async () => {
  const { url, link } = await distantPostgres()
  const client = postgres(url, { max: 1 })
  onTestFinished(() => client.end())
  const db = drizzle(client)
  const now = new Date()
  const append = () =>
    db.transaction(async (tx) => {
      const [session] = await tx
        .insert(sessions)
        .values({
          id: 's',
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
          set: { lastSeq: sql`${sessions.lastSeq} + 1`, messageCount: sql`${sessions.messageCount} + 1` },
        })
        .returning({ lastSeq: sessions.lastSeq })
      const seq = session?.lastSeq ?? 0
      await tx
        .insert(messages)
        .values({ sessionId: 's', seq, id: String(seq), role: 'user', content: 'hello', metadata: {}, createdAt: now })
        .returning({ id: messages.id })
    })
  for (let i = 0; i < 3; i++) await append()
  expect(await roundTrips(link, append)).toBeGreaterThanOrEqual(4)
})
