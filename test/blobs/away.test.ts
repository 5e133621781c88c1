import { randomBytes } from 'node:crypto'
import { openStorage, type StorageConfig } from 'holdfast'
import { expect, it, onTestFinished } from 'vitest'
import type { BlobStep } from '../../src/blobs/protocol/store.ts'
import { startLink } from '../database/link.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { openLayer } from './layer.ts'

/** Returns a storage whose database can be taken out of reach. */
async function reachable(connectionTimeoutMillis = 400) {
  const url = new URL(await freshPostgres())
  const link = await startLink(Number(url.port) || 5432)
  const blobStore = { type: 'local' as const, storePath: freshDirectory() }
  const configOf = ({ href }: URL): StorageConfig => ({
    database: { type: 'postgres', url: href, connectionTimeoutMillis },
    blobStore,
  })
  const direct = configOf(url)
  url.port = String(link.port)
  return { link, direct, config: configOf(url) }
}

const inFortyDays = () => new Date(Date.now() + 40 * 86_400_000)

const BLOBS = 24
/** Two waits for the answer, and one for a connection. A wait for each blob would take 10 seconds. */
const LONGEST_MILLIS = 5000

it('a cleanup whose database is out of reach waits once, and not once for each blob', async () => {
  const { link, config } = await reachable()
  const onStep = async (step: string) => {
    if (step === 'cleanup.search') link.freeze()
  }
  const layer = await openLayer(config, { onStep })
  onTestFinished(() => layer.close())
  for (let i = 0; i < BLOBS; i++) await layer.blobs.put(randomBytes(10))
  const begun = performance.now()
  const cleanup = layer.blobs.cleanup({ olderThan: new Date('2100-01-01') })
  await expect(cleanup).rejects.toMatchObject({ code: expect.stringMatching(/^CONNECTION_/), retryable: true })
  expect(performance.now() - begun).toBeLessThan(LONGEST_MILLIS)
})

it.each<BlobStep>(['cleanup.mark', 'cleanup.search', 'cleanup.remove'])(
  'a cleanup that loses its database at %s keeps a blob that another instance names meanwhile',
  async (lost) => {
    const { link, config, direct } = await reachable(1500)
    await using other = await openStorage(direct, quiet)
    const { id } = await other.blobs.put(randomBytes(1000))
    const unnamed = await other.blobs.put(randomBytes(1000))
    const layer = await openLayer(config, {
      now: inFortyDays,
      onStep: async (step) => {
        if (step === lost) link.freeze()
        if (step === 'cleanup.mark') await other.kv.set('named late', id)
      },
    })
    onTestFinished(() => layer.close())
    await expect(layer.blobs.cleanup()).rejects.toMatchObject({ code: expect.stringMatching(/^CONNECTION_/) })
    await using later = await openStorage(direct, {
      ...quiet,
      now: () => new Date(inFortyDays().getTime() + 7_200_000),
    })
    for (const { error } of await later.maintain()) expect(error).toBeUndefined()
    expect(await later.blobs.bytes(id)).toHaveLength(1000)
    expect(await later.blobs.exists(unnamed.id)).toBe(false)
    expect(await later.blobs.verify()).toMatchObject({ ok: true })
  },
)

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
