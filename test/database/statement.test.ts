import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { asc, eq, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.ts'
import type { Database } from '../../src/database/database.ts'
import { openDatabase } from '../../src/database/open.ts'
import { batch, rowsStatement, statement } from '../../src/database/statement.ts'
import { memories as sqliteMemories } from '../../src/schema/sqlite.ts'
import type { Json, JsonObject } from '../../src/schema/values.ts'
import { times } from '../../src/testing/contract.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { read, write } from './drivers.ts'

const open = (database: Record<string, unknown>) =>
  openDatabase(resolveConfig({ database }).database, { migrate: true })

const dialects: [string, () => Promise<Database>][] = [
  ['in-memory', () => open({ type: 'in-memory' })],
  ['postgres', async () => open({ type: 'postgres', url: await freshPostgres() })],
]

interface Memory {
  id: string
  pinned: boolean
  metadata: JsonObject
  createdAt: Date
}

const insertMemory = statement(({ orm, tables: { memories } }, arg: Memory) =>
  orm
    .insert(memories)
    .values({
      id: arg.id,
      content: 'text',
      pinned: arg.pinned,
      metadata: arg.metadata,
      createdAt: arg.createdAt,
      updatedAt: arg.createdAt,
    })
    .returning(),
)

const insertEvent = statement(({ orm, tables: { events } }, arg: { id: string; payload: Json; now: Date }) =>
  orm.insert(events).values({ id: arg.id, type: 'test', payload: arg.payload, occurredAt: arg.now }).returning(),
)

const insertEvents = rowsStatement(({ orm, tables: { events } }, rows: { id: string; now: Date }[]) =>
  orm
    .insert(events)
    .values(rows.map(({ id, now }) => ({ id, type: 'test', payload: {}, occurredAt: now })))
    .returning({ id: events.id }),
)

const selectEvents = statement(({ orm, tables: { events } }, arg: { type: string }) =>
  orm.select({ id: events.id }).from(events).where(eq(events.type, arg.type)).orderBy(asc(events.seq)),
)

const saveUsage = statement(({ orm, tables: { blobUsage } }, arg: { used: number }) =>
  orm
    .insert(blobUsage)
    .values({ id: 1, used: arg.used })
    .onConflictDoUpdate({ target: blobUsage.id, set: { used: arg.used } })
    .returning(),
)

const now = new Date('2026-02-03T04:05:06.789Z')

describe.each(dialects)('on %s', (_, openDialect) => {
  let db: Database
  beforeAll(async () => {
    db = await openDialect()
  })
  beforeEach(async () => {
    for (const table of ['events', 'memories']) await db.run(write(`delete from ${table}`))
  })
  afterAll(() => db.close())

  test('statement() returns dates, booleans, large integers and JSON unchanged', async () => {
    for (const pinned of [true, false]) {
      const memory = { id: `${pinned}`, pinned, metadata: { b: [1, null, 'ü'], a: {} }, createdAt: now }
      const stored = await insertMemory.first(db, memory)
      expect(stored).toEqual({ ...memory, ownerId: '', content: 'text', source: null, updatedAt: now })
      expect(Object.keys(stored?.metadata ?? {})).toEqual(['b', 'a'])
    }
    for (const used of [0, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
      expect(await saveUsage.first(db, { used })).toEqual({ id: 1, used })
    }
  })

  test('statement() stores null in a JSON column as NULL, not as the text null', async () => {
    expect(await insertEvent.first(db, { id: 'a', payload: null, now })).toMatchObject({ payload: null })
    expect(await insertEvent.first(db, { id: 'b', payload: [null], now })).toMatchObject({ payload: [null] })
    expect(await db.run(read('select id from events where payload is null'))).toEqual([['a']])
    const wrong = { id: 'c', pinned: true, metadata: null as unknown as JsonObject, createdAt: now } // not as the type says
    await expect(insertMemory.first(db, wrong)).rejects.toMatchObject({ code: 'DATABASE_FAILED' })
    expect(await db.run(read('select id from memories'))).toEqual([])
  })

  test('statement() and batch() reject and do nothing if an argument is missing', async () => {
    const { id, ...rest } = { id: 'a', payload: {}, now }
    const incomplete = rest as { id: string; payload: Json; now: Date } // not as the type says
    await expect(insertEvent.all(db, incomplete)).rejects.toThrow(/argument "id" is missing/)
    const calls = [insertEvent.with({ id, ...rest }), insertEvent.with(incomplete)]
    await expect(batch(db, calls)).rejects.toThrow(/argument "id" is missing/)
    expect(await db.run(read('select id from events'))).toEqual([])
  })

  test('rowsStatement() inserts any number of rows in order with few statements', async () => {
    const ids = times(137, (i) => `event ${i}`)
    const calls = insertEvents.with(ids.map((id) => ({ id, now })))
    expect(calls).toHaveLength(2 + 1 + 1)
    const inserted = (await batch(db, calls)).flat()
    expect(inserted.map(({ id }) => id)).toEqual(ids)
    expect((await selectEvents.all(db, { type: 'test' })).map(({ id }) => id)).toEqual(ids)
    for (let count = 0; count <= 200; count++) {
      const rows = times(count, (i) => ({ id: `${i}`, now }))
      const sent = insertEvents.with(rows).flatMap((call) => call.query(db).params)
      expect(sent.filter((value) => /^\d{1,3}$/.test(String(value)))).toEqual(rows.map(({ id }) => id))
    }
  })

  test('statement() calls its builder once for all handles', async () => {
    let built = 0
    const count = statement(({ orm, tables: { events } }, arg: { type: string }) => {
      built++
      return orm
        .select({ count: sql<number>`count(*)`.mapWith(Number) })
        .from(events)
        .where(eq(events.type, arg.type))
    })
    const inTransaction = () => db.transaction((tx) => count.all(tx, { type: 'test' }))
    const counts = await Promise.all([...times(20, () => count.all(db, { type: 'test' })), inTransaction()])
    expect(counts).toEqual(times(21, () => [{ count: 0 }]))
    expect(built).toBe(1)
  })
})

// The naive variant: drizzle encodes null as the JSON text 'null', which NOT NULL accepts.
test("drizzle's own prepared statement stores the text null in a NOT NULL column", async () => {
  const file = join(freshDirectory(), 'naive.db')
  const database = await open({ type: 'sqlite', path: file })
  const client = new Sqlite(file)
  const insert = drizzle(client)
    .insert(sqliteMemories)
    .values({
      id: 'a',
      content: 'text',
      pinned: true,
      metadata: sql.placeholder('metadata'),
      createdAt: now,
      updatedAt: now,
    })
    .prepare()
  insert.run({ metadata: null })
  client.close()
  expect(await database.run(read('select metadata from memories'))).toEqual([['null']])
  await database.close()
})
