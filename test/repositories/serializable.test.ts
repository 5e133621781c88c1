import { isStorageError, openStorage, type Storage, type StorageTransaction, type TransactionOptions } from 'holdfast'
import { expect, it, test } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'
import { eachDatabase } from './databases.ts'

const serializable = { isolation: 'serializable' } as const

/** Goes off duty if another doctor stays: the usual example of two writes that are right alone and wrong together. */
async function leave(tx: StorageTransaction, doctor: string): Promise<void> {
  const { items } = await tx.kv.entries({ prefix: 'on-duty:' })
  await new Promise(setImmediate) // lets the other transaction read
  if (items.filter(({ value }) => value === true).length > 1) await tx.kv.set(`on-duty:${doctor}`, false)
}

/** Returns in how many rounds both doctors left. */
async function abandonedWards(storage: Storage, count: number, options: TransactionOptions): Promise<number> {
  let abandoned = 0
  for (let round = 0; round < count; round++) {
    for (const doctor of ['ann', 'ben']) await storage.kv.set(`on-duty:${doctor}`, true)
    await Promise.all(['ann', 'ben'].map((doctor) => storage.transaction((tx) => leave(tx, doctor), options)))
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

test('at READ COMMITTED, PostgreSQL lets both doctors leave', async () => {
  await using storage = await openStorage({ database: { type: 'postgres', url: await freshPostgres() } }, quiet)
  expect(await abandonedWards(storage, 20, {})).toBeGreaterThan(0)
})

test('the body of a serializable transaction runs ten times at most, and within timeoutMillis', async () => {
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
  expect(runs).toBe(10)
  expect(await storage.kv.get('count')).toBe(10)

  const slow = async (tx: StorageTransaction) => {
    await new Promise((resolve) => setTimeout(resolve, 200))
    await overtaken(tx)
  }
  const begun = performance.now()
  const timedOut = storage.transaction(slow, { ...serializable, timeoutMillis: 500 })
  await expect(timedOut).rejects.toMatchObject({ code: 'TIMEOUT', retryable: true })
  expect(performance.now() - begun).toBeLessThan(5000)
  expect(runs).toBeLessThan(10 + 4)
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
