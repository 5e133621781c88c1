import { join } from 'node:path'
import { copyStorage, openStorage } from 'holdfast'
import postgres from 'postgres'
import { expect, it, onTestFinished } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

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
