import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { StorageConfig } from 'holdfast'
import { startS3Server } from 'holdfast/testing'
import postgres from 'postgres'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import type { BytesBackend } from '../../src/blobs/bytes/backend.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { openLayer } from './layer.ts'

const server = startS3Server()
afterAll(async () => (await server).close())

type Message = { frozen: string } | { code: string; retryable: boolean; message?: string }

const local = () => ({ type: 'local' as const, storePath: join(freshDirectory(), 'blobs') })

/** Opens a layer, and starts a program that freezes at a moment. */
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

const COLLECTING = ['collect.unlink', 'remove.unlink', 'collect.commit']
/** Others never wait for so long for a frozen instance. */
const LEASE_MILLIS = 10_000
const PUTTING_IN_BUCKET = ['put.reserve', 'put.commit', 'commit.put', 'put.insert']
const PUTTING = ['put.reserve', 'put.commit', 'commit.rename', 'put.insert']

describe('on PostgreSQL, an instance that is frozen', () => {
  const configure = async (options = {}): Promise<StorageConfig> => ({
    database: { type: 'postgres', url: await freshPostgres(), options },
    blobStore: local(),
  })

  it.each(COLLECTING)(
    'at %s of a collection holds no lock, and takes away nothing that others put meanwhile',
    async (step) => {
      const data = randomBytes(1000)
      const config = await configure()
      const { layer, goOn } = await withFrozen(config, step, ({ blobs }) => blobs.put(data))
      expect(await idleTransactions(config)).toBe(0)
      const { id } = await layer.blobs.put(data)
      await layer.blobs.delete((await layer.blobs.put(Buffer.from('other'))).id)
      expect(await goOn()).toMatchObject([{ code: 'ok' }])
      expect((await layer.blobs.bytes(id)).equals(data)).toBe(true)
      expect(await layer.blobs.verify()).toMatchObject({ ok: true })
      expect(await layer.blobs.stats()).toMatchObject({ count: 1, contents: 1, bytes: 1000 })
    },
    PATIENCE,
  )

  it.each(PUTTING)(
    'at %s of a put holds no lock',
    async (step) => {
      const config = await configure()
      const { layer, goOn } = await withFrozen(config, step, async () => {})
      expect(await idleTransactions(config)).toBe(0)
      const { id } = await layer.blobs.put(Buffer.from('frozen'))
      await layer.blobs.delete(id)
      expect(await goOn()).toMatchObject([{ code: 'ok' }])
      expect(await layer.blobs.stats()).toMatchObject({ count: 1, contents: 1, bytes: 6 })
      expect(await layer.blobs.verify()).toMatchObject({ ok: true })
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
})

describe('in front of a bucket, an instance that is frozen', () => {
  it.each([...[...COLLECTING, 'remove.delete'].filter((step) => step !== 'remove.unlink'), ...PUTTING_IN_BUCKET])(
    'at %s does not stop others, and takes away nothing that others put meanwhile',
    async (step) => {
      const data = randomBytes(1000)
      const config: StorageConfig = {
        database: { type: 'sqlite', path: join(freshDirectory(), 'a.db') },
        blobStore: { ...(await server).config, prefix: step },
      }
      const { layer, goOn } = await withFrozen(config, step, ({ blobs }) => blobs.put(data))
      const begun = performance.now()
      const { id } = await layer.blobs.put(data)
      await layer.blobs.delete((await layer.blobs.put(Buffer.from('other'))).id)
      expect(performance.now() - begun).toBeLessThan(LEASE_MILLIS)
      expect(await goOn()).toMatchObject([{ code: 'ok' }])
      expect((await layer.blobs.bytes(id)).equals(data)).toBe(true)
      expect(await layer.blobs.verify()).toMatchObject({ ok: true })
    },
    PATIENCE,
  )
})

describe('a removal that arrives after its content was put again', () => {
  const removeLate = async (backend: (bytes: BytesBackend) => BytesBackend) => {
    const config: StorageConfig = {
      database: { type: 'sqlite', path: join(freshDirectory(), 'a.db') },
      blobStore: local(),
    }
    const other = await openLayer(config)
    const data = randomBytes(1000)
    const first = await other.blobs.put(data)
    let id = ''
    const layer = await openLayer(config, {
      bytes: backend(other.bytes),
      async onStep(step) {
        if (step === 'collect.unlink' && id === '') id = (await other.blobs.put(data)).id
      },
    })
    await layer.blobs.delete(first.id)
    await layer.close()
    onTestFinished(() => other.close())
    return { blobs: other.blobs, id, data }
  }

  it('takes away nothing', async () => {
    const { blobs, id, data } = await removeLate((bytes) => bytes)
    expect((await blobs.bytes(id)).equals(data)).toBe(true)
    expect(await blobs.stats()).toMatchObject({ count: 1, contents: 1, bytes: 1000 })
    expect(await blobs.verify()).toMatchObject({ ok: true })
  })

  it('takes the bytes away if it goes by the hash alone', async () => {
    const { blobs, id } = await removeLate((bytes) => ({ ...bytes, remove: ({ hash }) => removeAll(bytes, hash) }))
    await expect(blobs.bytes(id)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
  })
})

describe('on SQLite, an instance that is frozen', () => {
  const configure = (): StorageConfig => ({
    database: { type: 'sqlite', path: join(freshDirectory(), 'a.db'), options: { busyTimeoutMillis: 300 } },
    blobStore: local(),
  })

  it.each([...COLLECTING, ...PUTTING])(
    'at %s does not stop others, and goes on later',
    async (step) => {
      const data = randomBytes(1000)
      const { layer, goOn } = await withFrozen(configure(), step, ({ blobs }) => blobs.put(data))
      const { id } = await layer.blobs.put(data)
      expect(await goOn()).toMatchObject([{ code: 'ok' }])
      expect((await layer.blobs.bytes(id)).equals(data)).toBe(true)
      expect(await layer.blobs.verify()).toMatchObject({ ok: true })
    },
    PATIENCE,
  )

  it(
    'in a transaction of its own lets others wait for busyTimeoutMillis',
    async () => {
      const { layer, goOn } = await withFrozen(configure(), 'transaction', async () => {})
      await expect(layer.blobs.put(randomBytes(10))).rejects.toMatchObject({ code: 'TIMEOUT', retryable: true })
      expect(await goOn()).toMatchObject([{ code: 'ok' }])
      expect(await layer.blobs.verify()).toMatchObject({ ok: true })
    },
    PATIENCE,
  )
})

async function idleTransactions({ database }: StorageConfig): Promise<number> {
  if (database?.type !== 'postgres' || !('url' in database)) throw new Error('unreachable')
  const sql = postgres(String(database.url), { max: 1 })
  const rows = await sql`select pid from pg_stat_activity
    where datname = current_database() and state like 'idle in transaction%'`
  await sql.end()
  return rows.length
}

async function removeAll(bytes: BytesBackend, hash: string): Promise<boolean> {
  for await (const location of bytes.list()) if (location.hash === hash) await bytes.remove(location)
  return true
}
