import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { CacheAside } from '../../src/cache/cache-aside.ts'
import type { RedisCacheStore } from '../../src/cache/redis/store.ts'
import { UserCache } from '../../src/cache/user-cache.ts'
import { type RedisServer, startRedis } from '../setup/servers.ts'
import { openRedis, recordingLogger } from './redis-fixture.ts'
import { measureStaleness } from './staleness.ts'
import { leased } from './variants.ts'

const TIMEOUT = 250

let server: RedisServer
beforeEach(async () => {
  server = await startRedis()
})
afterEach(() => server.stop())

/** Rows behind a cache. Only the cache takes time. */
class Table {
  readonly #versions = new Map<string, number>()
  loads = 0
  readonly aside: CacheAside

  constructor(aside: CacheAside) {
    this.aside = aside
  }

  async write(id: string, version: number): Promise<void> {
    this.#versions.set(id, version)
    await this.aside.invalidate('rows', [id])
  }

  /** Returns the version of a row as a reader with this cache sees it. */
  async read(id: string, aside = this.aside): Promise<number | undefined> {
    const row = await aside.read('rows', id, async () => {
      this.loads++
      const version = this.#versions.get(id)
      return version === undefined ? undefined : { version }
    })
    return row?.version
  }
}

async function open(options: Parameters<typeof openRedis>[1] = {}, commandTimeoutMillis = TIMEOUT) {
  // With a short connection timeout a probe gives up a silent connection within a second.
  const section = { url: server.url, connectionTimeoutMillis: 500, options: { commandTimeoutMillis } }
  const cache = await openRedis(section, options)
  const aside = new CacheAside(cache, { ttlMillis: 3_600_000 })
  return { cache, aside, table: new Table(aside) }
}

/** Opens a client for administration that survives outages. It ends with the test. */
function openAdmin(): Redis {
  const admin = new Redis(server.url, { retryStrategy: () => 100 })
  admin.on('error', () => {})
  onTestFinished(() => admin.disconnect())
  return admin
}

/** Freezes Redis until the cache has given up its connections: invalidations from now on stay in this process. */
async function cutOff(cache: RedisCacheStore): Promise<void> {
  server.freeze()
  await Promise.all(Array.from({ length: 3 }, (_, i) => cache.remove([`opens the breaker ${i}`])))
  expect(cache.stats().breaker).toBe('open')
  // The first probe gives up the silent connection.
  await sleep(2000)
}

const isWell = (cache: RedisCacheStore) => cache.stats().breaker === 'closed' && cache.stats().dirtyKeys === 0

const recovered = (cache: RedisCacheStore) =>
  vi.waitFor(() => expect(isWell(cache)).toBe(true), { timeout: 10_000, interval: 20 })

async function timed<T>(work: () => Promise<T>): Promise<{ result: T; millis: number }> {
  const begin = performance.now()
  const result = await work()
  return { result, millis: performance.now() - begin }
}

