import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { migrateStorage, openStorage } from 'holdfast'
import { expect, it } from 'vitest'
import { openLayer } from './blobs/layer.ts'
import { emptyDatabases, freshDirectory, freshPostgres, sharedDatabases } from './setup/databases.ts'
import { quiet } from './setup/silent.ts'

it.each(emptyDatabases)('on %s, migrateStorage() of ten callers at once migrates once', async (_, configure) => {
  const database = await configure()
  const dry = await migrateStorage({ database }, { dryRun: true })
  expect(dry.migrations.map(({ number }) => number)).toEqual(Array.from({ length: dry.known }, (_, i) => i))
  const reports = await Promise.all(Array.from({ length: 10 }, () => migrateStorage({ database })))
  const numbers = reports.flatMap(({ migrations }) => migrations.map(({ number }) => number))
  expect(numbers.toSorted((a, b) => a - b)).toEqual(dry.migrations.map(({ number }) => number))
  expect(await migrateStorage({ database }, { dryRun: true })).toMatchObject({ migrations: [] })
  const storage = await openStorage({ database }, { migrate: false })
  await storage.close()
})

it('migrateStorage() with dryRun creates no file', async () => {
  const directory = mkdtempSync(join(freshDirectory(), 'empty-'))
  await migrateStorage({ database: { type: 'sqlite', path: join(directory, 'agent.db') } }, { dryRun: true })
  expect(readdirSync(directory)).toEqual([])
})

it('a database in memory has no pending migrations: it is migrated whenever it is opened', async () => {
  const { database, known, migrations } = await migrateStorage({}, { dryRun: true })
  expect({ database, migrations }).toEqual({ database: 'in-memory', migrations: [] })
  expect(known).toBeGreaterThan(0)
})

it('diagnose() and blobs.verify() end when their signal is aborted', async () => {
  await using storage = await openStorage()
  for (let i = 0; i < 3; i++) await storage.blobs.put(Buffer.from(`blob ${i}`))
  const aborted = AbortSignal.abort()
  await expect(storage.diagnose({ signal: aborted })).rejects.toMatchObject({ code: 'ABORTED' })
  await expect(storage.blobs.verify({ signal: aborted })).rejects.toMatchObject({ code: 'ABORTED' })
  const ending = new AbortController()
  const checked: number[] = []
  const verifying = storage.blobs.verify({
    signal: ending.signal,
    onProgress: (progress) => {
      checked.push(progress.checked)
      ending.abort()
    },
  })
  await expect(verifying).rejects.toMatchObject({ code: 'ABORTED' })
  expect(checked).toEqual([1])
})

it('diagnose() refuses options that it does not know', async () => {
  await using storage = await openStorage()
  const wrong = { repare: true } as object
  await expect(storage.diagnose(wrong)).rejects.toMatchObject({ code: 'INVALID_INPUT' })
})

it('diagnose() with repair counts again while others append', async () => {
  for (const [, configure] of sharedDatabases) {
    await using storage = await openStorage({ database: await configure() })
    const append = () => storage.messages.append('chat', { role: 'user', content: 'x' })
    await append()
    await Promise.all([
      ...Array.from({ length: 50 }, append),
      ...Array.from({ length: 5 }, () => storage.diagnose({ repair: true })),
    ])
    expect(await storage.sessions.summary('chat')).toMatchObject({ messageCount: 51, lastSeq: 51 })
  }
})

it.each(['Agent', 'my "own"'])(
  'on PostgreSQL, diagnose(), stats() and a dry migration work in the schema %s',
  async (schema) => {
    const config = { database: { type: 'postgres', url: await freshPostgres(), options: { schema } } } as const
    await using storage = await openStorage(config, quiet)
    expect((await storage.diagnose()).filter(({ result }) => result === 'fail')).toEqual([])
    expect((await storage.stats()).database).toMatchObject({ bytes: expect.any(Number) })
    expect((await migrateStorage(config, { dryRun: true })).migrations).toEqual([])
  },
)

it.each(sharedDatabases)(
  'on %s, diagnose() warns of bytes that maintenance is about to remove',
  async (_, configure) => {
    const config = {
      database: await configure(),
      blobStore: { type: 'local', storePath: join(freshDirectory(), 'blobs') },
    } as const
    for (const stop of ['collect.lock', 'collect.unlink']) {
      const layer = await openLayer(config, {
        onStep(step) {
          if (step === stop) throw new Error('stopped')
        },
      })
      const { id } = await layer.blobs.put(randomBytes(1000))
      await layer.blobs.delete(id)
      await layer.close()
    }
    await using storage = await openStorage(config, quiet)
    const blobs = async () => {
      const findings = await storage.diagnose()
      return findings.filter(({ check, result }) => check.startsWith('blobs-') && result !== 'ok')
    }
    expect(await blobs()).toEqual([
      {
        check: 'blobs-unreferenced',
        result: 'warn',
        message: expect.stringMatching(/^2 of 2 contents .* maintenance/),
      },
    ])
    await storage.maintain()
    expect(await blobs()).toEqual([])

    const strays = async (count: number) => {
      const directory = join(config.blobStore.storePath, 'objects', 'ab')
      mkdirSync(directory, { recursive: true })
      for (let i = 0; i < count; i++) writeFileSync(join(directory, `ab${String(i).padStart(62, '0')}`), 'stray')
      return blobs()
    }
    expect(await strays(100)).toEqual([
      { check: 'blobs-strays', result: 'warn', message: expect.stringContaining('a day old') },
    ])
    // Maintenance leaves so many: the database may be an older backup.
    expect(await strays(101)).toMatchObject([{ check: 'blobs-strays', result: 'fail' }])
  },
)
