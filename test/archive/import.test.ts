import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type ArchiveProgress, importInto, openStorage } from 'holdfast'
import { describe, expect, it, onTestFinished } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { filesBelow } from './edited.ts'
import { digests, fill } from './filled.ts'
import { newDirectory, openKind } from './kinds.ts'

/** Appends messages to new sessions, a hundred to each. */
async function appendMany(storage: Awaited<ReturnType<typeof openKind>>, sessions: number): Promise<void> {
  for (let i = 0; i < sessions; i++) {
    const text = (j: number) => ({ role: 'user', content: `message ${j} of ${i}` })
    await storage.messages.append(
      `s${i}`,
      Array.from({ length: 100 }, (_, j) => text(j)),
    )
  }
}

describe.each(['sqlite', 'postgres', 'in-memory'] as const)('export() of %s', (kind) => {
  it('is of one moment, while others write', async () => {
    const storage = await openKind(kind)
    await appendMany(storage, 30)
    let isDone = false
    const write = async (n: number) => {
      for (let i = 0; !isDone; i++) {
        await storage.messages.append(`s${(n * 7 + i) % 30}`, { role: 'user', content: 'more' })
        await nextTurn() // in memory nothing waits, and the export would never go on
      }
    }
    const writers = [0, 1, 2, 3].map(write)
    const directory = newDirectory()
    // Progress comes between tables, so the sessions are read long before the last messages.
    const exported = await storage.export(directory, { onProgress: () => {} })
    isDone = true
    await Promise.all(writers)
    const target = await openKind('in-memory')
    expect(await importInto(target, directory)).toMatchObject({ refused: 0, inserted: exported.rows })
    for (let i = 0; i < 30; i++) {
      const messages = await target.messages.latest(`s${i}`, 1000)
      const { lastSeq, messageCount } = (await target.sessions.summary(`s${i}`)) ?? {}
      expect({ lastSeq, messageCount }).toEqual({ lastSeq: messages.length, messageCount: messages.length })
    }
    expect((await storage.stats()).database.rows.messages).toBeGreaterThan(exported.tables.messages ?? 0)
  })

  it('ends with ABORTED, and without a manifest, if its signal is aborted', async () => {
    const storage = await openKind(kind)
    await appendMany(storage, 30)
    const directory = newDirectory()
    const controller = new AbortController()
    const aborted = storage.export(directory, {
      signal: controller.signal,
      onProgress: ({ table, rows }) => table === 'messages' && rows > 500 && controller.abort(),
    })
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' })
    expect(filesBelow(directory)).not.toContain('manifest.json')
    await storage.kv.set('after', 1)
    await expect(storage.transaction(() => storage.export(newDirectory()))).rejects.toMatchObject({
      code: 'TRANSACTION_MISUSE',
    })
    const closing = storage.export(newDirectory(), { onProgress: () => void storage.close() })
    await expect(closing).rejects.toMatchObject({ code: 'CLOSED' })
  })
})

it('export() leaves out a blob that is deleted meanwhile, and fails if bytes are lost or damaged', async () => {
  const storage = await openKind('sqlite')
  const stays = await storage.blobs.put(Buffer.from('stays'))
  const goes = await storage.blobs.put(Buffer.from('goes'))
  await storage.messages.append('chat', { role: 'user', content: [{ type: 'file', file: goes.uri }] })
  const directory = newDirectory()
  let deleting: Promise<unknown> | undefined
  const { tables } = await storage.export(directory, {
    onProgress: ({ table }) => {
      if (table === 'sessions') deleting = storage.blobs.delete(goes.uri, { force: true })
    },
  })
  await deleting
  expect([tables.blobContent, tables.blobs, tables.blobRefs, tables.messages]).toEqual([1, 1, undefined, 1])
  const target = await openKind('postgres')
  expect(await importInto(target, directory)).toMatchObject({ refused: 0 })
  expect((await target.blobs.list()).items.map(({ id }) => id)).toEqual([stays.id])

  const path = (await storage.blobs.path(stays.uri)) ?? ''
  chmodSync(path, 0o600)
  writeFileSync(path, 'stayz')
  await expect(storage.export(newDirectory())).rejects.toMatchObject({ code: 'BLOB_CORRUPTED' })
  rmSync(path)
  await expect(storage.export(newDirectory())).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
})

it.each(['messages', 'blobContent'])(
  'export() fails if its directory is removed or replaced while it writes %s',
  async (at) => {
    const storage = await openKind('sqlite')
    await storage.blobs.put(Buffer.from('bytes'))
    await storage.messages.append('chat', { role: 'user', content: 'hello' })
    for (const isReplaced of [true, false]) {
      const directory = newDirectory()
      const exporting = storage.export(directory, {
        onProgress: ({ table }) => {
          if (table !== at) return
          renameSync(directory, `${directory}-before`) // as an unmount does, which leaves the directory below
          if (isReplaced) mkdirSync(directory)
        },
      })
      await expect(exporting).rejects.toMatchObject({
        code: 'DATABASE_FAILED',
        message: expect.stringContaining('directory was removed or replaced'),
      })
      expect(existsSync(join(directory, 'manifest.json'))).toBe(false)
    }
  },
)