describe('CacheAside on a frozen Redis', () => {
  it('read() and invalidate() wait for one timeout, then not at all, and read() is not stale after the outage', async () => {
    const { logger, lines } = recordingLogger()
    const timeout = 1500
    const { cache, table } = await open({ logger }, timeout)
    const ids = Array.from({ length: 50 }, (_, i) => `row${i}`)
    for (const id of ids) await table.write(id, 1)
    for (const id of ids) await table.read(id)

    server.freeze()
    // Some reads start later and wait behind the earlier reads: their wait counts as well.
    const early = await Promise.all(
      ids.map(async (id, i) => {
        await sleep(i * 24)
        return timed(() => table.read(id))
      }),
    )
    expect(early.map(({ result }) => result)).toEqual(ids.map(() => 1))
    expect(Math.max(...early.map(({ millis }) => millis))).toBeLessThan(timeout + 700) // up to twice the timeout if their wait did not count
    expect(cache.stats().breaker).toBe('open')

    const late = await Promise.all(
      ids.map((id) =>
        timed(async () => {
          await table.write(id, 2)
          return table.read(id)
        }),
      ),
    )
    expect(late.map(({ result }) => result)).toEqual(ids.map(() => 2))
    expect(Math.max(...late.map(({ millis }) => millis))).toBeLessThan(timeout)
    expect(cache.stats()).toMatchObject({ breaker: 'open', dirtyKeys: 50 })

    server.thaw()
    await recovered(cache)
    expect(cache.stats().dirtyKeys).toBe(0)
    const loads = table.loads
    for (const id of ids) expect(await table.read(id)).toBe(2)
    for (const id of ids) expect(await table.read(id)).toBe(2)
    expect(table.loads).toBe(loads + 50)
    expect(lines.map(({ level }) => level)).toEqual(['warn', 'info'])
  })

  it('read() of another process is not stale once the writer has recovered', async () => {
    const { table, cache } = await open()
    const elsewhere = new CacheAside((await open()).cache, { ttlMillis: 3_600_000 })
    await table.write('a', 1)
    expect(await table.read('a', elsewhere)).toBe(1)
    await cutOff(cache)
    await table.write('a', 2)
    server.thaw()
    expect(await table.read('a', elsewhere)).toBe(1) // the documented gap: the writer could not invalidate yet
    await recovered(cache)
    expect(await table.read('a', elsewhere)).toBe(2)
  })

  it('read() does not open the breaker when this process blocks its event loop', async () => {
    const { cache, table } = await open()
    await table.write('a', 1)
    const reads = Promise.all(Array.from({ length: 10 }, () => table.read('a')))
    await new Promise(setImmediate)
    const end = performance.now() + 2 * TIMEOUT
    while (performance.now() < end);
    expect(await reads).toEqual(Array.from({ length: 10 }, () => 1))
    expect(cache.stats().breaker).toBe('closed')
  })

  it('close() sends the pending invalidations if Redis answers again', async () => {
    const { table, cache } = await open()
    const elsewhere = new CacheAside((await open()).cache, { ttlMillis: 3_600_000 })
    await table.write('a', 1)
    await table.read('a')
    await cutOff(cache)
    await table.write('a', 2)
    server.thaw()
    await cache.close()
    expect(await table.read('a', elsewhere)).toBe(2)
  })

  it('close() does not wait for Redis, and logs the number of pending invalidations', async () => {
    const { logger, lines } = recordingLogger()
    const { table, cache } = await open({ logger })
    server.freeze()
    await table.write('a', 1)
    const { millis } = await timed(() => cache.close())
    server.thaw()
    expect(millis).toBeLessThan(1500)
    expect(lines.at(-1)).toMatchObject({ level: 'warn', details: { dirtyKeys: 1 } })
  })

  it('recovery removes all keys of the prefix, and no others, if more keys are dirty than maxDirtyKeys', async () => {
    const admin = openAdmin()
    const keyPrefix = 'a*[b]?\\:'
    const options = { keyPrefix, commandTimeoutMillis: 1000 }
    const cache = await openRedis({ url: server.url, options }, { maxDirtyKeys: 10 })
    const table = new Table(new CacheAside(cache, { ttlMillis: 3_600_000 }))
    const ids = Array.from({ length: 1500 }, (_, i) => `row${i}`)
    const versions = () => Promise.all(ids.map((id) => table.read(id)))
    await Promise.all(ids.map((id) => table.write(id, 1)))
    await versions()
    await admin.set('axb:other', 'stays')
    expect(await admin.dbsize()).toBe(1501)
    await cutOff(cache)
    await Promise.all(ids.map((id) => table.write(id, 2)))
    server.thaw()
    await recovered(cache)
    expect(await admin.keys('*')).toEqual(['axb:other'])
    expect(await versions()).toEqual(ids.map(() => 2))
  })
})

