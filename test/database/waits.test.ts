import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage, type Storage, type StorageConfig, type StorageOptions } from 'holdfast'
import { describe, expect, it, onTestFinished } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { outcomes } from './drivers.ts'

const databases: [string, () => Promise<StorageConfig['database']>][] = [
  ['in memory', async () => ({ type: 'in-memory' })],
  [
    'SQLite',
    async () => ({ type: 'sqlite', path: join(freshDirectory(), 'a.db'), options: { busyTimeoutMillis: 400 } }),
  ],
  ['PostgreSQL', async () => ({ type: 'postgres', url: await freshPostgres(), connectionTimeoutMillis: 1000 })],
]

/** Runs jobs in an async context of its own, as a queue does that a program made when it started. */
function startWorker() {
  const jobs: (() => void)[] = []
  const timer = setInterval(() => jobs.shift()?.(), 1)
  onTestFinished(() => clearInterval(timer))
  return <T>(job: () => Promise<T>) =>
    new Promise<T>((resolve, reject) => void jobs.push(() => void job().then(resolve, reject)))
}

function withResolvers() {
  let resolve = () => {}
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}

const never = () => new Promise<never>(() => {})

/** The outcome of a call, or `hangs` after so many milliseconds. */
async function within(millis: number, call: Promise<unknown>): Promise<string> {
  const [outcome = ''] = await Promise.race([outcomes([call]), sleep(millis, ['hangs'], { ref: false })])
  return outcome
}

describe.each(databases)('%s', (name, configure) => {
  const open = async (options: StorageOptions = {}): Promise<Storage> =>
    openStorage({ database: await configure() }, { ...quiet, ...options })

  // On PostgreSQL the call outside has a connection of its own, and waits for nothing.
  if (name !== 'PostgreSQL')
    it('a transaction that waits for a call outside of it fails in time', async () => {
      const storage = await open()
      const work = startWorker()
      const deadlock = storage.transaction(async (tx) => {
        await tx.kv.set('inside', 1)
        await work(() => storage.kv.set('outside', 1))
      })
      expect(await within(8000, deadlock)).toBe('TIMEOUT')
      await expect(deadlock).rejects.toThrow(/A transaction has held the writer for \d+ ms/)
      await storage.kv.set('after', 1)
      expect(await storage.kv.getMany(['inside', 'outside', 'after'])).toEqual(new Map([['after', 1]]))
      expect((await storage.health()).ok).toBe(true)
      expect(await within(2000, storage.close())).toBe('ok')
    })

  it('transaction() with timeoutMillis rolls back what takes longer', async () => {
    await using storage = await open()
    const { promise: entered, resolve: enter } = withResolvers()
    let used: Promise<unknown> = Promise.resolve()
    const slow = storage.transaction(
      async (tx) => {
        await tx.kv.set('inside', 1)
        enter()
        await sleep(600)
        used = tx.kv.set('inside', 2)
        await used
      },
      { timeoutMillis: 200 },
    )
    await entered
    expect(await within(2000, slow)).toBe('TIMEOUT')
    await storage.kv.set('after', 1)
    await sleep(600)
    await expect(used).rejects.toMatchObject({ code: 'TRANSACTION_MISUSE' })
    expect(await storage.kv.getMany(['inside', 'after'])).toEqual(new Map([['after', 1]]))
  })

  it('transaction() says how long it may take', async () => {
    await using storage = await open()
    for (const timeoutMillis of [0, -1, 1.5, 'x'] as number[]) {
      const call = storage.transaction(async () => {}, { timeoutMillis })
      await expect(call).rejects.toMatchObject({ code: 'INVALID_INPUT', message: /options\.timeoutMillis/ })
    }
    await storage.transaction(async (tx) => tx.kv.set('quick', 1), { timeoutMillis: 5000 })
    expect(await storage.kv.get('quick')).toBe(1)
  })

  it('close() rolls back what has not ended after closeTimeoutMillis, and logs it', async () => {
    const warnings: string[] = []
    const logger = { ...quiet.logger, warn: (message: string) => void warnings.push(message) }
    const storage = await open({ logger, closeTimeoutMillis: 300 })
    const stuck = storage.transaction(async (tx) => {
      await tx.kv.set('inside', 1)
      await never()
    })
    const ended = outcomes([stuck])
    await sleep(50)
    expect(await within(3000, storage.close())).toBe('ok')
    expect(await ended).toEqual(['CLOSED'])
    expect(warnings.join()).toContain('in flight')
  })

  it('warns of a transaction that takes long', async () => {
    const warnings: string[] = []
    const logger = { ...quiet.logger, warn: (message: string) => void warnings.push(message) }
    await using storage = await open({ logger, slowTransactionMillis: 100 })
    await storage.transaction(() => sleep(50))
    expect(warnings.filter((message) => message.includes('transaction'))).toEqual([])
    await storage.transaction(() => sleep(300))
    expect(warnings.join()).toContain('transaction')
  })
})

it('PostgreSQL: close() ends while a transaction waits for the lock of another storage', async () => {
  const url = await freshPostgres()
  const database = { type: 'postgres', url, connectionTimeoutMillis: 1000 } as const
  const holder = await openStorage({ database }, quiet)
  const waiter = await openStorage({ database }, { ...quiet, closeTimeoutMillis: 300 })
  await holder.kv.set('key', 0)
  await holder.transaction(async (tx) => {
    await tx.kv.set('key', 1)
    const waiting = outcomes([waiter.transaction((inner) => inner.kv.set('key', 2)), waiter.kv.set('key', 3)])
    await sleep(100)
    expect(await within(15_000, waiter.close())).toBe('ok')
    for (const outcome of await waiting) expect(['CLOSED', 'CONNECTION_LOST']).toContain(outcome)
  })
  // The call outside of a transaction had been sent: CONNECTION_LOST says that it may have been done.
  expect([1, 3]).toContain(await holder.kv.get('key'))
  await holder.close()
})
