import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { describe, expect, inject, it } from 'vitest'
import { CacheAside } from '../../src/cache/cache-aside.ts'
import { MemoryCacheStore } from '../../src/cache/memory.ts'
import type { CacheStore } from '../../src/cache/store.ts'
import { startRedis } from '../setup/servers.ts'
import { openRedis } from './redis-fixture.ts'

interface Row {
  id: string
  version: number
  tags: string[]
  at: Date
  expiresAt?: Date | null
}

/** One row in a database that counts its reads. A read takes a while and returns the row as of its start. */
class Table {
  row: Row | undefined
  reads = 0
  concurrent = 0
  mostConcurrent = 0

  constructor(version?: number) {
    if (version !== undefined) this.write(version)
  }

  write(version: number, expiresAt?: Date | null): void {
    this.row = {
      id: 'a',
      version,
      tags: ['x'],
      at: new Date(version),
      ...(expiresAt === undefined ? {} : { expiresAt }),
    }
  }

  load = async (): Promise<Row | undefined> => {
    this.reads++
    this.mostConcurrent = Math.max(this.mostConcurrent, ++this.concurrent)
    const snapshot = structuredClone(this.row)
    await sleep(20)
    this.concurrent--
    return snapshot
  }
}

const backends: [name: string, open: () => Promise<CacheStore>][] = [
  ['in memory', async () => new MemoryCacheStore()],
  ['Redis', () => openRedis({ url: inject('redisUrl'), options: { keyPrefix: `${randomUUID()}:` } })],
]

