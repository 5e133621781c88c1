import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { getTableColumns } from 'drizzle-orm'
import { importInto, openStorage, type StorageConfig } from 'holdfast'
import { wordEmbedding } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import { readProperty } from '../../src/database/identity.ts'
import { backfill, backfillStep } from '../../src/repositories/search/backfill.ts'
import { beginIndex, STATE } from '../../src/repositories/search/state.ts'
import * as tables from '../../src/schema/postgres.ts'
import { layersOf } from '../../src/storage/layers.ts'
import { freshDirectory, freshPostgres, redisPrefix, redisUrl } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { silent } from '../setup/silent.ts'
import { fill, type Handle } from './rows-of-every-table.ts'

const options = { logger: silent, maintenance: false }
const search = { options: { search: true } } // so that erasures find tokens as well
const sqlite = (path = join(freshDirectory(), 'test.db')): StorageConfig => ({
  database: { type: 'sqlite', path, ...search },
  blobStore: { type: 'local', storePath: freshDirectory() },
})
const configurations: Record<string, () => Promise<StorageConfig>> = {
  'in memory': async () => ({ database: { type: 'in-memory', ...search } }),
  SQLite: async () => sqlite(),
  'PostgreSQL and Redis': async () => ({
    database: { type: 'postgres', url: await freshPostgres(), ...search },
    cache: { type: 'redis', url: redisUrl(), options: { keyPrefix: redisPrefix() } },
    blobStore: { type: 'local', storePath: freshDirectory() },
  }),
}

/** Tables whose rows belong to nobody, and why. */
const WITHOUT_OWNER = {
  properties: 'facts about the database',
  maintenanceLeases: 'which instance runs a step',
  blobContent: 'bytes, stored once for all owners',
  blobChunks: 'the same, in parts',
  blobRemovals: 'objects that nobody needs',
  blobLeases: 'puts under way',
  blobUsage: 'totals of the store',
}

test('every table has an owner, or a reason to have none', () => {
  const without = Object.entries(tables).filter(([, table]) => !('ownerId' in getTableColumns(table)))
  expect(without.map(([name]) => name).sort()).toEqual(Object.keys(WITHOUT_OWNER).sort())
})

const TABLES_OF_AN_OWNER = Object.keys(tables).filter((name) => !(name in WITHOUT_OWNER))

/** What a handle shows of it. */
async function contentsOf(handle: Handle) {
  return [
    (await handle.sessions.list()).items.map(({ title }) => title),
    (await handle.messages.list('main')).items.map(({ id }) => id),
    await handle.kv.get('k'),
    await handle.lists.range('l', 0, 9),
    (await handle.memories.list()).items.map(({ content }) => content),
    (await handle.events.list()).items.map(({ type }) => type),
    (await handle.queues.listQueues()).items.map(({ sessionId, length }) => [sessionId, length]),
    await handle.prompts.get('p').then((prompt) => prompt?.content),
    (await handle.workspaces.list()).items.map(({ name }) => name),
    await handle.toolState.get('t', 'k'),
    (await handle.toolExecutions.list()).items.map(({ input }) => input),
    await handle.approvals.getState(),
    await handle.approvals.getState('main'),
    (await handle.checkpoints.list()).items.map(({ writes }) => writes.length),
    await handle.toolPreferences.getPreferences(),
    await handle.toolPreferences.isAllowed('x', 'main'),
  ]
}

