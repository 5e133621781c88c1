import { mkdtempSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { migrateStorage, openStorage } from 'holdfast'
import { expect, it } from 'vitest'
import { emptyDatabases, freshDirectory, sharedDatabases } from './setup/databases.ts'

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
