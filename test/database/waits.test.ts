import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Sqlite from 'better-sqlite3'
import { openStorage, type Storage, type StorageConfig, type StorageOptions, type StorageTransaction } from 'holdfast'
import postgres from 'postgres'
import { describe, expect, it, onTestFinished } from 'vitest'
import { signal } from '../../src/testing/contract.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { quiet } from '../setup/silent.ts'
import { outcomes, outcomeWithin } from './drivers.ts'

const databases: [string, () => Promise<StorageConfig['database']>][] = [
  ['a database in memory', async () => ({ type: 'in-memory' })],
  [
    'SQLite',
    async () => ({ type: 'sqlite', path: join(freshDirectory(), 'a.db'), options: { busyTimeoutMillis: 400 } }),
  ],
  ['PostgreSQL', async () => ({ type: 'postgres', url: await freshPostgres(), connectionTimeoutMillis: 1000 })],
]

/** Starts a worker that runs jobs in its own async context, like a queue that a program creates at its start. */
function startWorker() {
  const jobs: (() => void)[] = []
  const timer = setInterval(() => jobs.shift()?.(), 1)
  onTestFinished(() => clearInterval(timer))
  return <T>(job: () => Promise<T>) =>
    new Promise<T>((resolve, reject) => void jobs.push(() => void job().then(resolve, reject)))
}

const never = () => new Promise<never>(() => {})

describe.each(databases)('on %s,', (name, configure) => {
  const open = async (options: StorageOptions = {}): Promise<Storage> =>
    openStorage({ database: await configure() }, { ...quiet, ...options })

  // On PostgreSQL the call outside has its own connection and does not wait.
  if (name !== 'PostgreSQL')
    it('transaction() rejects with TIMEOUT when it waits for a call outside of it', async () => {
      const storage = await open()
      const work = startWorker()
      const deadlock = storage.transaction(async (tx) => {
        await tx.kv.set('inside', 1)
        await work(() => storage.kv.set('outside', 1))
      })
      expect(await outcomeWithin(8000, deadlock)).toBe('TIMEOUT')
      await expect(deadlock).rejects.toThrow(/A transaction has held the writer for \d+ ms/)
      await storage.kv.set('after', 1)
      expect(await storage.kv.getMany(['inside', 'outside', 'after'])).toEqual(new Map([['after', 1]]))
      expect((await storage.health()).ok).toBe(true)
      expect(await outcomeWithin(2000, storage.close())).toBe('ok')
    })

  it('transaction() rolls back and rejects after timeoutMillis', async () => {
    await using storage = await open()
    const [{ reached: entered, reach: enter }, { reached: over, reach: end }] = [signal(), signal()]
    let used: Promise<unknown> = Promise.resolve()
    const slow = storage.transaction(
      async (tx) => {
        await tx.kv.set('inside', 1)
        enter()
        used = over.then(() => tx.kv.set('inside', 2))
        await used
      },
      { timeoutMillis: 1000 }, // the body must have begun by then
    )
    await entered
    expect(await outcomeWithin(10_000, slow)).toBe('TIMEOUT')
    await storage.kv.set('after', 1)
    end()
    await expect(used).rejects.toMatchObject({ code: 'TRANSACTION_MISUSE' })
    expect(await storage.kv.getMany(['inside', 'after'])).toEqual(new Map([['after', 1]]))
  })

  it('transaction() rejects after timeoutMillis if it cannot begin, and its body does not run', async () => {
    const database = await configure()
    const one =
      database?.type === 'postgres' ? { ...database, maxConnections: 1, connectionTimeoutMillis: 5000 } : database
    await using storage = await openStorage({ database: one }, quiet)
    const { reached: released, reach: release } = signal()
    const holder = storage.transaction(() => released)
    let runs = 0
    for (const isolation of ['read committed', 'serializable'] as const) {
      const late = storage.transaction(async () => void runs++, { timeoutMillis: 100, isolation })
      await expect(late).rejects.toMatchObject({
        code: 'TIMEOUT',
        retryable: true,
        message: expect.stringContaining('timeoutMillis, 100 ms, before it could begin'),
      })
    }
    release()
    await holder
    await storage.kv.set('after', 1)
    expect(runs).toBe(0)
  })

  it('a savepoint that goes on after timeoutMillis writes nothing, not even into the next transaction', async () => {
    await using storage = await open()
    let late: Promise<unknown> = Promise.resolve()
    const slow = storage.transaction(
      (tx) =>
        tx.transaction(async (savepoint) => {
          await sleep(500)
          late = savepoint.kv.set('late', 1)
          await late
        }),
      { timeoutMillis: 200 },
    )
    expect(await outcomeWithin(2000, slow)).toBe('TIMEOUT')
    await storage.transaction(async (tx) => {
      await tx.kv.set('next', 1)
      await sleep(600)
    })
    await expect(late).rejects.toMatchObject({ name: 'StorageError' })
    expect(await storage.kv.getMany(['late', 'next'])).toEqual(new Map([['next', 1]]))
  })

  it.each([0, -1, 1.5, 'x'] as number[])('transaction() rejects the timeoutMillis %j', async (timeoutMillis) => {
    await using storage = await open()
    const call = storage.transaction(async () => {}, { timeoutMillis })
    await expect(call).rejects.toMatchObject({ code: 'INVALID_INPUT', message: /options\.timeoutMillis/ })
  })

  it('transaction() commits if it ends within timeoutMillis', async () => {
    await using storage = await open()
    await storage.transaction(async (tx) => tx.kv.set('quick', 1), { timeoutMillis: 5000 })
    expect(await storage.kv.get('quick')).toBe(1)
  })

  it('close() rolls back transactions that have not ended after closeTimeoutMillis, and logs it', async () => {
    const warnings: string[] = []
    const logger = { ...quiet.logger, warn: (message: string) => void warnings.push(message) }
    const storage = await open({ logger, closeTimeoutMillis: 300 })
    const stuck = storage.transaction(async (tx) => {
      await tx.kv.set('inside', 1)
      await never()
    })
    const ended = outcomes([stuck])
    await sleep(50)
    expect(await outcomeWithin(3000, storage.close())).toBe('ok')
    expect(await ended).toEqual(['CLOSED'])
    expect(warnings.join()).toContain('in flight')
  })

  it('transaction() logs a warning if it takes longer than slowTransactionMillis', async () => {
    const warnings: string[] = []
    const logger = { ...quiet.logger, warn: (message: string) => void warnings.push(message) }
    await using storage = await open({ logger, slowTransactionMillis: 100 })
    await storage.transaction(() => sleep(50))
    expect(warnings.filter((message) => message.includes('transaction'))).toEqual([])
    await storage.transaction(() => sleep(300))
    expect(warnings.join()).toContain('transaction')
  })
})

