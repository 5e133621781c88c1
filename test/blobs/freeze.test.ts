import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { StorageConfig } from 'holdfast'
import postgres from 'postgres'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { BytesBackend } from '../../src/blobs/bytes/backend.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { openLayer } from './layer.ts'

type Message = { frozen: string } | { code: string; retryable: boolean; message?: string }

const local = () => ({ type: 'local' as const, storePath: join(freshDirectory(), 'blobs') })

/** Opens a layer, and starts a program that freezes while it holds the usage lock. */
async function withFrozen(config: StorageConfig, moment: string, prepare: (layer: Layer) => Promise<unknown>) {
  const layer = await openLayer(config)
  onTestFinished(() => layer.close())
  await prepare(layer)
  const script = runScript<Message>('test/blobs/programs/freeze.ts', [JSON.stringify(config), moment])
  await script.next((message) => 'frozen' in message)
  const goOn = async () => {
    process.kill(script.pid, 'SIGCONT')
    return (await script.finished()).slice(1)
  }
  return { layer, goOn }
}

type Layer = Awaited<ReturnType<typeof openLayer>>

/** Far more than any limit, and far less than for ever. */
const PATIENCE = 60_000

describe('on PostgreSQL, an instance that is frozen', () => {
  const configure = async (options = {}): Promise<StorageConfig> => ({
    database: { type: 'postgres', url: await freshPostgres(), options },
    blobStore: local(),
  })

  it(
    'while it collects a content does not stop others, nor take away what they put meanwhile',
    async () => {
      const data = randomBytes(1000)
      const { layer, goOn } = await withFrozen(await configure(), 'collect', ({ blobs }) => blobs.put(data))
      const { id } = await layer.blobs.put(data)
      expect((await layer.blobs.bytes(id)).equals(data)).toBe(true)
      const [outcome] = await goOn()
      expect(outcome).toMatchObject({ code: expect.stringMatching(/^(TIMEOUT|CONNECTION_LOST)$/), retryable: true })
      expect((await layer.blobs.bytes(id)).equals(data)).toBe(true)
      expect(await layer.blobs.verify()).toMatchObject({ ok: true })
      expect(await layer.blobs.stats()).toMatchObject({ count: 1, contents: 1, bytes: 1000 })
    },
    PATIENCE,
  )

  it(
    'in the middle of a put does not stop others, and can repeat the put',
    async () => {
      // Otherwise BEGIN and COMMIT leave together, and the server needs nobody to go on.
      const config = await configure({ prepare: false })
      const { layer, goOn } = await withFrozen(config, 'put', async () => {})
      await layer.blobs.put(Buffer.from('other'))
      const [first, second] = await goOn()
      expect(first).toMatchObject({ code: expect.stringMatching(/^(TIMEOUT|CONNECTION_LOST)$/), retryable: true })
      expect(second).toMatchObject({ code: 'ok' })
      expect(await layer.blobs.stats()).toMatchObject({ count: 2, contents: 2, bytes: 11 })
      expect(await layer.blobs.verify()).toMatchObject({ ok: true })
    },
    PATIENCE,
  )

  it(
    'in a transaction of its own lets others wait for a limited time',
    async () => {
      const { layer, goOn } = await withFrozen(await configure(), 'transaction', async () => {})
      const [inVain, deleted] = await Promise.allSettled([
        layer.blobs.put(Buffer.from('other')),
        layer.blobs.cleanup({ dryRun: true }),
      ])
      expect(deleted.status).toBe('fulfilled')
      expect(inVain).toMatchObject({
        reason: { code: 'TIMEOUT', retryable: true, message: expect.stringContaining('the row of blob_usage') },
      })
      expect(await goOn()).toMatchObject([{ code: 'ok' }])
      await layer.blobs.put(Buffer.from('other'))
      expect(await layer.blobs.stats()).toMatchObject({ count: 2 })
      expect(await layer.blobs.verify()).toMatchObject({ ok: true })
    },
    PATIENCE,
  )

  describe('when the server ends a transaction that collects a content, which is put again at the same moment,', () => {
    /** Loses the lock in the middle of a collection. Returns a layer, and the blob that was put meanwhile. */
    const loseLock = async (backend: (bytes: BytesBackend) => BytesBackend) => {
      const config = await configure()
      const other = await openLayer(config)
      const data = randomBytes(1000)
      await other.blobs.put(data)
      let id = ''
      const layer = await openLayer(config, {
        bytes: backend(other.bytes),
        async onStep(step) {
          if (step !== 'collect.unlink' || id !== '') return
          await endIdleTransactions(config)
          id = (await other.blobs.put(data)).id
        },
      })
      const cleanup = layer.blobs.cleanup({ olderThan: new Date(Date.now() + 60_000) })
      await expect(cleanup).rejects.toMatchObject({ code: 'CONNECTION_LOST', retryable: true })
      await layer.close()
      onTestFinished(() => other.close())
      return { blobs: other.blobs, id, data }
    }

    it('the bytes stay', async () => {
      const { blobs, id, data } = await loseLock((bytes) => bytes)
      expect((await blobs.bytes(id)).equals(data)).toBe(true)
      expect(await blobs.verify()).toMatchObject({ ok: true })
    })

    it('a collector that removes the bytes before its commit loses them', async () => {
      const { blobs, id } = await loseLock(withoutSetAside)
      await expect(blobs.bytes(id)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
    })
  })
})

describe('on SQLite, an instance that is frozen', () => {
  it(
    'while it holds the file lets others wait for busyTimeoutMillis, and goes on later',
    async () => {
      const path = join(freshDirectory(), 'a.db')
      const config: StorageConfig = {
        database: { type: 'sqlite', path, options: { busyTimeoutMillis: 300 } },
        blobStore: local(),
      }
      const data = randomBytes(1000)
      const { layer, goOn } = await withFrozen(config, 'collect', ({ blobs }) => blobs.put(data))
      await expect(layer.blobs.put(data)).rejects.toMatchObject({ code: 'TIMEOUT', retryable: true })
      expect(await goOn()).toMatchObject([{ code: 'ok' }])
      const { id } = await layer.blobs.put(data)
      expect((await layer.blobs.bytes(id)).equals(data)).toBe(true)
      expect(await layer.blobs.verify()).toMatchObject({ ok: true })
    },
    PATIENCE,
  )
})

async function endIdleTransactions({ database }: StorageConfig): Promise<void> {
  if (database?.type !== 'postgres' || !('url' in database)) throw new Error('unreachable')
  const sql = postgres(String(database.url), { max: 1 })
  await sql`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and state = 'idle in transaction'`
  await sql.end()
}

/** Returns the traced backend of a layer, an object of functions, without one of them. */
function withoutSetAside({ setAside: _, ...bytes }: BytesBackend): BytesBackend {
  return bytes
}