describe.each(backends)('read() of CacheAside, %s', (_name, open) => {
  it('loads a row once, and a hit returns the same as the miss', async () => {
    const aside = new CacheAside(await open(), { ttlMillis: 60_000 })
    const table = new Table(1)
    const missed = await aside.read('rows', 'a', table.load)
    const hit = await aside.read('rows', 'a', table.load)
    expect(table.reads).toBe(1)
    expect(hit).toStrictEqual(missed)
    expect(hit).toStrictEqual({ id: 'a', version: 1, tags: ['x'], at: new Date(1) })
    expect(aside.stats()).toEqual({
      hits: 1,
      negativeHits: 0,
      misses: 1,
      bypasses: 0,
      loads: 1,
      fills: 1,
      rejectedFills: 0,
    })
  })

  it('returns a separate copy to every reader', async () => {
    const aside = new CacheAside(await open(), { ttlMillis: 60_000 })
    const table = new Table(1)
    const rows = await Promise.all(Array.from({ length: 10 }, () => aside.read('rows', 'a', table.load)))
    rows.push(await aside.read('rows', 'a', table.load))
    for (const row of rows) {
      expect(row).toStrictEqual({ id: 'a', version: 1, tags: ['x'], at: new Date(1) })
      row?.tags.push('changed by a caller')
      row?.at.setTime(0)
    }
    expect(await aside.read('rows', 'a', table.load)).toStrictEqual({
      id: 'a',
      version: 1,
      tags: ['x'],
      at: new Date(1),
    })
  })

  it('loads at most twice, one after the other, for 1,000 concurrent readers of a cold key', async () => {
    const aside = new CacheAside(await open(), { ttlMillis: 60_000 })
    const table = new Table(1)
    const rows = await Promise.all(Array.from({ length: 1000 }, () => aside.read('rows', 'a', table.load)))
    expect(new Set(rows.map((row) => row?.version))).toEqual(new Set([1]))
    expect(table.reads).toBeLessThanOrEqual(2)
    expect(table.mostConcurrent).toBe(1)
  })

  it('loads at most twice for 1,000 concurrent readers of a row that is too large to cache', async () => {
    const aside = new CacheAside(await open(), { ttlMillis: 60_000, maxValueBytes: 1 })
    const table = new Table(1)
    await Promise.all(Array.from({ length: 1000 }, () => aside.read('rows', 'a', table.load)))
    expect(table.reads).toBe(2)
  })

  it('does not cache a load that a write has overtaken', async () => {
    const aside = new CacheAside(await open(), { ttlMillis: 60_000 })
    const table = new Table(1)
    const early = aside.read('rows', 'a', table.load)
    await sleep(10)
    table.write(2)
    await aside.invalidate('rows', ['a'])
    expect((await early)?.version).toBe(1)
    expect((await aside.read('rows', 'a', table.load))?.version).toBe(2)
    expect(aside.stats()).toMatchObject({ fills: 1, rejectedFills: 1 })
  })

  it('does not join a load that started before a write of another process', async () => {
    const cache = await open()
    const [here, there] = [new CacheAside(cache, { ttlMillis: 60_000 }), new CacheAside(cache, { ttlMillis: 60_000 })]
    const table = new Table(1)
    const early = here.read('rows', 'a', table.load)
    await sleep(10)
    table.write(2)
    await there.invalidate('rows', ['a'])
    expect((await here.read('rows', 'a', table.load))?.version).toBe(2)
    expect((await early)?.version).toBe(1)
  })

  it('caches the absence of a row until the row is inserted', async () => {
    const aside = new CacheAside(await open(), { ttlMillis: 60_000 })
    const table = new Table()
    expect(await aside.read('rows', 'a', table.load)).toBeUndefined()
    expect(await aside.read('rows', 'a', table.load)).toBeUndefined()
    expect(table.reads).toBe(1)
    expect(aside.stats().negativeHits).toBe(1)
    table.write(1)
    await aside.invalidate('rows', ['a'])
    expect((await aside.read('rows', 'a', table.load))?.version).toBe(1)
  })

  it('separates tables, ids and namespaces', async () => {
    const cache = await open()
    const [one, two] = [
      new CacheAside(cache, { namespace: '1:', ttlMillis: 60_000 }),
      new CacheAside(cache, { namespace: '2:', ttlMillis: 60_000 }),
    ]
    let loads = 0
    const load = async () => ({ number: ++loads })
    expect(await one.read('rows', 'a', load)).toEqual({ number: 1 })
    expect(await one.read('rows', 'b', load)).toEqual({ number: 2 })
    expect(await one.read('other', 'a', load)).toEqual({ number: 3 })
    expect(await two.read('rows', 'a', load)).toEqual({ number: 4 })
    await one.invalidate('rows', ['a', 'b'])
    expect(await two.read('rows', 'a', load)).toEqual({ number: 4 })
    expect(await one.read('other', 'a', load)).toEqual({ number: 3 })
    expect(await one.read('rows', 'b', load)).toEqual({ number: 5 })
  })

  it('loads a row again when its TTL has passed', async () => {
    const aside = new CacheAside(await open(), { ttlMillis: 100 })
    const table = new Table(1)
    await aside.read('rows', 'a', table.load)
    await sleep(101)
    await aside.read('rows', 'a', table.load)
    expect(table.reads).toBe(2)
  })

  it('does not return a row that has expired by the clock of the program', async () => {
    let now = Date.now()
    const aside = new CacheAside(await open(), { ttlMillis: 60_000, now: () => now })
    const table = new Table()
    table.write(1, new Date(now + 30_000))
    expect((await aside.read('rows', 'a', table.load))?.version).toBe(1)
    expect((await aside.read('rows', 'a', table.load))?.version).toBe(1)
    now += 30_000
    expect(await aside.read('rows', 'a', table.load)).toBeUndefined()
    expect(table.reads).toBe(1)
  })

  it('does not cache a row for longer than until its expiry', async () => {
    const aside = new CacheAside(await open(), { ttlMillis: 60_000 })
    const table = new Table()
    table.write(1, new Date(Date.now() + 100))
    await aside.read('rows', 'a', table.load)
    await sleep(110)
    table.write(2, null)
    expect((await aside.read('rows', 'a', table.load))?.version).toBe(2)
  })

  it('loads a row that is too large to cache in every read, without a lease', async () => {
    const cache = await open()
    const aside = new CacheAside(cache, { ttlMillis: 60_000, maxValueBytes: 200 })
    let text = 'x'.repeat(200)
    const load = async () => ({ text })
    expect(await aside.read('rows', 'a', load)).toEqual({ text })
    expect(await aside.read('rows', 'a', load)).toEqual({ text })
    expect(aside.stats()).toMatchObject({ loads: 2, bypasses: 1 })
    text = 'short'
    await aside.invalidate('rows', ['a'])
    expect(await aside.read('rows', 'a', load)).toEqual({ text })
    expect(await aside.read('rows', 'a', load)).toEqual({ text })
    expect(aside.stats()).toMatchObject({ loads: 3, hits: 1 })
  })

  it('rejects with the error of its own load, and not with that of an earlier load', async () => {
    const aside = new CacheAside(await open(), { ttlMillis: 60_000 })
    const table = new Table(1)
    const failing = aside.read('rows', 'a', async () => {
      await sleep(10)
      throw new Error('the database is gone')
    })
    const following = aside.read('rows', 'a', table.load)
    await expect(failing).rejects.toThrow('the database is gone')
    expect((await following)?.version).toBe(1)
  })

  it('loads all rows again when another process has changed the database', async () => {
    let dataVersion = 1
    const aside = new CacheAside(await open(), { ttlMillis: 60_000, dataVersion: () => dataVersion })
    const table = new Table(1)
    await aside.read('rows', 'a', table.load)
    expect((await aside.read('rows', 'a', table.load))?.version).toBe(1)
    const late = aside.read('rows', 'b', table.load)
    await sleep(5)
    table.write(2)
    dataVersion++
    await late
    expect((await aside.read('rows', 'a', table.load))?.version).toBe(2)
    expect((await aside.read('rows', 'b', table.load))?.version).toBe(2)
  })
})

