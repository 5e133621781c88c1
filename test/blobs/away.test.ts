import { randomBytes } from 'node:crypto'
import { openStorage, type StorageConfig } from 'holdfast'
import { expect, it, onTestFinished } from 'vitest'
import { startLink } from '../database/link.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { openLayer } from './layer.ts'

/** Returns a storage whose database can be taken out of reach. */
async function reachable() {
  const url = new URL(await freshPostgres())
  const link = await startLink(Number(url.port) || 5432)
  url.port = String(link.port)
  const config: StorageConfig = {
    database: { type: 'postgres', url: url.href, connectionTimeoutMillis: 400 },
    blobStore: { type: 'local', storePath: freshDirectory() },
  }
  return { link, config }
}

const BLOBS = 24
/** Two waits for the answer, and one for a connection. A wait for each blob would take 10 seconds. */
const LONGEST_MILLIS = 5000

it('a cleanup whose database is out of reach waits once, and not once for each blob', async () => {
  const { link, config } = await reachable()
  const onStep = async (step: string) => {
    if (step === 'cleanup.decide') link.freeze()
  }
  const layer = await openLayer(config, { onStep })
  onTestFinished(() => layer.close())
  for (let i = 0; i < BLOBS; i++) await layer.blobs.put(randomBytes(10))
  const begun = performance.now()
  const cleanup = layer.blobs.cleanup({ olderThan: new Date('2100-01-01') })
  await expect(cleanup).rejects.toMatchObject({ code: expect.stringMatching(/^CONNECTION_/), retryable: true })
  expect(performance.now() - begun).toBeLessThan(LONGEST_MILLIS)
})

it('a transaction whose database is out of reach waits once, and not once for each blob', async () => {
  const { link, config } = await reachable()
  const storage = await openStorage(config, quiet)
  onTestFinished(() => storage.close())
  let begun = Number.NaN
  const ended = storage.transaction(async (tx) => {
    for (let i = 0; i < BLOBS; i++) await tx.blobs.put(randomBytes(10))
    begun = performance.now()
    link.freeze()
  })
  await expect(ended).rejects.toMatchObject({ code: expect.stringMatching(/^CONNECTION_/), retryable: true })
  expect(performance.now() - begun).toBeLessThan(LONGEST_MILLIS)
})
