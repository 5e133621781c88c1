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

/** Rows that are read at once and written at once: what takes time is the cache. */
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

  /** The version that a reader with this cache gets. */
  async read(id: string, aside = this.aside): Promise<number | undefined> {
    const row = await aside.read('rows', id, async () => {
      this.loads++
      const version = this.#versions.get(id)
      return version === undefined ? undefined : { version }
    })
    return row?.version
  }
}

async function open(options: Parameters<typeof openRedis>[1] = {}) {
  const cache = await openRedis({ url: server.url, options: { commandTimeoutMillis: TIMEOUT } }, options)
  const aside = new CacheAside(cache, { ttlMillis: 3_600_000 })
  return { cache, aside, table: new Table(aside) }
}

/** A client of the test's own, which outlives outages. */
function openAdmin(): Redis {
  const admin = new Redis(server.url, { retryStrategy: () => 100 })
  admin.on('error', () => {})
  onTestFinished(() => admin.disconnect())
  return admin
}

/** Freezes until this client has no connection left: what is written now stays with it. */
async function cutOff(cache: RedisCacheStore): Promise<void> {
  server.freeze()
  await Promise.all(Array.from({ length: 3 }, (_, i) => cache.remove([`opens the breaker ${i}`])))
  expect(cache.stats().breaker).toBe('open')
  // The first probe gives the silent connection up.
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

describe('a frozen Redis', () => {
  it('costs each reader and writer one timeout, then nothing; afterwards nothing old is read', async () => {
    const { logger, lines } = recordingLogger()
    const { cache, table } = await open({ logger })
    const ids = Array.from({ length: 50 }, (_, i) => `row${i}`)
    for (const id of ids) await table.write(id, 1)
    for (const id of ids) await table.read(id)

    server.freeze()
    // Some of these leave later than others and wait behind them: that counts as well.
    const early = await Promise.all(
      ids.map(async (id, i) => {
        await sleep(i * 4)
        return timed(() => table.read(id))
      }),
    )
    expect(early.map(({ result }) => result)).toEqual(ids.map(() => 1))
    expect(Math.max(...early.map(({ millis }) => millis))).toBeLessThan(TIMEOUT + 150)
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
    expect(Math.max(...late.map(({ millis }) => millis))).toBeLessThan(100)
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

  it('keeps what a process wrote meanwhile from being read elsewhere once that process is back', async () => {
    const { table, cache } = await open()
    const elsewhere = new CacheAside((await open()).cache, { ttlMillis: 3_600_000 })
    await table.write('a', 1)
    expect(await table.read('a', elsewhere)).toBe(1)
    await cutOff(cache)
    await table.write('a', 2)
    server.thaw()
    expect(await table.read('a', elsewhere)).toBe(1) // what remains: nobody could tell it
    await recovered(cache)
    expect(await table.read('a', elsewhere)).toBe(2)
  })

  it('is not mistaken for this process standing still', async () => {
    const { cache, table } = await open()
    await table.write('a', 1)
    const reads = Promise.all(Array.from({ length: 10 }, () => table.read('a')))
    await new Promise(setImmediate)
    const end = performance.now() + 2 * TIMEOUT
    while (performance.now() < end);
    expect(await reads).toEqual(Array.from({ length: 10 }, () => 1))
    expect(cache.stats().breaker).toBe('closed')
  })

  it('is told of the last writes by a process that ends, if there is any way', async () => {
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

  it('is not waited for by a process that ends, which says what it could not tell', async () => {
    const { logger, lines } = recordingLogger()
    const { table, cache } = await open({ logger })
    server.freeze()
    await table.write('a', 1)
    const { millis } = await timed(() => cache.close())
    server.thaw()
    expect(millis).toBeLessThan(1500)
    expect(lines.at(-1)).toMatchObject({ level: 'warn', details: { dirtyKeys: 1 } })
  })

  it('loses everything of ours, and of ours alone, if more was written than can be remembered', async () => {
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

describe('a Redis that goes away', () => {
  it('lets reads and writes go on, and is taken into use again when it comes back empty', async () => {
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

  it('does not come back with rows that were removed after its last snapshot', async () => {
    const { cache, table } = await open()
    const elsewhere = await open()
    const admin = openAdmin()
    await table.write('a', 1)
    await table.read('a')
    await admin.save()
    const keys = await admin.keys('*')
    await table.write('a', 2) // acknowledged, and removed from a Redis that is well
    await server.kill9()
    await server.start()
    // The entry is there again, but it is of an earlier run of the server.
    await vi.waitFor(async () => expect(await admin.keys('*')).toEqual(keys), { timeout: 5000 })
    await recovered(cache)
    await recovered(elsewhere.cache)
    expect(await table.read('a', elsewhere.aside)).toBe(2)
    expect(await table.read('a')).toBe(2)
  })

  it.each([
    ['one process', 1],
    ['three processes, once all of them are back', 3],
  ])(
    'is never stale while it is frozen, killed and started, empty and with old data, under the load of %s',
    async (_name, size) => {
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
    },
  )
})

describe('a connection that goes silent', () => {
  it('is given up for a new one', async () => {
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

describe('a Redis that refuses', () => {
  it('to store for lack of memory, is still told of writes', async () => {
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