it.each(['in-memory', 'postgres'] as const)('export() of %s writes several contents at once', async (kind) => {
  const storage = await openKind(kind)
  for (let i = 0; i < 20; i++) await storage.blobs.put(Buffer.from(`bytes ${i}`))
  const written: number[] = []
  await storage.export(newDirectory(), {
    onProgress: ({ table, rows }) => {
      if (table === 'blobContent') written.push(rows)
    },
  })
  expect(written).toEqual([8, 16, 20])
})

it('importInto() reports progress with totals, and goes on after ABORTED', async () => {
  const source = await openKind('in-memory')
  await appendMany(source, 60)
  const { directory } = await source.export(newDirectory())
  const target = await openKind('postgres')
  const controller = new AbortController()
  const progress: ArchiveProgress[] = []
  const first = importInto(target, directory, {
    signal: controller.signal,
    onProgress: (each) => {
      progress.push(each)
      if (each.table === 'messages' && each.rows >= 2000) controller.abort()
    },
  })
  await expect(first).rejects.toMatchObject({ code: 'ABORTED' })
  expect(progress).toContainEqual({ table: 'messages', rows: 2000, total: 6000 })
  expect(progress.some(({ table, rows, total }) => table === 'verify' && rows > 0 && rows === total)).toBe(true)
  const again: ArchiveProgress[] = []
  const report = await importInto(target, directory, { onProgress: (each) => again.push(each) })
  expect(report).toMatchObject({ resumed: true, inserted: 6060, unchanged: 0 })
  expect(again.filter(({ table }) => table === 'messages').map(({ rows }) => rows)).toEqual([4000, 6000])
  expect(await digests(target)).toEqual(await digests(source))
})

describe('importInto() a storage with a cache', () => {
  it('makes a row visible that other instances have cached as absent', async () => {
    const source = await openKind('in-memory')
    await fill(source, 'nobody', 2)
    await fill(source.scope({ ownerId: 'ada' }), 'ada', 2)
    const { directory } = await source.export(newDirectory())
    const url = await freshPostgres()
    const database = { type: 'postgres', url } as const
    const cache = { type: 'in-memory', options: { invalidation: 'notify' } } as const
    const [one, other] = await Promise.all([1, 2].map(() => openStorage({ database, cache }, quiet)))
    if (!one || !other) throw new Error('unreachable')
    onTestFinished(() => Promise.all([one.close(), other.close()]).then(() => {}))
    const ada = { ownerId: 'ada' }
    const absent = async (storage: typeof one) => [
      await storage.sessions.get('chat-nobody'),
      await storage.kv.get('key-nobody'),
      await storage.scope(ada).kv.get('key-ada'),
      await storage.scope(ada).sessions.get('chat-ada'),
      await storage.sessions.get('chat-ada'),
      await storage.prompts.get('prompt-nobody'),
      await storage.toolState.get('tool-nobody', 'key'),
      await storage.approvals.getState('chat-nobody'),
    ]
    for (const storage of [one, other]) expect((await absent(storage)).filter((row) => row != null)).toEqual([])
    await importInto(one, directory)
    expect((await absent(one)).filter((row) => row == null)).toEqual([])
    await expect.poll(async () => (await absent(other)).filter((row) => row == null)).toEqual([])
  })
})

describe.each(['sqlite', 'postgres'] as const)('importInto() %s with the search', (type) => {
  it('leaves the texts to the backfill, and says until then that results are incomplete', async () => {
    const source = await openKind('in-memory')
    await source.messages.append('chat', { role: 'user', content: 'needle in a haystack' })
    await source.memories.create({ content: 'another needle' })
    const { directory } = await source.export(newDirectory())
    const database =
      type === 'sqlite'
        ? ({ type, path: join(freshDirectory(), 'agent.db'), options: { search: true } } as const)
        : ({ type, url: await freshPostgres(), options: { search: true } } as const)
    await using target = await openStorage({ database }, quiet)
    await target.messages.append('own', { role: 'user', content: 'my needle' })
    await importInto(target, directory)
    expect((await target.messages.search('needle')).incomplete).toBe(true)
    await target.maintain()
    const found = await target.messages.search('needle')
    expect(found.incomplete).toBeUndefined()
    expect(found.items).toHaveLength(2)
    expect((await target.memories.search('needle')).items).toHaveLength(1)
    await importInto(target, directory)
    expect((await target.messages.search('needle')).incomplete).toBeUndefined()
  })
})

it.each(['sqlite', 'postgres'] as const)(
  'an import into %s that went on keeps no bytes of erased blobs',
  async (kind) => {
    await using source = await openKind('sqlite')
    const ada = source.scope({ ownerId: 'ada' })
    for (let i = 0; i < 20; i++) await ada.blobs.put(Buffer.from(`content ${i}`))
    await ada.kv.set('key', 'value')
    const directory = newDirectory()
    await source.export(directory)
    await using target = await openKind(kind)
    const controller = new AbortController()
    const onProgress = ({ table }: ArchiveProgress) => table === 'blobContent' && controller.abort()
    const aborted = importInto(target, directory, { signal: controller.signal, onProgress })
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' })
    expect(await importInto(target, directory)).toMatchObject({ resumed: true, refused: 0 })
    expect(await target.blobs.stats()).toMatchObject({ count: 20, contents: 20 })
    await target.erase({ ownerId: 'ada' })
    expect(await target.blobs.stats()).toMatchObject({ count: 0, contents: 0, bytes: 0 })
  },
)
