import type { Storage } from 'holdfast'
import { Redis } from 'ioredis'
import postgres from 'postgres'
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { startLink } from '../../database/link.ts'
import { freshPostgres } from '../../setup/databases.ts'
import { type RedisServer, startRedis } from '../../setup/servers.ts'
import { recordingLogger } from '../redis-fixture.ts'
import { open } from './storages.ts'

const unavailable = {
  code: 'CACHE_UNAVAILABLE',
  retryable: true,
  message: expect.stringContaining('nothing was written'),
}
const hello = { role: 'user', content: 'hello' }

let server: RedisServer
let database: { type: 'postgres'; url: string }
beforeEach(async () => {
  server = await startRedis()
  onTestFinished(() => server.stop())
  database = { type: 'postgres', url: await freshPostgres() }
})

/** Returns a configuration. With a long `commandTimeoutMillis` a busy machine is not taken for an outage. */
const config = (consistency: 'available' | 'strict', { url = server.url, commandTimeoutMillis = 1000 } = {}) => ({
  database,
  cache: { type: 'redis', url, connectionTimeoutMillis: 1000, options: { consistency, commandTimeoutMillis } } as const,
})

/** Every kind of write to cached rows. */
const writes: Record<string, (storage: Storage) => Promise<unknown>> = {
  'kv.set': (storage) => storage.kv.set('a', 'new'),
  'kv.delete': (storage) => storage.kv.delete('a'),
  'sessions.update': (storage) => storage.sessions.update('s', { title: 'new' }),
  'sessions.mergeMetadata': (storage) => storage.sessions.mergeMetadata('s', { is: 'new' }),
  'messages.append to a new session': (storage) => storage.messages.append('new', hello),
  'prompts.save': (storage) => storage.prompts.save({ name: 'new', content: 'new' }),
  transaction: (storage) =>
    storage.transaction(async (tx) => {
      await tx.lists.append('list', 'new')
      await tx.transaction((nested) => nested.kv.set('a', 'new'))
      return tx.sessions.update('s', { title: 'new' })
    }),
}

async function fill(storage: Storage): Promise<void> {
  await storage.kv.set('a', 'old')
  await storage.sessions.create({ id: 's', title: 'old' })
  await storage.messages.append('s', hello)
}

/** Returns what the database holds, read past the cache. */
const stored = (storage: Storage) =>
  storage.transaction(async (tx) => ({
    a: await tx.kv.get('a'),
    title: (await tx.sessions.get('s'))?.title,
    metadata: (await tx.sessions.get('s'))?.metadata,
    sessions: (await tx.sessions.list()).items.length,
    list: await tx.lists.length('list'),
    prompt: await tx.prompts.get('new'),
  }))
const old = { a: 'old', title: 'old', metadata: {}, sessions: 1, list: 0, prompt: undefined }

const succeeds = (work: () => Promise<unknown>) => vi.waitFor(work, { timeout: 20_000, interval: 50 })

