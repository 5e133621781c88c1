import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { StorageConfig } from '../../../src/config/types.ts'
import { freshDirectory, freshPostgres } from '../../setup/databases.ts'
import { runScript } from '../../setup/processes.ts'
import { rounds, soak } from '../../setup/rounds.ts'
import { type RedisServer, startRedis } from '../../setup/servers.ts'
import { tryOut } from './history.ts'
import type { Message } from './programs/instance.ts'

/** Starts processes with a storage each, one after the other: the first migrates the database. */
async function start(count: number, config: StorageConfig) {
  const instances = []
  const warnings: string[][] = []
  for (let i = 0; i < count; i++) {
    const instance = runScript<Message>('test/cache/integration/programs/instance.ts', [JSON.stringify(config)])
    const message = await instance.next(({ is }) => is === 'open')
    if (message.is === 'open') warnings.push(message.warnings)
    instances.push(instance)
  }
  return { instances, warnings }
}

/** Returns true if one of up to twenty trials reads a stale row: in a single trial the race may not happen. */
async function isEverStale(instances: Parameters<typeof tryOut>[0], trial: Parameters<typeof tryOut>[1]) {
  for (let round = 0; round < 20; round++) if ((await tryOut(instances, trial)).stale > 0) return true
  return false
}

describe('three processes on PostgreSQL and Redis', () => {
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

  /** Evicts, expires and flushes keys of Redis while the work runs. */
  async function disturbed(work: () => Promise<void>): Promise<void> {
    let over = false
    const disturb = async () => {
      while (!over) {
        const key = await admin.randomkey()
        const chance = Math.random()
        if (chance < 0.02) await admin.flushall()
        else if (key !== null && chance < 0.5) await admin.unlink(key)
        else if (key !== null) await admin.pexpire(key, 1)
        await sleep(2)
      }
    }
    const worked = work().finally(() => {
      over = true
    })
    await Promise.all([worked, disturb()])
  }

  it('never read a row that an acknowledged write has replaced, while naive variants do', {
    timeout: soak ? 3_600_000 : 300_000,
  }, async () => {
    // After 250 ms without an answer Redis counts as down, and other processes may read stale rows until the writer has
    // recovered, as documented. A long timeout, so that a busy machine is not taken for an outage.
    const options = { commandTimeoutMillis: 20_000 }
    const config: StorageConfig = {
      cache: { type: 'redis', url: server.url, options },
      database: { type: 'postgres', url: await freshPostgres() },
    }
    const { instances } = await start(3, config)
    const each = rounds(3000, 340_000)
    const load = { rows: 6, pauseMillis: 15 }
    await disturbed(async () => {
      const { stale, reads, writes, warnings } = await tryOut(instances, {
        ...load,
        variant: 'ours',
        reads: each,
        writes: 200,
      })
      expect(reads).toBeGreaterThanOrEqual(3 * each)
      expect(writes).toBeGreaterThanOrEqual(600)
      expect({ stale, warnings }).toEqual({ stale: 0, warnings: [] })
      for (const variant of ['plain', 'setAfterCommit', 'joinedFlight'] as const) {
        expect({ variant, isStale: await isEverStale(instances, { ...load, variant, reads: 8000 }) }).toEqual({
          variant,
          isStale: true,
        })
      }
    })
  })
})

describe('two processes with a cache in memory each', () => {
  it('never read a row that an acknowledged write has replaced on one SQLite file', async () => {
    const path = join(freshDirectory(), 'agent.db')
    const { instances, warnings } = await start(2, { database: { type: 'sqlite', path } })
    expect(warnings.flat()).toEqual([])
    const each = rounds(4000, 500_000)
    const { stale, reads, writes } = await tryOut(instances, { variant: 'ours', reads: each, writes: 50 })
    expect(reads).toBeGreaterThanOrEqual(2 * each)
    expect(writes).toBeGreaterThanOrEqual(100)
    expect(stale).toBe(0)
    // The naive variant: the same protocol without a check of the file's data version.
    expect(await isEverStale(instances, { variant: 'leased', reads: 10_000 })).toBe(true)
  })

  it('read rows that are stale for at most five seconds on PostgreSQL, and warn of it once', async () => {
    const url = await freshPostgres()
    const { instances, warnings } = await start(2, { database: { type: 'postgres', url } })
    expect(warnings).toEqual([1, 2].map(() => [expect.stringMatching(/does not see the writes of other instances/)]))
    const trial = { variant: 'ours', rows: 4, pauseMillis: 1000, reads: 1e9, maxMillis: 7000 } as const
    const { stale, oldest } = await tryOut(instances, trial)
    expect(stale).toBeGreaterThan(0)
    expect(oldest).toBeGreaterThan(1000)
    expect(oldest).toBeLessThan(5100)
  })
})

describe('a thousand concurrent reads of one row that is not cached', () => {
  it('load the row at most twice in each of two processes', async () => {
    const server = await startRedis()
    const cache = { type: 'redis', url: server.url } as const
    const { instances } = await start(2, { cache, database: { type: 'postgres', url: await freshPostgres() } })
    for (let round = 1; round <= rounds(3, 100); round++) {
      const key = `cold ${round}`
      instances[0]?.send({ do: 'write', key, value: round })
      await instances[0]?.next(({ is }) => is === 'written')
      for (const instance of instances) instance.send({ do: 'read', key, times: 1000 })
      const answers = await Promise.all(instances.map((instance) => instance.next(({ is }) => is === 'read')))
      for (const answer of answers) {
        if (answer.is !== 'read') throw new Error('not reached')
        expect(answer.values).toEqual([round])
        expect(answer.loads).toBeLessThanOrEqual(2)
      }
    }
    await server.stop()
  })
})
