import { join } from 'node:path'
import { openStorage, type Storage } from 'holdfast'
import { Redis } from 'ioredis'
import postgres from 'postgres'
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest'
import { RedisCacheStore } from '../../../src/cache/redis/store.ts'
import { startLink } from '../../database/link.ts'
import { freshDirectory, freshPostgres, sharedDatabases } from '../../setup/databases.ts'
import { type RedisServer, startRedis } from '../../setup/servers.ts'
import { answers, open } from './storages.ts'

let server: RedisServer
let admin: Redis
beforeEach(async () => {
  server = await startRedis()
  admin = new Redis(server.url)
})
afterEach(async () => {
  admin.disconnect()
  await server.stop()
})

const redis = () => ({ type: 'redis', url: server.url, options: { commandTimeoutMillis: 20_000 } }) as const

const inDatabase = (storage: Storage) => storage.kv.getMany(['a']).then((values) => values.get('a')) // not cached
const removals = async () => Number(/cmdstat_unlink:calls=(\d+)/.exec(await admin.info('commandstats'))?.[1] ?? 0)

it.each(sharedDatabases)('set() on %s resolves after the commit and the invalidation', async (_name, database) => {
  const storage = await open({ cache: redis(), database: await database() })
  const writes = [
    (value: number) => storage.kv.set('a', value),
    (value: number) => storage.transaction((tx) => tx.kv.set('a', value)),
  ]
  for (const [i, write] of writes.entries()) {
    await storage.kv.get('a')
    const { remove } = RedisCacheStore.prototype
    const invalidation = vi.spyOn(RedisCacheStore.prototype, 'remove').mockImplementationOnce(function (
      this: RedisCacheStore,
      keys,
    ) {
      server.freeze()
      return remove.call(this, keys)
    })
    let acknowledged = false
    const writing = write(i).then(() => {
      acknowledged = true
    })
    await expect.poll(() => inDatabase(storage)).toBe(i)
    expect(acknowledged).toBe(false)
    invalidation.mockRestore()
    server.thaw()
    await writing
    expect(await admin.keys('*:kv:a')).toEqual([])
    expect(await storage.kv.get('a')).toBe(i)
  }
})

it.each(sharedDatabases)(
  'transaction() on %s reads without the cache and invalidates after the commit',
  async (_name, database) => {
    const config = { cache: redis(), database: await database() }
    const [storage, other] = [await open(config), await open(config)]
    await storage.kv.set('a', 'before')
    await storage.kv.get('a')
    const before = { stats: await answers(storage), removals: await removals() }
    await storage.transaction(async (tx) => {
      expect(await tx.kv.get('a')).toBe('before')
      await tx.kv.set('a', 'after')
      expect(await tx.kv.get('a')).toBe('after')
      await tx.transaction(async (nested) => expect(await nested.kv.get('a')).toBe('after'))
      expect(await other.kv.get('a')).toBe('before')
      expect((await other.stats()).cache).toMatchObject({ hits: 1, loads: 0 })
      expect(await removals()).toBe(before.removals)
    })
    expect(await removals()).toBe(before.removals + 1)
    expect(await answers(storage)).toEqual(before.stats)
    expect(await other.kv.get('a')).toBe('after')
  },
)

it.each(sharedDatabases)('transaction() on %s invalidates nothing when it rolls back', async (_name, database) => {
  const storage = await open({ cache: redis(), database: await database() })
  await storage.kv.set('a', 'before')
  await storage.kv.get('a')
  const before = await removals()
  const undone = storage.transaction(async (tx) => {
    await tx.kv.set('a', 'after')
    await tx.sessions.create({ id: 's' })
    throw new Error('undone')
  })
  await expect(undone).rejects.toThrow('undone')
  expect(await removals()).toBe(before)
  const { hits } = await answers(storage)
  expect(await storage.kv.get('a')).toBe('before')
  expect(await answers(storage)).toMatchObject({ hits: hits + 1 })
})

