import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage, type Storage, type StorageConfig } from 'holdfast'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { freshPostgres } from '../../setup/databases.ts'
import { freePort } from '../../setup/server-process.ts'
import { type RedisServer, startRedis } from '../../setup/servers.ts'
import { recordingLogger } from '../redis-fixture.ts'
import { open } from './storages.ts'

const TIMEOUT = 500
/** How many milliseconds a busy machine may add to a call. */
const LEEWAY = 500
const ids = Array.from({ length: 30 }, (_, i) => `row ${i}`)

let server: RedisServer
let config: StorageConfig
beforeEach(async () => {
  server = await startRedis()
  const cache = { type: 'redis', url: server.url, options: { commandTimeoutMillis: TIMEOUT } } as const
  config = { cache, database: { type: 'postgres', url: await freshPostgres() } }
})
afterEach(() => server.stop())

const breaker = async (storage: Storage) => (await storage.stats()).cache.breaker
const recovered = (...storages: Storage[]) =>
  Promise.all(
    storages.map((storage) =>
      vi.waitFor(async () => expect(await breaker(storage)).toBe('closed'), { timeout: 15_000, interval: 50 }),
    ),
  )
const writeAll = (storage: Storage, value: number) => Promise.all(ids.map((id) => storage.kv.set(id, value)))
const readAll = (storage: Storage) => Promise.all(ids.map((id) => storage.kv.get(id)))

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await work()
  return performance.now() - begun
}

/** Reads and writes until the returned function is called, which returns the longest call and the number of stale reads. */
function load(storage: Storage) {
  const acknowledged = new Map<string, number>()
  const seen = { stale: 0, reads: 0, writes: 0, longest: 0, errors: [] as unknown[] }
  let over = false
  const time = async (work: () => Promise<unknown>) => {
    const millis = await timed(() => work().catch((error) => seen.errors.push(error)))
    seen.longest = Math.max(seen.longest, millis)
  }
  const write = async (id: string) => {
    for (let value = 1; !over; value++) {
      await time(() => storage.kv.set(id, value))
      acknowledged.set(id, value)
      seen.writes++
      await sleep(Math.random() * 40)
    }
  }
  const read = async () => {
    while (!over) {
      const id = `row ${Math.floor(Math.random() * 4)}`
      const floor = acknowledged.get(id) ?? 0
      await time(async () => {
        if (Number((await storage.kv.get(id)) ?? 0) < floor) seen.stale++
      })
      if (++seen.reads % 10 === 0) await sleep(1)
    }
  }
  const work = Promise.all([...ids.slice(0, 4).map(write), read(), read(), read(), read()])
  return async () => {
    over = true
    await work
    return seen
  }
}

/** The outages of Redis under load. Each resolves when Redis is back. */
const outages: Record<string, (admin: Redis) => Promise<void>> = {
  async 'is frozen'() {
    server.freeze()
    await sleep(3 * TIMEOUT)
    server.thaw()
  },
  async 'is killed and comes back empty'() {
    await server.kill9()
    await sleep(300)
    await server.restart()
  },
  async 'is killed and comes back with old data'(admin) {
    await admin.save()
    await sleep(300)
    await server.kill9()
    await server.start()
  },
  async 'is stopped and comes back with its data'() {
    await server.restart({ keepData: true })
  },
}