describe('CacheAside on a Redis that is killed', () => {
  it('read() and invalidate() go on, and use Redis again when it comes back empty', async () => {
    const { cache, table } = await open()
    await table.write('a', 1)
    await table.read('a')
    await server.kill9()
    const { millis } = await timed(async () => {
      await table.write('a', 2)
      expect(await table.read('a')).toBe(2)
    })
    expect(millis).toBeLessThan(TIMEOUT)
    await expect(cache.ping()).rejects.toMatchObject({ code: 'CONNECTION_LOST', retryable: true })
    await server.start()
    await recovered(cache)
    expect(await table.read('a')).toBe(2)
    const { loads } = table
    expect(await table.read('a')).toBe(2)
    expect(table.loads).toBe(loads)
  })

  it('read() is not stale when Redis comes back with a snapshot from before an invalidation', async () => {
    const { cache, table } = await open()
    const elsewhere = await open()
    const admin = openAdmin()
    await table.write('a', 1)
    await table.read('a')
    await admin.save()
    const keys = await admin.keys('*')
    await table.write('a', 2) // acknowledged, and invalidated while Redis was up
    await server.kill9()
    await server.start()
    // The snapshot has the entry, but the entry is from an earlier run of the server.
    await vi.waitFor(async () => expect(await admin.keys('*')).toEqual(keys), { timeout: 5000 })
    await recovered(cache)
    await recovered(elsewhere.cache)
    expect(await table.read('a', elsewhere.aside)).toBe(2)
    expect(await table.read('a')).toBe(2)
  })

  it.each([
    ['one process', 1],
    ['three processes once all of them have recovered', 3],
  ])('read() is never stale under load while Redis is frozen, killed and restarted, for %s', async (_name, size) => {
    const caches = await Promise.all(Array.from({ length: size }, async () => (await open()).cache))
    const allWell = () => caches.every(isWell)
    const admin = openAdmin()
    let over = false
    const outages = (async () => {
      for (const outage of ['freeze', 'old data', 'empty']) {
        await sleep(300)
        await admin.save()
        await sleep(200)
        if (outage === 'freeze') {
          server.freeze()
          await sleep(600)
          server.thaw()
        } else {
          await server.kill9()
          await sleep(100)
          await (outage === 'empty' ? server.restart() : server.start())
        }
        await Promise.all(caches.map(recovered))
      }
    })().finally(() => {
      over = true
    })
    const counts = size === 1 ? undefined : allWell
    const processes = caches.map((cache) => leased(cache))
    const { stale } = await measureStaleness({ processes, rows: 8, enough: () => over, counts })
    await outages
    expect(stale).toBe(0)
  })
})

describe('RedisCacheStore', () => {
  it('opens a new connection when a connection goes silent', async () => {
    let silent = false
    const sockets: Socket[] = []
    const proxy = createServer((inner) => {
      const outer = connect(server.port, '127.0.0.1')
      sockets.push(inner, outer)
      for (const [from, to] of [
        [inner, outer],
        [outer, inner],
      ] as const) {
        const mine = !silent
        from.on('data', (data) => (silent && mine) || to.write(data))
        from.on('error', () => {})
      }
    })
    await once(proxy.listen(0, '127.0.0.1'), 'listening')
    const { port } = proxy.address() as AddressInfo
    const cache = await openRedis({ host: '127.0.0.1', port })
    await cache.put('a', 'V1', 60_000)
    silent = true
    expect(await cache.remove(['a'])).toBe(0)
    await recovered(cache)
    expect(await cache.lookup('a')).toBeNull()
    await cache.close()
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })
})

describe('CacheAside on a Redis without free memory', () => {
  it('invalidate() still removes keys, and put() leaves no older value', async () => {
    const admin = openAdmin()
    const { cache, table } = await open()
    const values = new UserCache(cache, { ttlMillis: 60_000 })
    await table.write('a', 1)
    await table.read('a')
    await values.set('mine', 'first')
    await admin.config('SET', 'maxmemory', '1')
    expect(await table.read('a')).toBe(1)
    await table.write('a', 2)
    expect(await table.read('a')).toBe(2)
    expect(await table.read('a')).toBe(2)
    await values.set('mine', 'second')
    expect(await values.get('mine')).toBeUndefined()
    const { breaker, refusals } = cache.stats()
    expect(breaker).toBe('closed')
    expect(refusals).toBeGreaterThan(0)
  })
})
