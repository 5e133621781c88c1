import { randomBytes } from 'node:crypto'
import { expect, it, onTestFinished } from 'vitest'
import { type PostgresServer, startPostgres } from '../setup/servers.ts'
import { temporaryDirectory } from '../setup/temporary.ts'
import { openLayer } from './layer.ts'

/** Opens blobs on a server that writes to its disk what commits wait for, and hardly ever anything else. */
async function open() {
  const server = await startPostgres({ settings: { wal_writer_delay: '10s' } })
  onTestFinished(() => server.stop())
  const config = {
    database: { type: 'postgres', url: server.url },
    blobStore: { type: 'local', storePath: temporaryDirectory('blobs') },
  } as const
  const hooks: Record<string, (() => Promise<void>) | undefined> = {}
  const layer = await openLayer(config, { onStep: (step) => hooks[step]?.() })
  onTestFinished(() => layer.close())
  const reservations = () => layer.database.run({ sql: 'select * from blob_leases', params: [], writes: false })
  return { server, hooks, blobs: layer.blobs, reservations }
}

/** Ends the server as a loss of power would: what it has not written is gone. */
async function crash(server: PostgresServer): Promise<void> {
  await server.kill9()
  await server.start()
}

it('put() fails and leaves nothing when the server crashes and loses the reservation, and may be repeated', async () => {
  const { server, hooks, blobs, reservations } = await open()
  const counts: number[] = []
  hooks['put.insert'] = async () => {
    counts.push((await reservations()).length)
    await crash(server)
    counts.push((await reservations()).length)
  }
  const data = randomBytes(10_000)
  await expect(blobs.put(data)).rejects.toMatchObject({ code: 'TIMEOUT', retryable: true })
  expect(counts).toEqual([1, 0])
  expect(await blobs.stats()).toMatchObject({ count: 0, contents: 0, bytes: 0 })
  expect(await blobs.verify()).toMatchObject({ ok: true })

  hooks['put.insert'] = undefined
  const { id } = await blobs.put(data)
  expect((await blobs.bytes(id)).equals(data)).toBe(true)
})

it('put() returns only after its record is safe from a crash of the server', async () => {
  const { server, hooks, blobs } = await open()
  hooks['put.acknowledge'] = () => crash(server)
  const data = randomBytes(10_000)
  const { id } = await blobs.put(data)
  expect((await blobs.bytes(id)).equals(data)).toBe(true)
  expect(await blobs.stats()).toMatchObject({ count: 1, contents: 1, bytes: 10_000 })
})