describe('a storage', () => {
  it.each(Object.entries(outages))('has no failed, slow or stale calls when Redis %s', async (_name, outage) => {
    const [one, other] = [await open(config), await open(config)]
    const admin = new Redis(server.url, { retryStrategy: () => 50 })
    admin.on('error', () => {})
    await writeAll(one, 0)
    await readAll(one)
    await readAll(other)
    const stop = load(one)
    await sleep(200)
    await outage(admin)
    await sleep(100)
    await writeAll(one, 1e6) // partly before Redis is used again
    await recovered(one, other)
    const { errors, stale, longest, reads, writes } = await stop()
    admin.disconnect()
    expect(errors).toEqual([])
    expect(stale).toBe(0)
    expect(reads).toBeGreaterThan(100)
    expect(writes).toBeGreaterThan(20)
    // A write may wait for the database behind other writes, and for one timeout.
    expect(longest).toBeLessThan(TIMEOUT + 2 * LEEWAY)
    const truth = await one.transaction((tx) => tx.kv.getMany(ids))
    for (const storage of [one, other, one, other]) {
      expect(await readAll(storage)).toEqual(ids.map((id) => truth.get(id)))
    }
  })

  it('waits for one timeout, then answers without Redis, when Redis is frozen', async () => {
    const storage = await open(config)
    await writeAll(storage, 1)
    await readAll(storage)
    server.freeze()
    const first = await Promise.all(ids.map((id) => timed(() => storage.kv.get(id))))
    expect(Math.max(...first)).toBeLessThan(TIMEOUT + LEEWAY)
    expect(await breaker(storage)).toBe('open')
    const reads: number[] = []
    const writes: number[] = []
    for (const id of ids) {
      writes.push(await timed(() => storage.kv.set(id, 2)))
      reads.push(await timed(async () => expect(await storage.kv.get(id)).toBe(2)))
    }
    reads.sort((a, b) => a - b)
    expect(reads.at(-2)).toBeLessThan(TIMEOUT / 2)
    expect(Math.min(...writes)).toBeLessThan(TIMEOUT / 2)
    expect((await storage.stats()).cache.dirtyKeys).toBe(ids.length)
    expect(await storage.health()).toMatchObject({ ok: false, cache: { ok: false }, database: { ok: true } })
    server.thaw()
    await recovered(storage)
    expect(await readAll(storage)).toEqual(ids.map(() => 2))
    expect(await storage.health()).toMatchObject({ ok: true })
  })

  it('closes after one attempt to invalidate its last writes when Redis is frozen', async () => {
    const { logger, lines } = recordingLogger()
    const storage = await openStorage(config, { logger })
    await storage.kv.set('a', 1)
    server.freeze()
    await storage.kv.set('a', 2)
    expect(await timed(() => storage.close())).toBeLessThan(1000 + 2 * LEEWAY)
    server.thaw()
    expect(lines.at(-1)?.message).toMatch(/did not receive the last invalidations/)
    expect(await (await open(config)).transaction((tx) => tx.kv.get('a'))).toBe(2)
  })

  it('warns once if Redis is down at openStorage(), and uses Redis when it starts', async () => {
    const port = await freePort()
    const { logger, lines } = recordingLogger()
    const storage = await open({ ...config, cache: { type: 'redis', host: '127.0.0.1', port } }, { logger })
    await writeAll(storage, 1)
    expect(await readAll(storage)).toEqual(ids.map(() => 1))
    expect(lines.map(({ level }) => level)).toEqual(['warn'])
    const late = await startRedis({ port })
    await recovered(storage)
    await readAll(storage)
    const { hits } = (await storage.stats()).cache
    expect(await readAll(storage)).toEqual(ids.map(() => 1))
    expect((await storage.stats()).cache.hits).toBe(hits + ids.length)
    expect(lines.map(({ level }) => level)).toEqual(['warn', 'info'])
    await storage.close()
    await late.stop()
  })

  it('rejects in openStorage() with the reason and leaves nothing open if Redis refuses the connection', async () => {
    const guarded = await startRedis({ args: ['--requirepass', 'right', '--databases', '2'] })
    const refusal = async (cache: object): Promise<string> => {
      const address = { type: 'redis', host: '127.0.0.1', port: guarded.port } as const
      const error = await openStorage({ ...config, cache: { ...address, ...cache } }).catch((thrown) => thrown)
      return `${error.code} ${error.message}`
    }
    expect(await refusal({ password: 'wr0ng' })).toMatch(/^CONNECTION_FAILED .*password is wrong/)
    expect(await refusal({ password: 'wr0ng' })).not.toContain('wr0ng')
    expect(await refusal({})).toMatch(/^CONNECTION_FAILED .*requires a password/)
    expect(await refusal({ password: 'right', database: 2 })).toMatch(/^CONNECTION_FAILED .*refuses database 2/)
    await guarded.stop()
  })
})
