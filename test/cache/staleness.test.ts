import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MemoryCacheStore } from '../../src/cache/memory.ts'
import type { CacheStore } from '../../src/cache/store.ts'
import { rounds } from '../setup/rounds.ts'
import { type RedisServer, startRedis } from '../setup/servers.ts'
import { openRedis } from './redis-fixture.ts'
import { measureStaleness, type Outcome, type RowReader } from './staleness.ts'
import { joinedFlight, leased, plain, setAfterCommit } from './variants.ts'

const ROWS = 12

/** Ends the trial of a cache after enough reads and writes: a slow machine writes less while it reads. */
const isLongEnough = ({ reads, writes }: Outcome) => reads >= rounds(25_000, 1_000_000) && writes >= 100

/** Ends the trial of a naive variant: at the first stale row, or when it has had its chance for long. */
const isStaleOrLong = ({ stale, reads }: Outcome) => stale > 0 || reads >= 200_000

describe('read() of three caches on one Redis, with evictions, expiries and FLUSHALL', () => {
  let server: RedisServer
  let admin: Redis

  beforeAll(async () => {
    server = await startRedis()
    admin = new Redis(server.url)
  })
  afterAll(async () => {
    admin.disconnect()
    await server.stop()
  })

  async function trial(variant: (cache: CacheStore) => RowReader, enough: (outcome: Outcome) => boolean) {
    const keyPrefix = `${randomUUID()}:`
    const open = () => openRedis({ url: server.url, options: { keyPrefix } })
    const caches = await Promise.all([open(), open(), open()])
    return measureStaleness({ processes: caches.map(variant), rows: ROWS, enough, disturb })
  }

  async function disturb() {
    const key = await admin.randomkey()
    const chance = Math.random()
    if (chance < 0.02) await admin.flushall()
    else if (key !== null && chance < 0.5) await admin.unlink(key)
    else if (key !== null) await admin.pexpire(key, 1)
  }

  it('never returns a row that an acknowledged write has replaced', async () => {
    const { stale, writes } = await trial(leased, isLongEnough)
    expect(writes).toBeGreaterThanOrEqual(100)
    expect(stale).toBe(0)
  })

  it.each([
    ['plain cache-aside', plain],
    ['set after commit', setAfterCommit],
    ['joining a load in flight', joinedFlight],
  ])('returns stale rows in the naive variant: %s', async (_name, variant) => {
    expect((await trial(variant, isStaleOrLong)).stale).toBeGreaterThan(0)
  })
})

describe('read() of a cache in memory that is too small for its rows', () => {
  const trial = (variant: (cache: CacheStore) => RowReader, enough: (outcome: Outcome) => boolean) =>
    measureStaleness({ processes: [variant(new MemoryCacheStore({ maxEntries: ROWS / 2 }))], rows: ROWS, enough })

  it('never returns a row that an acknowledged write has replaced', async () => {
    const { stale, writes } = await trial(leased, isLongEnough)
    expect(writes).toBeGreaterThanOrEqual(100)
    expect(stale).toBe(0)
  })

  it('returns stale rows in the naive variant: plain cache-aside', async () => {
    expect((await trial(plain, isStaleOrLong)).stale).toBeGreaterThan(0)
  })
})
