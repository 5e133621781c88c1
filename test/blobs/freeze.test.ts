import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BlobRecord, StorageConfig } from 'holdfast'
import { startS3Server } from 'holdfast/testing'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import type { BytesBackend } from '../../src/blobs/bytes/backend.ts'
import { DATABASE_STEPS } from '../../src/blobs/bytes/database/bytes.ts'
import { LOCAL_STEPS } from '../../src/blobs/bytes/local.ts'
import { S3_STEPS } from '../../src/blobs/bytes/s3/s3-bytes.ts'
import { BLOB_STEPS } from '../../src/blobs/protocol/store.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { writable } from './fixture.ts'
import { openLayer } from './layer.ts'
import type { Moment } from './programs/freeze.ts'

const server = startS3Server()
afterAll(async () => (await server).close())

type Message = { frozen: string } | { code: string; retryable: boolean; message?: string }
type Layer = Awaited<ReturnType<typeof openLayer>>

const sqlite = (options = {}) => ({ type: 'sqlite' as const, path: join(freshDirectory(), 'a.db'), options })
const postgres = async (options = {}, settings = {}) => {
  return { type: 'postgres' as const, url: await freshPostgres(settings), maxConnections: 2, options }
}
const local = () => ({ type: 'local' as const, storePath: join(freshDirectory(), 'blobs') })
const bucket = async (prefix: string) => ({ ...(await server).config, prefix })
const inside = { type: 'database' as const }

/** Whoever is not stopped is done in less than a frozen instance of PostgreSQL may hold a lock. */
const HELD_MILLIS = 5000
/** How long each lock is waited for on PostgreSQL. */
const WAIT_MILLIS = 10_000
/** How long the file is waited for on SQLite. */
const BUSY_MILLIS = 300
/** What a slow machine adds. */
const SLACK_MILLIS = 8000

/** Opens a layer, and starts a program that freezes when it is told to. */
async function start(config: StorageConfig) {
  const layer = await openLayer(config)
  onTestFinished(() => layer.close())
  const script = runScript<Message>('test/blobs/programs/freeze.ts', [JSON.stringify(config)])
  const freeze = async (moment: Moment) => {
    script.send(moment)
    expect(await script.next(), script.output).toEqual({ frozen: moment.at })
  }
  const goOn = () => {
    process.kill(script.pid, 'SIGCONT')
    return script.next()
  }
  return { layer, script, freeze, goOn }
}

/** The operation that reaches a step, by the first word of the step. */
const OPERATIONS: Record<string, Moment['operation']> = {
  ...{ stage: 'put', put: 'put', commit: 'put', discard: 'put', has: 'put', cleanup: 'cleanup', erase: 'erase' },
  ...{ delete: 'delete', collect: 'delete', remove: 'delete' },
  ...{ verify: 'verify', read: 'verify', quarantine: 'verify', sweep: 'verify' },
}

function momentOf(step: string): Moment {
  // More than 1 MiB is stored part by part.
  return {
    operation: OPERATIONS[step.replace(/\..*/, '')] ?? 'put',
    at: step,
    bytes: step === 'commit.rest' ? 1_500_000 : 1000,
  }
}

async function damage({ blobs, bytes }: Layer, { id, hash }: BlobRecord): Promise<void> {
  if (bytes.type === 'local') return writeFileSync(writable(String(await blobs.path(id))), 'changed')
  const { objects } = await server
  for (const key of objects.keys())
    if (key.includes(hash)) objects.set(key, { bytes: Buffer.from('changed'), storedAt: new Date() })
}

async function idleTransactions({ database }: Layer): Promise<number> {
  if (database.dialect === 'sqlite') return 0
  const sql = `select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'`
  const [row] = await database.run({ sql, params: [], writes: false })
  return Number(row?.[0])
}

describe.each<[string, () => Promise<StorageConfig>, readonly string[]]>([
  ['files, SQLite', async () => ({ database: sqlite(), blobStore: local() }), LOCAL_STEPS],
  ['files, PostgreSQL', async () => ({ database: await postgres(), blobStore: local() }), LOCAL_STEPS],
  ['a bucket, SQLite', async () => ({ database: sqlite(), blobStore: await bucket('a') }), S3_STEPS],
  ['a bucket, PostgreSQL', async () => ({ database: await postgres(), blobStore: await bucket('b') }), S3_STEPS],
  ['the database, SQLite', async () => ({ database: sqlite(), blobStore: inside }), DATABASE_STEPS],
  ['the database, PostgreSQL', async () => ({ database: await postgres(), blobStore: inside }), DATABASE_STEPS],
])('with bytes in %s,', (_, configure, stepsOfBytes) => {
  it('an instance that is frozen at any step stops nobody, and takes away nothing that others put meanwhile', async () => {
    const { layer, script, freeze, goOn } = await start(await configure())
    const { blobs } = layer
    for (const step of [...BLOB_STEPS, ...stepsOfBytes]) {
      const moment = momentOf(step)
      const data = Buffer.alloc(moment.bytes, step)
      if (moment.operation !== 'put' || /^(has|discard)/.test(step)) {
        const record = await layer.scoped('owner').put(data)
        if (step.startsWith('quarantine')) await damage(layer, record)
      }
      await freeze(moment)
      expect(await idleTransactions(layer), step).toBe(0)
      const begun = performance.now()
      const { id } = await blobs.put(data)
      await blobs.delete((await blobs.put(Buffer.from('other'))).id)
      expect(performance.now() - begun, step).toBeLessThan(HELD_MILLIS)
      expect(await goOn(), step).toMatchObject({ code: 'ok' })
      expect((await blobs.bytes(id)).equals(data), step).toBe(true)
      expect(await blobs.verify(), step).toMatchObject({ ok: true })
      expect(await blobs.stats(), step).toMatchObject({ contents: 1, bytes: data.length })
      for (const { id } of (await blobs.list()).items) await blobs.delete(id)
    }
    script.end()
    await script.finished()
  })
})

