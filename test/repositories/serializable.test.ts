import { isStorageError, openStorage, type Storage, type StorageTransaction, type TransactionOptions } from 'holdfast'
import { expect, it, test } from 'vitest'
import { Turns } from '../../src/storage/turns.ts'
import { signal } from '../../src/testing/contract.ts'
import { freshPostgres } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'
import { eachDatabase } from './databases.ts'

const serializable = { isolation: 'serializable' } as const

/** Goes off duty if another doctor stays: the usual example of two writes that are right alone and wrong together. */
async function leave(tx: StorageTransaction, doctor: string, meet: () => Promise<unknown>): Promise<void> {
  const { items } = await tx.kv.entries({ prefix: 'on-duty:' })
  await meet()
  if (items.filter(({ value }) => value === true).length > 1) await tx.kv.set(`on-duty:${doctor}`, false)
}

/** Returns in how many rounds both doctors left. */
async function abandonedWards(
  storage: Storage,
  count: number,
  options: TransactionOptions,
  meet: () => Promise<unknown> = () => new Promise(setImmediate), // lets the other transaction read
): Promise<number> {
  let abandoned = 0
  for (let round = 0; round < count; round++) {
    for (const doctor of ['ann', 'ben']) await storage.kv.set(`on-duty:${doctor}`, true)
    await Promise.all(['ann', 'ben'].map((doctor) => storage.transaction((tx) => leave(tx, doctor, meet), options)))
    const { items } = await storage.kv.entries({ prefix: 'on-duty:' })
    if (items.every(({ value }) => value === false)) abandoned++
  }
  return abandoned
}

async function increment(tx: StorageTransaction): Promise<void> {
  const count = Number((await tx.kv.get('count')) ?? 0)
  await tx.events.append({ type: 'counted', payload: count + 1 })
  await tx.kv.set('count', count + 1)
}

eachDatabase((open) => {
  it('a serializable transaction decides on what it has read', async () => {
    await using storage = await open()
    expect(await abandonedWards(storage, rounds(20, 500), serializable)).toBe(0)
  })

  it('serializable transactions lose no update, and what is rolled back leaves nothing', async () => {
    await using storage = await open()
    const perClient = rounds(10, 200)
    const client = async () => {
      for (let i = 0; i < perClient; i++) await storage.transaction(increment, serializable)
    }
    await Promise.all([client(), client(), client()])
    expect(await storage.kv.get('count')).toBe(3 * perClient)
    const counted: unknown[] = []
    for await (const { items } of pages(storage)) counted.push(...items.map(({ payload }) => payload))
    expect(counted.toSorted((a, b) => Number(a) - Number(b))).toEqual(
      Array.from({ length: 3 * perClient }, (_, i) => i + 1),
    )
  })

  it('a scope has serializable transactions as well, and an unknown level is refused', async () => {
    await using storage = await open()
    const ada = storage.scope({ ownerId: 'ada' })
    await ada.transaction((tx) => tx.kv.set('theme', 'dark'), serializable)
    expect(await ada.kv.get('theme')).toBe('dark')
    const unknown = { isolation: 'snapshot' } as unknown as TransactionOptions
    const refused = await storage.transaction(increment, unknown).catch((error: unknown) => error)
    expect(isStorageError(refused, 'INVALID_INPUT') && refused.details.problems[0]?.path).toBe('options.isolation')
  })
})

async function* pages(storage: Storage) {
  let cursor: string | undefined
  do {
    const page = await storage.events.list({ type: 'counted', limit: 1000, cursor })
    yield page
    cursor = page.nextCursor
  } while (cursor !== undefined)
}

test('16 clients on one row take turns, and none fails', async () => {
  await using storage = await openStorage({ database: { type: 'postgres', url: await freshPostgres() } }, quiet)
  const perClient = rounds(20, 100)
  let runs = 0
  const client = async () => {
    for (let i = 0; i < perClient; i++)
      await storage.transaction((tx) => {
        runs++
        return increment(tx)
      }, serializable)
  }
  await Promise.all(Array.from({ length: 16 }, client))
  expect(await storage.kv.get('count')).toBe(16 * perClient)
  expect(runs).toBeLessThan(16 * perClient * 4) // 1.8 runs each if each waits for its turn
})

