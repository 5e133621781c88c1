import { setTimeout as sleep } from 'node:timers/promises'
import { databaseCounters, openStorage } from 'holdfast'
import { expect, it } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

/** Returns the counters of a database, or undefined if none is known. */
const countersOf = (database: string, namespace: string) =>
  databaseCounters().find((counters) => counters.database === database && counters.namespace === namespace)

it('counts how long calls wait for the writer of SQLite, also after the storage is closed', async () => {
  const path = `${freshDirectory()}/waits.db`
  const storage = await openStorage({ database: { type: 'sqlite', path } }, quiet)
  const before = countersOf('sqlite', 'waits.db')?.writeQueueWaitMs ?? Number.NaN
  const held = storage.transaction(() => sleep(100))
  await Promise.all([held, storage.kv.set('a', 1)])
  const after = countersOf('sqlite', 'waits.db')?.writeQueueWaitMs ?? Number.NaN
  expect(after - before).toBeGreaterThan(80)
  await storage.close()
  await using again = await openStorage({ database: { type: 'sqlite', path } }, quiet)
  await again.kv.get('a')
  expect(countersOf('sqlite', 'waits.db')).toMatchObject({ cache: { miss: 1 } })
  expect(countersOf('sqlite', 'waits.db')?.writeQueueWaitMs).toBeGreaterThanOrEqual(after)
})

it('counts the calls that wait for a connection to PostgreSQL, until they are served or give up', async () => {
  const url = await freshPostgres()
  const namespace = new URL(url).pathname.slice(1)
  const pending = () => countersOf('postgres', namespace)?.poolPending
  await using storage = await openStorage(
    { database: { type: 'postgres', url, maxConnections: 1, connectionTimeoutMillis: 300 } },
    quiet,
  )
  const held = storage.transaction(async (tx) => {
    await tx.kv.set('a', 1)
    await sleep(600)
  })
  await sleep(100)
  const waiting = Promise.allSettled([storage.kv.get('b'), storage.kv.get('c')])
  await sleep(50)
  expect(pending()).toBe(2)
  expect((await waiting).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(pending()).toBe(0)
  await held
  await Promise.all([storage.transaction(() => sleep(100)), sleep(20).then(() => storage.kv.get('b'))])
  expect(pending()).toBe(0)
})

it('counts the bytes of a blob that were read, not those that a reader did not want', async () => {
  const directory = freshDirectory()
  const database = { type: 'sqlite', path: `${directory}/read.db` } as const
  await using storage = await openStorage({ database, blobStore: { type: 'local', storePath: directory } }, quiet)
  const { uri } = await storage.blobs.put(Buffer.alloc(5_000_000, 1))
  const read = () => countersOf('sqlite', 'read.db')?.blobBytes.read
  for await (const _ of await storage.blobs.stream(uri, { start: 10, end: 19 }));
  expect(read()).toBe(10)
  for await (const _ of await storage.blobs.stream(uri)) break
  expect(read()).toBeLessThan(1_000_000)
})