/** Returns how long a call took that was refused, and expects that it may be repeated. */
async function millisUntilTimeout(call: Promise<unknown>, message: string): Promise<number> {
  const begun = performance.now()
  await expect(call).rejects.toMatchObject({
    code: 'TIMEOUT',
    retryable: true,
    message: expect.stringContaining(message),
  })
  return performance.now() - begun
}

const IN_TRANSACTION: Moment = { operation: 'transaction', at: 'body', bytes: 300_000 }

describe('on PostgreSQL, an instance that is frozen', () => {
  /** The put of the others waits until the server ends the transaction. */
  const inPut = async () => {
    // Otherwise BEGIN and COMMIT leave together, and the server needs nobody to go on.
    const { layer, script, freeze, goOn } = await start({
      database: await postgres({ prepare: false }),
      blobStore: local(),
    })
    await freeze({ operation: 'put', at: 'COMMIT', bytes: 6 })
    const begun = performance.now()
    await layer.blobs.put(Buffer.from('other'))
    expect(performance.now() - begun).toBeLessThan(HELD_MILLIS + SLACK_MILLIS)
    expect(await goOn()).toMatchObject({ code: expect.stringMatching(/^(TIMEOUT|CONNECTION_LOST)$/), retryable: true })
    script.send({ operation: 'put', at: 'repeat', bytes: 6 })
    expect(await script.next()).toMatchObject({ code: 'ok' })
    expect(await layer.blobs.stats()).toMatchObject({ count: 2, contents: 2, bytes: 11 })
    expect(await layer.blobs.verify()).toMatchObject({ ok: true })
  }
  /** The put of the others fails, and everything else goes on. */
  const inTransaction = async (blobStore: StorageConfig['blobStore']) => {
    const { layer, freeze, goOn } = await start({ database: await postgres(), blobStore })
    const { blobs } = layer
    const { id } = await blobs.put(Buffer.from('before'))
    await freeze(IN_TRANSACTION)
    const refused = millisUntilTimeout(blobs.put(Buffer.from('other')), 'the row of blob_usage')
    const begun = performance.now()
    expect(await blobs.text(id)).toBe('before')
    await blobs.cleanup({ dryRun: true })
    expect(performance.now() - begun).toBeLessThan(HELD_MILLIS)
    expect(await refused).toBeLessThan(WAIT_MILLIS + SLACK_MILLIS)
    expect(await goOn()).toMatchObject({ code: 'ok' })
    await blobs.put(Buffer.from('other'))
    expect(await blobs.stats()).toMatchObject({ count: 3 })
    expect(await blobs.verify()).toMatchObject({ ok: true })
  }
  /** The put of the others waits until the server ends the transaction: after five seconds at most. */
  const inLimitedTransaction = async (setting: string, limits: { timeoutMillis: number }) => {
    const database = await postgres({}, { idle_in_transaction_session_timeout: setting })
    const { layer, freeze, goOn } = await start({ database, blobStore: inside })
    await freeze({ ...IN_TRANSACTION, ...limits })
    const begun = performance.now()
    await layer.blobs.put(Buffer.from('other'))
    expect(performance.now() - begun, setting).toBeLessThan(5000 + SLACK_MILLIS)
    expect(await goOn()).toMatchObject({ code: expect.stringMatching(/^(TIMEOUT|CONNECTION_LOST)$/), retryable: true })
    expect(await layer.blobs.stats()).toMatchObject({ count: 1, contents: 1, bytes: 5 })
    expect(await layer.blobs.verify()).toMatchObject({ ok: true })
  }

  it('in the middle of a put, or in a transaction of its own, lets others wait for a limited time', async () => {
    // At once, because they do nothing but wait.
    await Promise.all([
      inPut(),
      inTransaction(local()),
      inTransaction(inside),
      inLimitedTransaction('2s', { timeoutMillis: 30_000 }),
      inLimitedTransaction('0', { timeoutMillis: 4000 }),
      inLimitedTransaction('1min', { timeoutMillis: 4000 }),
    ])
  })
})

describe('on SQLite, an instance that is frozen', () => {
  it.each([
    ['files', local],
    ['the database', () => inside],
  ])('in a transaction of its own lets others wait for busyTimeoutMillis: bytes in %s', async (_, blobStore) => {
    const config = { database: sqlite({ busyTimeoutMillis: BUSY_MILLIS }), blobStore: blobStore() }
    const { layer, freeze, goOn } = await start(config)
    const { id } = await layer.blobs.put(Buffer.from('before'))
    await freeze(IN_TRANSACTION)
    const waited = await millisUntilTimeout(layer.blobs.put(randomBytes(10)), 'busyTimeoutMillis')
    expect(waited).toBeLessThan(HELD_MILLIS)
    expect(await layer.blobs.text(id)).toBe('before')
    expect(await goOn()).toMatchObject({ code: 'ok' })
    expect(await layer.blobs.stats()).toMatchObject({ count: 2 })
    expect(await layer.blobs.verify()).toMatchObject({ ok: true })
  })
})

describe('a removal that arrives after its content was put again', () => {
  const removeLate = async (backend: (bytes: BytesBackend) => BytesBackend) => {
    const config: StorageConfig = { database: sqlite(), blobStore: local() }
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

async function removeAll(bytes: BytesBackend, hash: string): Promise<boolean> {
  for await (const location of bytes.list()) if (location.hash === hash) await bytes.remove(location)
  return true
}