describe.each(Object.entries(configurations))('%s', (_, configure) => {
  test('erase() removes everything of an owner, and nothing of others', async () => {
    const config = await configure()
    await using storage = await openStorage(config, { ...options, embedding: wordEmbedding() })
    const other = config.database?.type === 'postgres' ? await openStorage(config, options) : undefined
    const [ada, bob] = [storage.scope({ ownerId: 'ada' }), storage.scope({ ownerId: 'bob' })]
    const empty = await contentsOf(ada)
    await fill(ada, 'ada')
    await fill(bob, 'bob')
    await storage.kv.set('k', 'nobody')
    for (const [handle, value] of [
      [ada, 'ada'],
      [bob, 'bob'],
      [storage, 'nobody'],
    ] as const)
      await handle.cache.set('c', value)
    await storage.embedPending()
    await contentsOf(ada) // cached now
    if (other) await contentsOf(other.scope({ ownerId: 'ada' }))
    const ofBob = await contentsOf(bob)

    const planned = await storage.erase({ ownerId: 'ada' }, { dryRun: true })
    expect(Object.keys(planned.rows).sort()).toEqual(TABLES_OF_AN_OWNER.sort())
    expect(planned.rows).toMatchObject({
      events: 2,
      queues: 2,
      memoryTags: 2,
      blobs: 2,
      blobRefs: 1,
      kv: 2,
      listItems: 3,
    })
    expect(await contentsOf(ada)).not.toEqual(empty)

    const removed: Record<string, number> = {}
    const onProgress = ({ table, rows }: { table: string; rows: number }) => {
      removed[table] = (removed[table] ?? 0) + rows
    }
    expect(await storage.erase({ ownerId: 'ada' }, { onProgress })).toEqual(planned)
    expect(removed).toMatchObject({ events: 2, sessions: 1, blobs: 2, kv: 2 })
    expect(await contentsOf(ada)).toEqual(empty)
    if (other) expect(await contentsOf(other.scope({ ownerId: 'ada' }))).toEqual(empty)
    expect(await storage.erase({ ownerId: 'ada' })).toEqual({ rows: {}, total: 0, logEmptied: true })
    expect((await ada.blobs.stats()).count).toBe(0)

    expect(await contentsOf(bob)).toEqual(ofBob)
    expect(await storage.kv.get('k')).toBe('nobody')
    expect([await ada.cache.get('c'), await bob.cache.get('c'), await storage.cache.get('c')]).toEqual([
      undefined,
      'bob',
      'nobody',
    ])
    const [{ uri = '' } = {}] = (await bob.blobs.list()).items.filter(({ name }) => name === null)
    expect(await storage.blobs.text(uri)).toBe('shared bytes')
    expect(await storage.blobs.verify()).toMatchObject({ ok: true })
    expect((await storage.blobs.stats()).contents).toBe(2)
    await other?.close()
  })

  test('erase() removes more rows than one transaction does', async () => {
    await using storage = await openStorage(await configure(), options)
    const ada = storage.scope({ ownerId: 'ada' })
    const batch = Array.from({ length: 800 }, (_, i) => i)
    for (let i = 0; i < 3; i++) {
      await ada.messages.append(
        'long',
        batch.map((n) => ({ role: 'user', content: `${n}` })),
      )
      await ada.events.append(batch.map((n) => ({ type: 't', payload: n })))
    }
    await ada.transaction(async (tx) => {
      for (let i = 0; i < 1200; i++) await tx.kv.set(`k${i}`, i)
    })
    await ada.kv.get('k7')
    const { rows, total } = await storage.erase({ ownerId: 'ada' })
    expect(rows).toEqual({ messages: 2400, messageSearch: 2400, events: 2400, kv: 1200, sessions: 1 })
    expect(total).toBe(8401)
    expect(await ada.kv.get('k7')).toBeUndefined()
    expect((await storage.stats()).database.rows).toMatchObject({ messages: 0, events: 0, kv: 0, sessions: 0 })
  })
})

test.each(Object.entries(configurations))(
  '%s: an erasure that ends early leaves lists and queues whose counters are right',
  async (_, configure) => {
    await using storage = await openStorage(await configure(), options)
    const ada = storage.scope({ ownerId: 'ada' })
    await ada.lists.append('l', ...Array.from({ length: 1500 }, (_, i) => i))
    await ada.transaction(async (tx) => {
      for (let i = 0; i < 1100; i++) await tx.queues.push('s', 'q', { id: `${i}` })
    })
    for (const table of ['queueItems', 'listItems']) {
      const ending = new AbortController()
      const onProgress = (removed: { table: string }) => {
        if (removed.table === table) ending.abort()
      }
      const erasure = storage.erase({ ownerId: 'ada' }, { signal: ending.signal, onProgress })
      await expect(erasure).rejects.toMatchObject({ code: 'ABORTED' })
      expect((await storage.diagnose()).filter(({ result }) => result === 'fail')).toEqual([])
    }
    expect(await ada.lists.length('l')).toBe((await ada.lists.range('l', 0, 1000)).length)
    await storage.erase({ ownerId: 'ada' })
    expect(await ada.lists.keys()).toEqual({ items: [] })
  },
)

