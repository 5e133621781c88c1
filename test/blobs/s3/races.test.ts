import { join } from 'node:path'
import { openStorage, type StorageConfig } from 'holdfast'
import type { S3Fault } from 'holdfast/testing'
import { afterAll, expect, it } from 'vitest'
import { freshDirectory, sharedDatabases } from '../../setup/databases.ts'
import { runScript } from '../../setup/processes.ts'
import { rounds } from '../../setup/rounds.ts'
import { quiet } from '../../setup/silent.ts'
import { serve } from './fixture.ts'

const FAULTS: S3Fault[] = [
  { before: { status: 503, code: 'SlowDown' } },
  { after: { status: 500, code: 'InternalError' } },
  { before: 'reset' },
  { after: 'reset' },
]

// A few failures, all of which are made up for: a race is more likely if some requests take longer.
const server = await serve({
  fault: () => (Math.random() < 0.02 ? FAULTS[Math.floor(Math.random() * FAULTS.length)] : undefined),
})
afterAll(() => server.close())

const configure = async (name: string, database: StorageConfig['database'], maxTotalSize: number) => ({
  database,
  blobStore: { ...server.config, prefix: name, maxTotalSize, options: { maxAttempts: 10 } },
})

it.each(sharedDatabases)(
  'three processes put, read, delete and collect the same contents without losing any, on %s',
  async (name, database) => {
    const config = await configure(`race-${name}`, await database(), 200_000)
    const scripts = [1, 2, 3].map((process) =>
      runScript<{ live: string[]; refused: number }>('test/blobs/programs/race.ts', [
        JSON.stringify(config),
        String(rounds(20, 2000)),
        `${process}`,
      ]),
    )
    const said = (await Promise.all(scripts.map((script) => script.finished()))).flat()
    await using storage = await openStorage(config, quiet)
    expect(await storage.blobs.verify()).toMatchObject({ ok: true })
    expect((await storage.blobs.stats()).count).toBe(said.flatMap(({ live }) => live).length)
    for (const { live } of said) for (const id of live) await storage.blobs.delete(id)
    expect(await storage.blobs.stats()).toMatchObject({ count: 0, contents: 0, bytes: 0 })
    expect([...server.objects.keys()].filter((key) => key.startsWith(`race-${name}/objects`))).toEqual([])
  },
)

it('40 puts of 100 KB at once, from four processes, store exactly the 1 MB of maxTotalSize', async () => {
  const path = join(freshDirectory(), 'agent.db')
  const config = await configure('fill', { type: 'sqlite', path }, 1_000_000)
  const scripts = [1, 2, 3, 4].map((i) =>
    runScript<string[]>('test/blobs/programs/fill.ts', [JSON.stringify(config), '10', `process ${i}`]),
  )
  const outcomes = (await Promise.all(scripts.map((script) => script.finished()))).flat(2)
  expect(new Set(outcomes)).toEqual(new Set(['stored', 'BLOB_QUOTA_EXCEEDED']))
  expect(outcomes.filter((outcome) => outcome === 'stored')).toHaveLength(10)
  await using storage = await openStorage(config, quiet)
  expect(await storage.blobs.verify()).toMatchObject({ ok: true })
})