it('close() on PostgreSQL resolves while a transaction waits for the lock of another storage', async () => {
  const url = await freshPostgres()
  const database = { type: 'postgres', url, connectionTimeoutMillis: 1000 } as const
  const holder = await openStorage({ database }, quiet)
  const waiter = await openStorage({ database }, { ...quiet, closeTimeoutMillis: 300 })
  await holder.kv.set('key', 0)
  await holder.transaction(async (tx) => {
    await tx.kv.set('key', 1)
    const waiting = outcomes([waiter.transaction((inner) => inner.kv.set('key', 2)), waiter.kv.set('key', 3)])
    await sleep(100)
    expect(await outcomeWithin(15_000, waiter.close())).toBe('ok')
    for (const outcome of await waiting) expect(['CLOSED', 'CONNECTION_LOST']).toContain(outcome)
  })
  // The call outside a transaction has been sent: after CONNECTION_LOST it may have been done.
  expect([1, 3]).toContain(await holder.kv.get('key'))
  await holder.close()
})

it('transaction() on PostgreSQL that has timed out waits for a lock no longer, on the server either', async () => {
  const url = await freshPostgres()
  await using storage = await openStorage(
    { database: { type: 'postgres', url }, blobStore: { type: 'database' } },
    quiet,
  )
  const sql = postgres(url, { max: 1 })
  onTestFinished(() => sql.end())
  await storage.kv.set('key', 0)
  const calls: ((tx: StorageTransaction) => Promise<unknown>)[] = [
    (tx) => tx.kv.set('key', 2),
    (tx) => tx.blobs.put(Buffer.from('late')),
  ]
  const work = startWorker() // in an async context that is not that of the transaction
  await storage.transaction(async (holder) => {
    await holder.kv.set('key', 1)
    await holder.blobs.put(Buffer.from('held'))
    for (const call of calls) {
      const late = work(() => storage.transaction(call, { timeoutMillis: 200 }))
      await expect(late).rejects.toMatchObject({ code: 'TIMEOUT', message: expect.stringContaining('200 ms') })
    }
    const waiting = () =>
      sql`select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    await expect.poll(waiting, { timeout: 5000 }).toHaveLength(0)
  })
  expect(await storage.kv.get('key')).toBe(1)
})

it('transaction() with timeoutMillis on PostgreSQL keeps a shorter lock_timeout of the server', async () => {
  const url = await freshPostgres({ lock_timeout: '200ms' })
  await using storage = await openStorage({ database: { type: 'postgres', url } }, quiet)
  await using other = await openStorage({ database: { type: 'postgres', url } }, quiet)
  await storage.kv.set('key', 0)
  await storage.transaction(async (holder) => {
    await holder.kv.set('key', 1)
    const late = other.transaction((tx) => tx.kv.set('key', 2), { timeoutMillis: 20_000 })
    await expect(late).rejects.toMatchObject({ code: 'TIMEOUT', details: { postgresCode: '55P03' } })
  })
})

it('transaction() on SQLite that has timed out before it could begin leaves the writer to others', async () => {
  const path = join(freshDirectory(), 'a.db')
  await using storage = await openStorage({ database: { type: 'sqlite', path } }, quiet)
  const other = new Sqlite(path)
  onTestFinished(() => void other.close())
  other.exec('BEGIN IMMEDIATE')
  const late = storage.transaction(async (tx) => tx.kv.set('late', 1), { timeoutMillis: 100 })
  await expect(late).rejects.toMatchObject({
    code: 'TIMEOUT',
    message: expect.stringContaining('timeoutMillis, 100 ms'),
  })
  other.exec('ROLLBACK')
  await storage.kv.set('after', 1)
  expect(await storage.kv.getMany(['late', 'after'])).toEqual(new Map([['after', 1]]))
})

it('transaction() that got no connection leaves no timer that keeps the process alive', async () => {
  const script = runScript('test/database/programs/refused-transaction.ts', [await freshPostgres()])
  expect(await script.next()).toEqual({ refused: 'TIMEOUT' })
  expect(await outcomeWithin(20_000, script.exit)).toBe('ok')
})