test('three processes on one row take turns', async () => {
  const config = { database: { type: 'postgres' as const, url: await freshPostgres() } }
  const perClient = rounds(12, 60)
  const args = [JSON.stringify(config), '8', String(perClient)]
  const scripts = [1, 2, 3].map(() =>
    runScript<{ runs: number; failed: string[] }>('test/repositories/programs/serialize.ts', args),
  )
  await Promise.all(scripts.map((script) => script.next()))
  for (const script of scripts) script.send('go')
  const results = await Promise.all(scripts.map((script) => script.next()))
  const failed = results.flatMap((result) => result.failed)
  const total = 3 * 8 * perClient
  await using storage = await openStorage(config, quiet)
  // A machine that is very busy lets some take longer than others wait: they may fail after 20 attempts.
  expect(failed.filter((code) => code !== 'DATABASE_FAILED')).toEqual([])
  expect(await storage.kv.get('count')).toBe(total - failed.length)
  const runs = results.reduce((sum, result) => sum + result.runs, 0)
  expect(runs).toBeLessThan(total * 4) // 2 runs each; 6.5 if only those of one process take turns
}, 90_000)

test('transactions that wait for one another take turns no longer than a moment', async () => {
  const turns = new Turns()
  let endFirst = () => {}
  const first = turns.beside(() => new Promise<void>((resolve) => (endFirst = resolve)))
  const second = turns.alone(async () => 'alone')
  // A third one, which the first waits for: it waits for the second, which waits for the first.
  expect(await turns.beside(async () => 'beside')).toBe('beside')
  expect(await second).toBe('alone')
  endFirst()
  await first
  const begun = performance.now()
  for (let i = 0; i < 12; i++) expect(await turns.beside(async () => 'at once')).toBe('at once')
  expect(performance.now() - begun).toBeLessThan(2000) // 3000 if each waits
})

test('those that take turns do not each wait for a transaction that takes long', async () => {
  const turns = new Turns()
  let endLong = () => {}
  const long = turns.beside(() => new Promise<void>((resolve) => (endLong = resolve)))
  await turns.alone(async () => {}) // waits for a moment
  const begun = performance.now()
  for (let i = 0; i < 12; i++) await turns.alone(async () => {})
  expect(performance.now() - begun).toBeLessThan(2000) // 3000 if each waits
  endLong()
  await long
})

test('at READ COMMITTED, PostgreSQL lets both doctors leave', async () => {
  await using storage = await openStorage({ database: { type: 'postgres', url: await freshPostgres() } }, quiet)
  let readers = 0
  let bothHaveRead = () => {}
  const met = new Promise<void>((resolve) => (bothHaveRead = resolve))
  const meet = () => {
    if (++readers === 2) bothHaveRead()
    return met
  }
  expect(await abandonedWards(storage, 1, {}, meet)).toBe(1)
})

test('the body of a serializable transaction runs 20 times at most, and within timeoutMillis', async () => {
  const url = await freshPostgres()
  await using storage = await openStorage({ database: { type: 'postgres', url } }, quiet)
  await using other = await openStorage({ database: { type: 'postgres', url } }, quiet)
  let runs = 0
  const overtaken = async (tx: StorageTransaction) => {
    runs++
    const seen = await tx.kv.get('count')
    await other.kv.set('count', runs)
    await tx.kv.set('count', `${seen} and more`)
  }
  const failure = await storage.transaction(overtaken, serializable).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'DATABASE_FAILED', retryable: true, details: { postgresCode: '40001' } })
  expect(runs).toBe(20)
  expect(await storage.kv.get('count')).toBe(20)

  const slow = async (tx: StorageTransaction) => {
    await new Promise((resolve) => setTimeout(resolve, 200))
    await overtaken(tx)
  }
  const begun = performance.now()
  const timedOut = storage.transaction(slow, { ...serializable, timeoutMillis: 500 })
  const message = expect.stringContaining('timeoutMillis, 500 ms')
  await expect(timedOut).rejects.toMatchObject({ code: 'TIMEOUT', retryable: true, message })
  expect(performance.now() - begun).toBeLessThan(5000)
  expect(runs).toBeLessThan(20 + 4)
})

test('close() waits for a serializable transaction whose body runs again', async () => {
  const config = { database: { type: 'postgres', url: await freshPostgres() } } as const
  const storage = await openStorage(config, quiet)
  await using other = await openStorage(config, quiet)
  const { reached, reach } = signal()
  let runs = 0
  const overtaken = storage.transaction(async (tx) => {
    const seen = await tx.kv.get('count')
    if (++runs === 1) await other.kv.set('count', 1)
    reach()
    await tx.kv.set('count', `${seen} and more`)
  }, serializable)
  await reached
  await Promise.all([storage.close(), overtaken])
  expect([runs, await other.kv.getMany(['count'])]).toEqual([2, new Map([['count', '1 and more']])])
})

test('what is not a conflict is not repeated', async () => {
  await using storage = await openStorage({ database: { type: 'postgres', url: await freshPostgres() } }, quiet)
  let runs = 0
  const failing = storage.transaction(async (tx) => {
    runs++
    await tx.kv.set('a', 1)
    throw new Error('of the program')
  }, serializable)
  await expect(failing).rejects.toThrow('of the program')
  expect([runs, await storage.kv.get('a')]).toEqual([1, undefined])
})