describe("with consistency 'strict',", () => {
  it('every write to cached rows is refused before it writes while Redis is down, and done when it is back', async () => {
    const { logger, lines } = recordingLogger()
    const storage = await open(config('strict'), { logger })
    await fill(storage)
    await server.kill9()
    for (const write of Object.values(writes)) await expect(write(storage)).rejects.toMatchObject(unavailable)
    expect(await stored(storage)).toEqual(old)
    expect(await storage.kv.get('a')).toBe('old')
    expect((await storage.messages.append('s', hello)).seq).toBe(2) // changes nothing that is cached
    expect(lines.map(({ message }) => message)).toEqual([expect.stringContaining('writes to cached rows fail')])
    await server.start()
    for (const write of Object.values(writes)) await succeeds(() => write(storage))
    expect(await stored(storage)).not.toEqual(old)
    await storage.kv.set('a', 'last')
    await storage.kv.get('a')
    const { hits } = (await storage.stats()).cache
    expect(await storage.kv.get('a')).toBe('last')
    expect((await storage.stats()).cache.hits).toBe(hits + 1)
  })

  it('no refused write is remembered, so nothing is removed and nothing is logged at close()', async () => {
    const { logger, lines } = recordingLogger()
    const storage = await open(config('strict'), { logger })
    await fill(storage)
    await server.kill9()
    await expect.poll(async () => (await storage.stats()).cache.breaker).toBe('open')
    for (const write of Object.values(writes)) await expect(write(storage)).rejects.toMatchObject(unavailable)
    expect((await storage.stats()).cache.dirtyKeys).toBe(0)
    await storage.close()
    expect(lines.map(({ level }) => level)).toEqual(['warn'])
  })

  it('a write is refused while Redis is frozen, and the row is cached again afterwards', async () => {
    const storage = await open(config('strict'))
    await fill(storage)
    server.freeze()
    for (let i = 0; i < 5; i++) await expect(storage.kv.set('a', 'new')).rejects.toMatchObject(unavailable)
    expect(await stored(storage)).toEqual(old)
    server.thaw()
    await succeeds(() => storage.kv.set('a', 'new'))
    await succeeds(async () => {
      await storage.kv.get('a')
      const { hits } = (await storage.stats()).cache
      expect(await storage.kv.get('a')).toBe('new')
      expect((await storage.stats()).cache.hits).toBe(hits + 1)
    })
  })

  it('a transaction is rolled back if Redis goes away in its body', async () => {
    const storage = await open(config('strict'))
    await fill(storage)
    const undone = storage.transaction(async (tx) => {
      await tx.lists.append('list', 'new')
      await tx.kv.set('a', 'new')
      await tx.blobs.put(new TextEncoder().encode('new'))
      server.freeze()
    })
    await expect(undone).rejects.toMatchObject(unavailable)
    expect(await stored(storage)).toEqual(old)
    expect((await storage.blobs.stats()).count).toBe(0)
    // It touches no cached row.
    await storage.transaction((tx) => tx.lists.append('list', 'new'))
    server.thaw()
  })

  it('openStorage() opens without Redis, and its writes succeed when Redis starts', async () => {
    await server.kill9()
    const storage = await open(config('strict'))
    expect(await storage.kv.get('a')).toBeUndefined()
    await expect(storage.kv.set('a', 'new')).rejects.toMatchObject(unavailable)
    await server.start()
    await succeeds(() => storage.kv.set('a', 'new'))
  })

  it('a write is acknowledged if Redis goes away after the mark, and no other instance reads the old row', async () => {
    const link = await startLink(server.port)
    const through = `redis://127.0.0.1:${link.port}`
    const writer = await open(config('strict', { url: through, commandTimeoutMillis: 2000 }))
    const reader = await open(config('strict', { commandTimeoutMillis: 20_000 }))
    await writer.kv.set('a', 'old')
    expect([await reader.kv.get('a'), await reader.kv.get('a')]).toEqual(['old', 'old'])
    await holding(writer, database.url, () => link.freeze())
    expect([await reader.kv.get('a'), await reader.kv.get('a')]).toEqual(['new', 'new'])
  })
})

/** Writes a row that another connection holds, and runs `work` when the write has marked the row and waits. */
async function holding(storage: Storage, url: string, work: () => void): Promise<void> {
  const sql = postgres(url, { max: 2 })
  onTestFinished(() => sql.end())
  const locks = () => sql`select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`
  let written: Promise<unknown> = Promise.resolve()
  await sql.begin(async (tx) => {
    await tx`select from kv for update`
    written = storage.kv.set('a', 'new')
    await vi.waitFor(async () => expect(await locks()).toHaveLength(1), { timeout: 20_000 })
    work()
  })
  await written
}

it("with consistency 'available' every write is done while Redis is down", async () => {
  const storage = await open(config('available'))
  await fill(storage)
  await server.kill9()
  for (const write of Object.values(writes)) await write(storage).catch((error) => expect(error).toBeUndefined())
  expect(await stored(storage)).toMatchObject({ title: 'new', sessions: 2, list: 1 })
})

it("health() is not ok while Redis answers, and refuses the marks of writes for lack of memory, with 'strict'", async () => {
  const admin = new Redis(server.url)
  onTestFinished(() => admin.disconnect())
  const storage = await open(config('strict'))
  await admin.config('SET', 'maxmemory', '1')
  const cause = { message: expect.stringContaining('OOM') }
  for (let i = 0; i < 4; i++) await expect(storage.kv.set('a', i)).rejects.toMatchObject({ ...unavailable, cause })
  const { ok, cache } = await storage.health()
  expect({ ok, cache }).toMatchObject({ ok: false, cache: { ok: false, error: expect.stringContaining('OOM') } })
  expect((await storage.stats()).cache.refusals).toBeGreaterThan(0)
  await admin.config('SET', 'maxmemory', '0')
  await succeeds(() => storage.kv.set('a', 1))
  expect((await storage.health()).cache.ok).toBe(true)
})