it.each(sharedDatabases)(
  'close() on %s waits for the commit and the invalidation of writes in flight',
  async (_name, database) => {
    const config = { cache: redis(), database: await database() }
    const other = await open(config)
    for (let round = 1; round <= 10; round++) {
      const storage = await openStorage(config, { maintenance: false })
      await other.kv.get('a')
      const write = round % 2 ? storage.kv.set('a', round) : storage.transaction((tx) => tx.kv.set('a', round))
      await Promise.all([storage.close(), write])
      expect(await other.kv.get('a')).toBe(round)
    }
  },
)

it.each(sharedDatabases)(
  'close() on %s waits for reads that wait for Redis or the database',
  async (_name, database) => {
    const config = { cache: redis(), database: await database() }
    const other = await open(config)
    await other.sessions.create({ id: 's' })
    await other.kv.set('a', 1)
    await other.kv.get('a')
    const storage = await openStorage(config, { maintenance: false })
    server.freeze()
    const reads = Promise.all([storage.kv.get('a'), storage.sessions.get('s'), storage.prompts.get('p')])
    let closed = false
    const closing = storage.close().then(() => {
      closed = true
    })
    await expect(storage.kv.get('a')).rejects.toMatchObject({ code: 'CLOSED' })
    expect(closed).toBe(false)
    server.thaw()
    expect(await reads).toEqual([1, await other.sessions.get('s'), undefined])
    await closing
  },
)

it('close() waits for writes in flight when the cache is in memory', async () => {
  const path = join(freshDirectory(), 'agent.db')
  for (let round = 0; round < 10; round++) {
    const storage = await openStorage({ database: { type: 'sqlite', path } }, { maintenance: false })
    const writes = [storage.kv.set('a', 1), storage.transaction((tx) => tx.kv.set('a', 2))]
    await Promise.all([storage.close(), ...writes])
  }
})

it('set() and transaction() invalidate when it is unknown whether they committed', async () => {
  const url = await freshPostgres()
  const storage = await open({ cache: redis(), database: { type: 'postgres', url } })
  const sql = postgres(url, { max: 2 })
  await storage.kv.set('a', 'before')
  const writes = [() => storage.kv.set('a', 'mine'), () => storage.transaction((tx) => tx.kv.set('a', 'mine'))]
  for (const write of writes) {
    await storage.kv.get('a')
    await sql.begin(async (holding) => {
      await holding`select from kv for update`
      const failed = write().catch((error) => error)
      const killed = () =>
        sql`select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`
      await expect.poll(() => killed()).toHaveLength(1)
      expect(await failed).toMatchObject({ code: 'CONNECTION_LOST' })
    })
    const entries = (await admin.keys('*:kv:a')).map((key) => admin.get(key))
    expect(await Promise.all(entries)).toEqual(['L']) // a lease that nobody holds
    expect(await storage.kv.get('a')).toBe('before')
  }
  await sql.end()
})

it.each(['redis', 'in-memory'])('get() returns what set() commits after its connection was lost, %s', async (type) => {
  const direct = new URL(await freshPostgres())
  const link = await startLink(Number(direct.port))
  const url = Object.assign(new URL(direct), { port: link.port })
  const storage = await open({
    cache: type === 'redis' ? redis() : { type: 'in-memory', options: { ttlSeconds: 3600 } },
    database: { type: 'postgres', url: url.href, connectionTimeoutMillis: 1000 },
  })
  const sql = postgres(direct.href, { max: 2 })
  onTestFinished(() => sql.end())
  const waiting = () =>
    sql`select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`
  await storage.kv.set('a', 'before')
  await sql.begin(async (holding) => {
    await holding`select from kv for update`
    const failed = storage.kv.set('a', 'mine').catch((error) => error)
    await expect.poll(() => waiting()).toHaveLength(1)
    link.freeze()
    expect(await failed).toMatchObject({ code: 'CONNECTION_LOST' })
    link.thaw()
    expect(await storage.kv.get('a')).toBe('before')
  })
  await expect.poll(() => inDatabase(storage)).toBe('mine')
  expect(await storage.kv.get('a')).toBe('mine')
})