test.each(Object.entries(configurations))(
  '%s: an import that was interrupted before an erasure begins anew after it',
  async (_, configure) => {
    const directory = join(freshDirectory(), 'archive')
    await using source = await openStorage({}, options)
    const ofAda = source.scope({ ownerId: 'ada' })
    await ofAda.messages.append('chat', { role: 'user', content: 'x' })
    await ofAda.kv.set('a secret key', 1)
    await ofAda.events.append({ type: 't' })
    await source.export(directory)

    const config = await configure()
    await using storage = await openStorage(config, options)
    const ending = new AbortController()
    const onProgress = ({ table }: { table: string }) => {
      if (table === 'kv') ending.abort()
    }
    const interrupted = importInto(storage, directory, { signal: ending.signal, onProgress })
    await expect(interrupted).rejects.toMatchObject({ code: 'ABORTED' })
    await storage.erase({ ownerId: 'ada' })
    if (config.database?.type === 'sqlite')
      expect(readFileSync(config.database.path ?? '').includes('a secret key')).toBe(false)

    expect(await importInto(storage, directory)).toMatchObject({ resumed: false, inserted: 4, refused: 0 })
    const ada = storage.scope({ ownerId: 'ada' })
    expect([(await ada.messages.list('chat')).items.length, await ada.kv.get('a secret key')]).toEqual([1, 1])
  },
)

test.each(Object.entries(configurations))(
  '%s: an index that is being built does not name a session of an erased owner, and is built on',
  async (_, configure) => {
    await using storage = await openStorage(await configure(), options)
    const { database } = layersOf(storage, 'storage')
    for (const ownerId of ['bob', 'ada']) {
      const { messages } = storage.scope({ ownerId })
      for (const text of ['one', 'two']) await messages.append(`of ${ownerId}`, { role: 'user', content: text })
    }
    await beginIndex(database)
    await backfillStep(database, 1)
    const place = async () => JSON.parse((await readProperty(database, STATE)) ?? '').messages
    expect(await place()).toMatchObject({ ownerId: 'ada' })
    await storage.erase({ ownerId: 'ada' })
    expect(JSON.stringify(await place())).not.toContain('ada')
    expect(await backfill(database)).toBe(2)
    expect((await storage.messages.search('two')).items).toMatchObject([{ message: { sessionId: 'of bob' } }])
  },
)

test('erase() rejects input that is not valid, and removes nothing', async () => {
  await using storage = await openStorage({}, options)
  await storage.scope({ ownerId: 'ada' }).kv.set('k', 1)
  const refused = (call: Promise<unknown>, path: string) =>
    expect(call).rejects.toMatchObject({ code: 'INVALID_INPUT', message: expect.stringContaining(path) })
  await refused(storage.erase({ ownerId: '' }), 'owner.ownerId')
  await refused(storage.erase({} as { ownerId: string }), 'owner.ownerId')
  await refused(storage.erase({ ownerId: 'ada' }, { dryRun: 'yes' as unknown as boolean }), 'options.dryRun')
  await refused(storage.erase({ ownerId: 'ada' }, { onProgress: 1 as unknown as () => void }), 'options.onProgress')
  expect(() => storage.scope({ ownerId: '' })).toThrow('ownerId')
  await expect(storage.transaction(() => storage.erase({ ownerId: 'ada' }))).rejects.toMatchObject({
    code: 'TRANSACTION_MISUSE',
  })
  expect(await storage.scope({ ownerId: 'ada' }).kv.get('k')).toBe(1)
})

test('erase() ends with its signal, and goes on when it is called again', async () => {
  await using storage = await openStorage({}, options)
  const ada = storage.scope({ ownerId: 'ada' })
  await fill(ada, 'ada')
  const controller = new AbortController()
  const aborted = storage.erase({ ownerId: 'ada' }, { signal: controller.signal, onProgress: () => controller.abort() })
  await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' })
  expect((await storage.erase({ ownerId: 'ada' })).total).toBeGreaterThan(0)
  expect((await storage.erase({ ownerId: 'ada' }, { dryRun: true })).total).toBe(0)
})

