import { join } from 'node:path'
import type { StorageConfig } from 'holdfast'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { freshDirectory, freshPostgres } from '../../setup/databases.ts'
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

const redis = (options = {}) => ({ type: 'redis', url: server.url, options }) as const
const sqlite = () => ({ type: 'sqlite', path: join(freshDirectory(), 'agent.db') }) as const
/** Returns the keys of kv rows, without the lease by which a storage checks that Redis accepts writes. */
const rowKeys = async () => (await admin.keys('*')).filter((key) => key.includes(':kv:'))

it.each<[string, () => Promise<StorageConfig[]>]>([
  ['two files', async () => [sqlite(), sqlite()].map((database) => ({ cache: redis(), database }))],
  ['two databases in memory', async () => [{ cache: redis() }, { cache: redis() }]],
  [
    'two schemas of one database',
    async () => {
      const url = await freshPostgres()
      return ['ada', 'bob'].map((schema) => ({
        cache: redis(),
        database: { type: 'postgres' as const, url, options: { schema } },
      }))
    },
  ],
])('get() never returns a row of the other storage if %s share one Redis', async (_name, configs) => {
  const [one, other] = await Promise.all((await configs()).map((config) => open(config)))
  await one?.kv.set('a', 'mine')
  expect(await one?.kv.get('a')).toBe('mine')
  expect(await other?.kv.get('a')).toBeUndefined()
  await other?.kv.set('a', 'theirs')
  expect(await other?.kv.get('a')).toBe('theirs')
  expect(await one?.kv.get('a')).toBe('mine')
  expect(await rowKeys()).toHaveLength(2)
})

it('get() returns a row that another storage of the same database has cached', async () => {
  const config = { cache: redis(), database: sqlite() }
  const [one, other] = [await open(config), await open(config)]
  await one.kv.set('a', 'ours')
  await one.kv.get('a')
  expect(await other.kv.get('a')).toBe('ours')
  expect((await other.stats()).cache).toMatchObject({ hits: 1, loads: 0 })
})

it('get() and storage.cache separate two key prefixes on one Redis', async () => {
  const database = sqlite()
  const one = await open({ cache: redis({ keyPrefix: 'one:' }), database })
  const other = await open({ cache: redis({ keyPrefix: 'two:' }), database: sqlite() })
  await one.kv.set('a', 1)
  await one.kv.get('a')
  await one.cache.set('a', 1)
  expect(await other.kv.get('a')).toBeUndefined()
  expect(await other.cache.get('a')).toBeUndefined()
  await other.cache.set('a', 2)
  await other.cache.delete('a')
  expect(await one.cache.get('a')).toBe(1)
  const keys = await admin.keys('*')
  expect(keys.filter((key) => !/^(one|two):/.test(key))).toEqual([])
  expect(keys.filter((key) => key.startsWith('one:')).length).toBeGreaterThan(1)
})

it('get() does not return a row that was cached under another version of the tables', async () => {
  const storage = await open({ cache: redis(), database: sqlite() })
  await storage.kv.set('a', 'of this version')
  await storage.kv.get('a')
  const [key = ''] = await rowKeys()
  const [, hash = ''] = /:([0-9a-f]{12}):kv:a$/.exec(key) ?? []
  const foreign = String(await admin.get(key)).replace('of this version', 'of another')
  await admin.set(key.replace(hash, '0'.repeat(12)), foreign)
  await admin.unlink(key)
  expect(await storage.kv.get('a')).toBe('of this version')
  // Under the same version of the tables, the row is returned.
  await admin.set(key, foreign)
  expect(await storage.kv.get('a')).toBe('of another')
})

it('get() does not return a cached row after its expiry, by the clock of Redis and by that of the program', async () => {
  let now = Date.now()
  const storage = await open({ cache: redis(), database: sqlite() }, { now: () => new Date(now) })
  await storage.kv.set('a', 1, { ttlSeconds: 5 })
  await storage.kv.get('a')
  const [key = ''] = await rowKeys()
  expect(await admin.pttl(key)).toBeGreaterThan(3000)
  expect(await admin.pttl(key)).toBeLessThanOrEqual(5000)
  now += 4999
  const { hits } = await answers(storage)
  expect(await storage.kv.get('a')).toBe(1)
  now += 1
  expect(await storage.kv.get('a')).toBeUndefined()
  expect((await answers(storage)).hits).toBe(hits + 2) // both reads found the entry
  await storage.sessions.create({ id: 's', expiresAt: new Date(now + 1000) })
  expect(await storage.sessions.get('s')).toBeDefined()
  now += 1000
  expect(await storage.sessions.get('s')).toBeUndefined()
})

it('get() with a cache in memory loads a row again after its expiry or after ttlSeconds', async () => {
  let now = Date.now()
  const config: StorageConfig = { cache: { type: 'in-memory', options: { ttlSeconds: 60 } }, database: sqlite() }
  const storage = await open(config, { now: () => new Date(now) })
  await storage.kv.set('short', 1, { ttlSeconds: 5 })
  await storage.kv.set('long', 1)
  const read = async () => [await storage.kv.get('short'), await storage.kv.get('long')]
  expect(await read()).toEqual([1, 1])
  now += 5000
  expect(await read()).toEqual([undefined, 1])
  now += 56_000
  const { misses } = await answers(storage)
  expect(await storage.kv.get('long')).toBe(1)
  expect((await answers(storage)).misses).toBe(misses + 1)
})

it('get() caches the absence of a row for at most 30 seconds', async () => {
  const storage = await open({ cache: redis(), database: sqlite() })
  expect(await storage.kv.get('a')).toBeUndefined()
  const [key = ''] = await rowKeys()
  expect(await admin.get(key)).toBe('N')
  expect(await admin.pttl(key)).toBeLessThanOrEqual(30_000)
})
