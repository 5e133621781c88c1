import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStorage } from 'holdfast'
import postgres from 'postgres'
import { expect, onTestFinished, test } from 'vitest'
import { times } from '../../src/testing/contract.ts'
import { type PostgresServer, startPostgres } from '../setup/servers.ts'
import { quiet } from '../setup/silent.ts'
import { outcomes } from './drivers.ts'

async function startServer(): Promise<PostgresServer> {
  const server = await startPostgres()
  onTestFinished(() => server.stop('immediate'))
  await (await openStorage({ database: { type: 'postgres', url: server.url } }, quiet)).close()
  return server
}

/** Makes a server refuse writes while its connections stay open, as a managed failover does with the old primary. */
async function demote(server: PostgresServer): Promise<void> {
  const sql = postgres(server.url, { max: 1 })
  await sql`alter system set default_transaction_read_only = on`
  await sql`select pg_reload_conf()`
  await sql.end()
}

/** Returns the values of a key on a server. */
async function valuesOn({ url }: PostgresServer, key: string): Promise<unknown[]> {
  const sql = postgres(url, { max: 1 })
  const rows = await sql`select value from kv where key = ${key}`
  await sql.end()
  return rows.map(({ value }) => value)
}

test('a write that the demoted primary refuses retires its connections: later writes reach the new primary', async () => {
  const [before, after] = await Promise.all([startServer(), startServer()])
  const url = before.url.replace(
    /:(\d+)\/postgres$/,
    `:$1,127.0.0.1:${after.port}/postgres?target_session_attrs=read-write`,
  )
  await using storage = await openStorage({ database: { type: 'postgres', url, maxConnections: 3 } }, quiet)
  const writes = (value: number) => times(6, (i) => storage.transaction((tx) => tx.kv.set(`key ${i}`, value)))
  await Promise.all(writes(1))
  expect(await valuesOn(before, 'key 0')).toEqual([1])

  await demote(before)
  const refusal = async () => storage.kv.set('key', 'refused').catch((error: unknown) => error)
  let refused: unknown
  await expect
    .poll(async () => {
      refused = await refusal()
      return refused instanceof Error
    })
    .toBe(true) // a backend may take a moment to read the new setting
  expect(refused).toMatchObject({
    code: 'READ_ONLY',
    retryable: true,
    message: expect.stringMatching(/read-only; nothing was done.*failover/),
    details: { postgresCode: '25006' },
  })
  expect(await outcomes(writes(2))).toEqual(times(6, () => 'ok'))
  expect(await valuesOn(after, 'key 0')).toEqual([2])
  expect(await valuesOn(before, 'key 0')).toEqual([1])
})

test('a standby answers reads, and refuses writes and serializable transactions with READ_ONLY', async () => {
  const server = await startServer()
  await server.stop()
  writeFileSync(join(server.dataDir, 'standby.signal'), '')
  await server.start()
  await using storage = await openStorage({ database: { type: 'postgres', url: server.url } }, quiet)
  expect(await storage.kv.get('key')).toBeUndefined()
  expect(await storage.transaction((tx) => tx.kv.get('key'))).toBeUndefined()
  const refusal = { code: 'READ_ONLY', retryable: true }
  await expect(storage.kv.set('key', 1)).rejects.toMatchObject(refusal)
  let runs = 0
  const reading = storage.transaction(
    (tx) => {
      runs++
      return tx.kv.get('key')
    },
    { isolation: 'serializable' },
  )
  await expect(reading).rejects.toMatchObject({ ...refusal, message: expect.stringContaining('standby') })
  expect(runs).toBe(1)
})