test('records in the blob store do not hold the names of erased blobs', async () => {
  const storePath = freshDirectory()
  const holds = (text: string) =>
    ['', '-wal'].some((suffix) => readFileSync(`${storePath}/records.db${suffix}`).includes(text))
  await using storage = await openStorage({ blobStore: { type: 'local', storePath } }, options)
  const ada = storage.scope({ ownerId: 'ada' })
  for (let i = 0; i < 30; i++) await ada.blobs.put(Buffer.from(`${i}`), { name: `secret of ada ${i}` })
  expect(holds('secret of ada')).toBe(true)
  expect(await storage.erase({ ownerId: 'ada' })).toEqual({ rows: { blobs: 30 }, total: 30, logEmptied: true })
  expect(holds('secret of ada')).toBe(false)
})

test('the files of SQLite do not hold what was erased', async () => {
  const path = join(freshDirectory(), 'test.db')
  const holds = (text: string) => ['', '-wal'].some((suffix) => readFileSync(path + suffix).includes(text))
  await using storage = await openStorage({ database: { type: 'sqlite', path } }, options)
  for (const ownerId of ['ada', 'bob']) {
    const scope = storage.scope({ ownerId })
    const text = `a secret of ${ownerId} `.repeat(10)
    for (let i = 0; i < 200; i++) await scope.messages.append(`s${i % 5}`, { role: 'user', content: text })
    await scope.memories.create({ content: text })
    await scope.kv.set('k', text)
  }
  expect(holds('secret of ada')).toBe(true)
  expect(await storage.erase({ ownerId: 'ada' })).toMatchObject({ logEmptied: true })
  expect(holds('secret of ada')).toBe(false)
  expect(holds('secret of bob')).toBe(true)

  // The naive variant: a delete alone.
  const bob = storage.scope({ ownerId: 'bob' })
  for (let i = 0; i < 5; i++) await bob.sessions.delete(`s${i}`)
  expect(holds('secret of bob')).toBe(true)
})

test('erase() says that a log holds erased text while another process reads', async () => {
  const path = join(freshDirectory(), 'test.db')
  await using storage = await openStorage({ database: { type: 'sqlite', path } }, options)
  await storage.scope({ ownerId: 'ada' }).kv.set('k', 'a secret of ada')
  const reader = new BetterSqlite3(path)
  reader.exec('begin; select count(*) from kv')
  expect(await storage.erase({ ownerId: 'ada' })).toMatchObject({ total: 1, logEmptied: false })
  expect(readFileSync(`${path}-wal`).includes('a secret of ada')).toBe(true)
  reader.close()
  expect(await storage.erase({ ownerId: 'ada' })).toEqual({ rows: {}, total: 0, logEmptied: true })
  expect(readFileSync(`${path}-wal`)).toHaveLength(0)
})

const ROWS = rounds(5000, 100_000)
const BLOBS = rounds(40, 100)

test.each(['SQLite', 'PostgreSQL and Redis'] as const)(
  'erase() on %s goes on after the process was killed',
  { timeout: 300_000 },
  async (name) => {
    const config = await (configurations[name] as (typeof configurations)[string])() // one of its keys
    const storage = await openStorage(config, options)
    const ada = storage.scope({ ownerId: 'ada' })
    const events = Array.from({ length: 1000 }, (_, n) => ({ type: 't', payload: n }))
    for (let i = 0; i < ROWS / 1000; i++) await ada.events.append(events)
    await ada.messages.append('s', { role: 'user', content: 'x' })
    for (let i = 0; i < BLOBS; i++) await ada.blobs.put(Buffer.from(`ada ${i}`))
    await storage.scope({ ownerId: 'bob' }).events.append(events)
    await storage.close()
    for (const killAt of ['events', 'events', 'sessions', 'blobs']) {
      const eraser = runScript<{ table: string }>('test/owners/programs/erase.ts', [JSON.stringify(config)])
      await eraser.next(({ table }) => table === killAt)
      await eraser.kill()
    }
    await using again = await openStorage(config, options)
    const { rows } = await again.erase({ ownerId: 'ada' }, { dryRun: true })
    expect(rows).toEqual({ blobs: expect.any(Number) })
    expect(rows.blobs).toBeLessThan(BLOBS)
    await again.erase({ ownerId: 'ada' })
    expect((await again.stats()).database.rows).toMatchObject({ events: 1000, blobs: 0 })
    expect(await again.blobs.stats()).toMatchObject({ count: 0, contents: 0, bytes: 0 })
    expect(await again.blobs.verify()).toMatchObject({ ok: true })
  },
)