describe('CacheAside on Redis', () => {
  it('read() loads at most twice per process for 1,000 concurrent readers in each of two processes', async () => {
    const keyPrefix = `${randomUUID()}:`
    const open = async () =>
      new CacheAside(await openRedis({ url: inject('redisUrl'), options: { keyPrefix } }), { ttlMillis: 60_000 })
    const processes = [await open(), await open()]
    const table = new Table(1)
    await Promise.all(
      processes.flatMap((aside) => Array.from({ length: 1000 }, () => aside.read('rows', 'a', table.load))),
    )
    const loads = processes.map((aside) => aside.stats().loads)
    expect(Math.max(...loads)).toBeLessThanOrEqual(2)
    expect(processes.map((aside) => aside.stats().fills).reduce((a, b) => a + b)).toBe(1)
  })

  it('read() takes one GET for a hit, and invalidate() takes one UNLINK for several rows', async () => {
    const server = await startRedis()
    try {
      const aside = new CacheAside(await openRedis({ url: server.url }), { ttlMillis: 60_000 })
      const table = new Table(1)
      await aside.read('rows', 'a', table.load)
      const before = await commands(server.url)
      await aside.read('rows', 'a', table.load)
      expect(difference(before, await commands(server.url))).toEqual({ get: 1 })
      await aside.announce('rows', ['a', 'b', 'c'])
      await aside.invalidate('rows', ['a', 'b', 'c'])
      const { evalsha = 0, eval: first = 0 } = difference(before, await commands(server.url))
      expect(evalsha + first).toBeLessThanOrEqual(3 + 3 + 2) // each script is sent in full once
    } finally {
      await server.stop()
    }
  })
})

/** Returns how often each command has been called. */
async function commands(url: string): Promise<Map<string, number>> {
  const redis = new Redis(url)
  const info = await redis.info('commandstats')
  await redis.quit()
  return new Map(
    [...info.matchAll(/cmdstat_(get|set|unlink|eval|evalsha|mget):calls=(\d+)/g)].map(([, name = '', n]) => [
      name,
      Number(n),
    ]),
  )
}

function difference(before: Map<string, number>, after: Map<string, number>): Record<string, number> {
  const changed = [...after].map(([name, n]) => [name, n - (before.get(name) ?? 0)] as const)
  return Object.fromEntries(changed.filter(([, n]) => n > 0))
}

it.each(['V', 'V{', 'V\n{"id":', 'V[["date"]\n{}'])(
  'read() takes an entry that nobody can read for a miss: %j',
  async (entry) => {
    const store = new MemoryCacheStore()
    const aside = new CacheAside(store)
    const load = async () => ({ id: 'a', version: 1 })
    await aside.read('rows', 'a', load)
    store.put(':rows:a', entry, 60_000)
    expect(await aside.read('rows', 'a', load)).toEqual({ id: 'a', version: 1 })
    const { hits, loads } = aside.stats()
    expect(await aside.read('rows', 'a', load)).toEqual({ id: 'a', version: 1 })
    expect(aside.stats()).toMatchObject({ hits: hits + 1, loads })
  },
)
