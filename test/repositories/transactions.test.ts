import { openStorage, type StorageConfig } from 'holdfast'
import postgres from 'postgres'
import { expect, test } from 'vitest'
import { times } from '../../src/testing/contract.ts'
import { freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

const open = (database: StorageConfig['database']) => openStorage({ database }, quiet)

test('transaction() finishes 64 concurrent transactions on two connections', async () => {
  const url = await freshPostgres()
  await using storage = await open({ type: 'postgres', url, maxConnections: 2, connectionTimeoutMillis: 25_000 })
  await Promise.all(
    times(64, (i) =>
      storage.transaction(async (tx) => {
        await tx.messages.append('session', { role: 'user', content: `${i}` })
        await tx.transaction((nested) => nested.kv.set(`${i}`, i))
        await tx.lists.update('list', (items) => ({ items: [...items, i], result: undefined }))
        await tx.sessions.mergeMetadata('session', { [`key${i}`]: i })
      }),
    ),
  )
  const session = await storage.sessions.summary('session')
  expect(session).toMatchObject({ messageCount: 64, version: 65 })
  expect(Object.keys(session?.metadata ?? {})).toHaveLength(64)
  expect(await storage.lists.length('list')).toBe(64)
})

// The naive variant: a call in a transaction that takes another connection finds none left.
test('transactions that take a second connection each do not finish on two connections', async () => {
  const sql = postgres(await freshPostgres(), { max: 2 })
  let inside = 0
  const deadlock = Promise.all(
    times(2, () =>
      sql.begin(async () => {
        inside++
        await sql`select 1`
      }),
    ),
  )
  const settled = deadlock.then(
    () => 'finished',
    () => 'failed',
  )
  const stuck = new Promise((resolve) => setTimeout(resolve, 1000, 'stuck'))
  expect(await Promise.race([settled, stuck])).toBe('stuck')
  expect(inside).toBe(2)
  await sql.end({ timeout: 0 })
  await settled
})

test('transaction() stays usable after a statement of a nested transaction has failed', async () => {
  const url = await freshPostgres()
  await using other = await open({ type: 'postgres', url })
  await using storage = await open({ type: 'postgres', url, options: { statementTimeoutMillis: 200 } })
  await other.kv.set('locked', 0)
  await other.transaction(async (lock) => {
    await lock.kv.set('locked', 1)
    await storage.transaction(async (tx) => {
      const nested = tx.transaction(async (inner) => {
        await inner.kv.set('undone', 1)
        // The error is caught here, but PostgreSQL has aborted the savepoint.
        await expect(inner.kv.set('locked', 2)).rejects.toMatchObject({ code: 'TIMEOUT', retryable: true })
      })
      await expect(nested).rejects.toMatchObject({ code: 'TRANSACTION_MISUSE' })
      await tx.kv.set('kept', 1)
    })
    const caught = storage.transaction(async (tx) => {
      await tx.kv.set('kept', 2)
      await expect(tx.kv.set('locked', 2)).rejects.toMatchObject({ code: 'TIMEOUT' })
    })
    await expect(caught).rejects.toMatchObject({ code: 'TRANSACTION_MISUSE' })
  })
  expect([await storage.kv.get('kept'), await storage.kv.get('undone'), await other.kv.get('locked')]).toEqual([
    1,
    undefined,
    1,
  ])
})

test('transaction() may be called in the transaction of another storage', async () => {
  await using a = await open({ type: 'in-memory' })
  await using b = await open({ type: 'in-memory' })
  await a.transaction(async (tx) => {
    await b.transaction(async (inner) => {
      await inner.kv.set('key', 'b')
      await tx.kv.set('key', 'a')
      await expect(a.kv.get('key')).rejects.toMatchObject({ code: 'TRANSACTION_MISUSE' })
      await expect(b.kv.get('key')).rejects.toMatchObject({ code: 'TRANSACTION_MISUSE' })
    })
    expect(await b.kv.get('key')).toBe('b')
  })
  expect(await a.kv.get('key')).toBe('a')
})

test('openStorage() keeps the data of two schemas of one database apart', async () => {
  const url = await freshPostgres()
  const [first, second, third] = await Promise.all(
    ['agent_a', 'Agent "B"', undefined].map((schema) => open({ type: 'postgres', url, options: { schema } })),
  )
  if (!first || !second || !third) throw new Error('three were opened')
  for (const [i, storage] of [first, second, third].entries()) {
    await storage.messages.append('session', { id: 'message', role: 'user', content: `of ${i}` })
    await storage.kv.set('key', i)
    await storage.lists.append('list', i)
  }
  for (const [i, storage] of [first, second, third].entries()) {
    expect((await storage.messages.list('session')).items).toMatchObject([{ seq: 1, content: `of ${i}` }])
    expect((await storage.sessions.list()).items).toHaveLength(1)
    expect(await storage.kv.get('key')).toBe(i)
    expect(await storage.lists.range('list', 0, 10)).toEqual([i])
  }
  expect(await first.sessions.delete('session')).toBe(true)
  expect(await second.messages.get('session', 'message')).toBeDefined()
  expect((await third.stats()).database.rows).toMatchObject({ sessions: 1, messages: 1, kv: 1, lists: 1 })

  // Each foreign key references a table of its own schema.
  const sql = postgres(url, { max: 1 })
  const keys = await sql<{ from: string; to: string }[]>`
    select n.nspname as from, r.nspname as to from pg_constraint c
    join pg_namespace n on n.oid = c.connamespace
    join pg_class t on t.oid = c.confrelid join pg_namespace r on r.oid = t.relnamespace where c.contype = 'f'`
  await sql.end()
  expect(new Set(keys.map(({ from }) => from))).toEqual(new Set(['agent_a', 'Agent "B"', 'public']))
  for (const { from, to } of keys) expect(to).toBe(from)
  await Promise.all([first.close(), second.close(), third.close()])
})
