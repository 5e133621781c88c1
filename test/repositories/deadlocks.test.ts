import { join } from 'node:path'
import { importInto, openStorage, type Storage } from 'holdfast'
import postgres from 'postgres'
import { expect, onTestFinished, test } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

const LOCK_A = `update kv set version = version where key = 'a'`
const LOCK_SESSION = `update sessions set version = version where id = 's'`
const INSERT_A = `insert into kv (owner_id, key, value, version, created_at, updated_at)
  select owner_id, 'a', value, 1, created_at, updated_at from kv where key = 'other'`
/** An import writes how far it is when its rows are written and counted. */
const LOCK_PROGRESS = 'lock table properties in share row exclusive mode'

async function open(): Promise<{ storage: Storage; other: postgres.Sql; url: string }> {
  const url = await freshPostgres({ deadlock_timeout: '2s' }) // a server looks once, and both have to wait by then
  const storage = await openStorage({ database: { type: 'postgres', url } }, quiet)
  const other = postgres(url, { max: 1, connection: { deadlock_timeout: '60s' } }) // so it is the call that is rolled back
  onTestFinished(async () => {
    await other.end()
    await storage.close()
  })
  return { storage, other, url }
}

/**
 * Runs `call`, which waits for what `theirs` has locked, and then has that transaction wait for what the call has locked: a
 * deadlock.
 */
async function crossed<T>(other: postgres.Sql, theirs: readonly [string, string], call: () => Promise<T>): Promise<T> {
  let called: Promise<T> | undefined
  const rolledBack = other.begin(async (tx) => {
    const [{ pid } = {}] = await tx`select pg_backend_pid() as pid`
    await tx.unsafe(theirs[0])
    called = call()
    called.catch(() => {}) // it is awaited below
    const isWaiting = async () => {
      const [row] = await tx`select from pg_stat_activity where ${pid} = any(pg_blocking_pids(pid))`
      return row !== undefined
    }
    while (!(await isWaiting()));
    await tx.unsafe(theirs[1])
    throw new Error('rolled back')
  })
  await expect(rolledBack).rejects.toThrow('rolled back')
  return called ?? expect.fail()
}

const calls: Record<string, (storage: Storage) => Promise<unknown>> = {
  'kv.set with a session': ({ kv }) => kv.set('a', 'new', { sessionId: 's' }),
  'kv.setMany with a session': ({ kv }) => kv.setMany([['a', 'new']], { sessionId: 's' }),
}

test.each(Object.entries(calls))('%s is done once again after a deadlock', async (_, call) => {
  const { storage, other } = await open()
  await storage.sessions.create({ id: 's' })
  await storage.kv.set('a', 'old')
  await crossed(other, [LOCK_A, LOCK_SESSION], () => call(storage))
  expect(await storage.kv.getEntry('a')).toMatchObject({ value: 'new', version: 2, sessionId: 's' })
})

test('transaction() runs its body once, and rejects with retryable after a deadlock', async () => {
  const { storage, other } = await open()
  await storage.sessions.create({ id: 's' })
  await storage.kv.set('a', 'old')
  let runs = 0
  const failing = crossed(other, [LOCK_A, LOCK_SESSION], () =>
    storage.transaction(async (tx) => {
      runs++
      await tx.sessions.update('s', { title: 'new' })
      await tx.kv.set('a', 'new')
    }),
  )
  await expect(failing).rejects.toMatchObject({ code: 'DATABASE_FAILED', retryable: true })
  expect(runs).toBe(1)
  expect(await storage.kv.get('a')).toBe('old')
})

test('importInto() counts each row once after a deadlock', async () => {
  const { storage, other } = await open()
  await storage.kv.setMany([
    ['a', 1],
    ['b', 2],
  ])
  const { directory } = await storage.export(join(freshDirectory(), 'archive'))
  await storage.kv.clear()
  await storage.kv.set('other', 3)
  const report = await crossed(other, [LOCK_PROGRESS, INSERT_A], () => importInto(storage, directory))
  expect(report.tables.kv).toEqual({ inserted: 2, unchanged: 0, refused: 0 })
  expect(await storage.kv.getMany(['a', 'b'])).toEqual(new Map(Object.entries({ a: 1, b: 2 })))
})
