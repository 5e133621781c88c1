import { join } from 'node:path'
import { copyStorage, isStorageError, openStorage } from 'holdfast'
import postgres from 'postgres'
import { expect, it, onTestFinished } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { newDirectory } from './kinds.ts'

it('exports and copies from PostgreSQL leave the connections of the pool to other calls', async () => {
  const url = await freshPostgres()
  const database = { type: 'postgres', url, maxConnections: 1, connectionTimeoutMillis: 5000 } as const
  await using storage = await openStorage({ database, blobStore: { type: 'database' } }, quiet)
  await using target = await openStorage({}, quiet)
  await storage.blobs.put(Buffer.from('bytes'))
  const exporting = () => storage.export(join(freshDirectory(), 'archive'))
  // In the pool, the first of them would keep the connection that it reads the bytes over.
  const reports = await Promise.all([exporting(), exporting(), copyStorage(storage, target), storage.kv.set('a', 1)])
  expect(reports[0].blobs).toEqual({ contents: 1, bytes: 5 })
  expect(reports[2].tables.blobs).toMatchObject({ inserted: 1 })
  const sql = postgres(url, { max: 1 })
  onTestFinished(() => sql.end())
  const others = () =>
    sql`select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`
  await expect.poll(others, { timeout: 5000 }).toHaveLength(1)
})

it('an export, a copy or a read that loses its connection says where, and that nothing was changed', async () => {
  const url = await freshPostgres()
  await using storage = await openStorage({ database: { type: 'postgres', url } }, quiet)
  await using target = await openStorage({}, quiet)
  const sql = postgres(url, { max: 2 })
  onTestFinished(() => sql.end())
  const calls = {
    export: { cuts: 1, call: () => storage.export(newDirectory()) },
    copy: { cuts: 1, call: () => copyStorage(storage, target) },
    'a read': { cuts: 3, call: () => storage.kv.get('a') }, // it is repeated twice
  }
  for (const [name, { cuts, call }] of Object.entries(calls)) {
    const reason = await sql.begin(async (locking) => {
      await locking`lock table kv in access exclusive mode`
      const failed = call().catch((error: unknown) => error)
      // A backend may wait for a moment after it was ended: each counts as one cut.
      const ended = new Set<number>()
      const end = async () => {
        const waiting = await sql<{ pid: number }[]>`select pid, pg_terminate_backend(pid) from pg_stat_activity
          where wait_event_type = 'Lock' and datname = current_database()`
        for (const { pid } of waiting) ended.add(pid)
        return ended.size
      }
      await expect.poll(end, { interval: 5 }).toBe(cuts)
      return failed
    })
    const said = isStorageError(reason) ? `${reason.code}: ${reason.message}` : reason
    expect(said, name).toMatch(
      /^CONNECTION_LOST: The connection to PostgreSQL was lost during a read, which has changed nothing \(host 127/,
    )
  }
})
