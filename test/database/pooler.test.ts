import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage } from 'holdfast'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { signal, times } from '../../src/testing/contract.ts'
import { freshPostgres } from '../setup/databases.ts'
import { type PgBouncer, startPgBouncer } from '../setup/pgbouncer.ts'
import { quiet } from '../setup/silent.ts'

/** Runs calls of several kinds at once, again and again, and returns how many have ended within the time. */
async function ended(url: string, maxConnections: number, rounds: number): Promise<number> {
  const database = { type: 'postgres', url, maxConnections, options: { prepare: false } } as const
  const storage = await openStorage({ database }, quiet)
  onTestFinished(() => storage.close())
  let count = 0
  const all = Promise.all(
    times(12, async (worker) => {
      for (let i = 0; i < rounds; i++) {
        const session = `s${worker % 3}`
        await Promise.all([
          storage.messages.append(session, { role: 'user', content: `${worker} ${i}` }).then(() => count++),
          storage.messages.latest(session, 5).then(() => count++),
          storage.kv.set(`k${worker}`, i).then(() => count++),
          storage.transaction((tx) => tx.lists.append('list', i), { timeoutMillis: 60_000 }).then(() => count++),
        ])
      }
    }),
  )
  await Promise.race([all, new Promise((resolve) => setTimeout(resolve, 20_000).unref())])
  return count
}

describe('openStorage() behind PgBouncer in transaction mode', () => {
  let pooler: PgBouncer
  let direct: string
  beforeAll(async () => {
    direct = await freshPostgres()
    await (await openStorage({ database: { type: 'postgres', url: direct } }, quiet)).close()
    pooler = await startPgBouncer(direct)
  })
  afterAll(() => pooler.stop())

  test.each([1, 2, 4, 10])(
    'opens a storage whose calls all end with prepare: false and %i connections',
    async (maxConnections) => {
      expect(await ended(pooler.url, maxConnections, 6)).toBe(12 * 6 * 4)
    },
  )

  test('opens a storage whose follower waits for the transactions of others', async () => {
    const database = { type: 'postgres', url: pooler.url, maxConnections: 3, options: { prepare: false } } as const
    await using storage = await openStorage({ database }, quiet)
    const { events } = storage
    const [appended, mayCommit] = [signal(), signal()]
    const slow = storage.transaction(async (tx) => {
      await tx.events.append({ type: 'slow' })
      appended.reach()
      await mayCommit.reached
    })
    await appended.reached
    await events.append({ type: 'fast' })
    const next = events.follow({ pollMillis: 5 }).next()
    expect(await Promise.race([next, sleep(100)])).toBeUndefined()
    mayCommit.reach()
    await slow
    expect((await next).value?.items.map(({ type }) => type)).toEqual(['slow', 'fast'])
  })

  test('rejects prepare: true and names the remedy', async () => {
    const opening = openStorage({ database: { type: 'postgres', url: pooler.url } }, quiet)
    await expect(opening).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
      retryable: false,
      message: expect.stringContaining('options.prepare: false'),
    })
  })

  test.each([
    ['options.schema', { schema: 'agent' }],
    ['options.statementTimeoutMillis', { statementTimeoutMillis: 1000 }],
  ])('names the remedy if the pooler refuses %s', async (option, options) => {
    const database = { type: 'postgres', url: pooler.url, options: { prepare: false, ...options } } as const
    await expect(openStorage({ database }, quiet)).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
      retryable: false,
      message: expect.stringContaining(option),
    })
  })
})

test('append() works with prepare: true behind PgBouncer in session mode', async () => {
  const pooler = await startPgBouncer(await freshPostgres(), { poolMode: 'session', poolSize: 4 })
  onTestFinished(() => pooler.stop())
  const database = { type: 'postgres', url: pooler.url, maxConnections: 2 } as const
  await using storage = await openStorage({ database }, quiet)
  await Promise.all(times(20, (i) => storage.messages.append('s', { role: 'user', content: String(i) })))
  expect(await storage.messages.latest('s', 30)).toHaveLength(20)
})

test('openStorage() does not take a server for a pooler', async () => {
  const database = { type: 'postgres', url: inject('postgresUrl'), options: { schema: 'no_pooler' } } as const
  await using storage = await openStorage({ database }, quiet)
  expect((await storage.health()).ok).toBe(true)
})
