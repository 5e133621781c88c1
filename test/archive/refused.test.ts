import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import Database from 'better-sqlite3'
import { importInto, openStorage, type Storage, type StorageError } from 'holdfast'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { asNobody } from '../setup/as-nobody.ts'
import { freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { editLines, editManifest, filesBelow } from './edited.ts'
import { digests, fill } from './filled.ts'
import { newDirectory, openKind } from './kinds.ts'

let archive: string
beforeAll(async () => {
  const source = await openFilled()
  archive = newDirectory()
  await source.export(archive)
  await source.close()
})

async function openFilled(): Promise<Storage> {
  const storage = await openStorage(undefined, { maintenance: false })
  await fill(storage, 'nobody', 10)
  return storage
}

/** Returns a copy of the archive, to be changed. */
function copyOfArchive(): string {
  const directory = newDirectory()
  cpSync(archive, directory, { recursive: true })
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Makes the first content one without a name, and adds three lines that are none. Returns the number of contents before. */
function editedContents(directory: string): number {
  let count = 0
  editLines(directory, 'blobContent', (lines) => {
    count = lines.length
    const named = (hash: string) => lines[0]?.replace(/"hash":"[^"]*"/, `"hash":"${hash}"`) ?? ''
    return [named('nothing'), ...lines.slice(1), named('../../beside'), '{"hash":', 'null']
  })
  return count
}

/** Imports an archive that is refused. Returns the error, after the check that nothing was written. */
async function refusal(directory: string): Promise<StorageError<'ARCHIVE_DAMAGED'>> {
  const target = await openKind('in-memory')
  const error = await importInto(target, directory).catch((reason: unknown) => reason)
  expect(Object.values((await target.stats()).database.rows).reduce((sum, rows) => sum + rows, 0)).toBeLessThan(10)
  expect(await target.sessions.get('chat-nobody')).toBeUndefined()
  await target.close()
  return error as StorageError<'ARCHIVE_DAMAGED'>
}

describe('importInto() of a damaged archive', () => {
  it('names the file with a flipped byte, whichever it is, and writes nothing', async () => {
    const directory = copyOfArchive()
    const files = filesBelow(directory)
    expect(files.length).toBeGreaterThan(28)
    for (const file of files) {
      const path = join(directory, file)
      const bytes = readFileSync(path)
      if (bytes.length === 0) continue
      for (const at of [0, bytes.length >> 1, bytes.length - 1]) {
        const changed = Buffer.from(bytes)
        changed[at] = (changed[at] ?? 0) ^ 1
        writeFileSync(path, changed)
        const { code, message, details } = await refusal(directory)
        expect({ code, named: details.file, isNamed: message.includes(file) }).toEqual({
          code: 'ARCHIVE_DAMAGED',
          named: file,
          isNamed: true,
        })
      }
      writeFileSync(path, bytes)
    }
    const target = await openKind('in-memory')
    expect(await importInto(target, directory)).toMatchObject({ refused: 0 })
  })

  it.each([-1, 1])('names the content whose size is %i more than its line says', async (more) => {
    const directory = copyOfArchive()
    editLines(directory, 'blobContent', ([first = '', ...lines]) => [
      first.replace(/"size":(\d+)/, (_, size) => `"size":${Number(size) - more}`),
      ...lines,
    ])
    const error = await refusal(directory)
    expect(error).toMatchObject({ code: 'ARCHIVE_DAMAGED', details: { file: expect.stringMatching(/^blobs\//) } })
    expect(error.message).toMatch(/has \d+ bytes, and blobContent.jsonl says \d+/)
  })

  it('names a file that is missing', async () => {
    const directory = copyOfArchive()
    for (const file of filesBelow(directory)) {
      rmSync(join(directory, file))
      const { code, message } = await refusal(directory)
      const expected = file === 'manifest.json' ? 'INVALID_INPUT' : 'ARCHIVE_DAMAGED'
      expect({ code, isNamed: message.includes(file) }).toEqual({ code: expected, isNamed: true })
      cpSync(join(archive, file), join(directory, file))
    }
  })

  it('says that an export without a manifest was not finished', async () => {
    const directory = copyOfArchive()
    rmSync(join(directory, 'manifest.json'))
    expect(await refusal(directory)).toMatchObject({
      code: 'INVALID_INPUT',
      message: expect.stringMatching(/manifest\.json does not exist.*not finished/),
    })
  })

  it('names a file of an archive that this user may not read, or that is a directory', async () => {
    const directory = copyOfArchive()
    chmodSync(dirname(directory), 0o755)
    chmodSync(directory, 0o755)
    const manifest = join(directory, 'manifest.json')
    chmodSync(manifest, 0o000)
    expect(await asNobody(() => refusal(directory))).toMatchObject({
      code: 'CONNECTION_FAILED',
      message: expect.stringContaining(`(EACCES at ${manifest})`),
    })
    rmSync(manifest)
    mkdirSync(manifest)
    expect(await refusal(directory)).toMatchObject({
      code: 'DATABASE_FAILED',
      details: { errno: 'EISDIR', file: manifest },
    })
  })

  it('names a newer format, and the migrations of a newer schema', async () => {
    const directory = copyOfArchive()
    editManifest(directory, (manifest) => Object.assign(manifest, { schema: 99 }))
    expect(await refusal(directory)).toMatchObject({
      code: 'SCHEMA_TOO_NEW',
      message: expect.stringContaining('99 migrations'),
    })
    editManifest(directory, (manifest) => Object.assign(manifest, { format: 2 }))
    expect(await refusal(directory)).toMatchObject({
      code: 'INVALID_INPUT',
      message: expect.stringContaining('format 2'),
    })
  })

  it('never leaves the directory, whatever the manifest says', async () => {
    const directory = copyOfArchive()
    editManifest(directory, ({ tables }) => {
      Object.assign((tables as Record<string, object>).kv ?? {}, { file: '../../etc/passwd.jsonl' })
    })
    expect(await refusal(directory)).toMatchObject({ code: 'ARCHIVE_DAMAGED', details: { file: 'manifest.json' } })
  })
})

describe('export() into a directory that is in use', () => {
  it('names it, and says what is in it', async () => {
    const storage = await openKind('in-memory')
    const directory = newDirectory()
    await storage.export(directory)
    const exists = (path: string, what: RegExp) => ({
      code: 'ALREADY_EXISTS',
      message: expect.stringMatching(what),
      details: { path },
    })
    await expect(storage.export(directory)).rejects.toMatchObject(exists(directory, /holds an export already/))
    rmSync(join(directory, 'manifest.json'))
    await expect(storage.export(directory)).rejects.toMatchObject(exists(directory, /not finished/))
    const parent = join(directory, '..')
    await expect(storage.export(parent)).rejects.toMatchObject(exists(parent, /is not empty/))
    const file = join(directory, 'kv.jsonl')
    await expect(storage.export(file)).rejects.toMatchObject(exists(file, /is a file/))
    const message = (what: RegExp) => ({ code: 'INVALID_INPUT', message: expect.stringMatching(what) })
    for (const wrong of ['', 'a\0b', 7])
      await expect(storage.export(wrong as string)).rejects.toMatchObject(message(/directory/))
    await expect(storage.export(newDirectory(), { owner: 'x' } as object)).rejects.toMatchObject(
      message(/options\.owner/),
    )
    await expect(importInto({} as Storage, directory)).rejects.toMatchObject(message(/openStorage/))
  })
})

it('export() names a directory that this user may not list', async () => {
  const storage = await openKind('in-memory')
  const directory = freshDirectory()
  chmodSync(directory, 0o333)
  await expect(asNobody(() => storage.export(directory))).rejects.toMatchObject({
    code: 'CONNECTION_FAILED',
    message: expect.stringContaining(`(EACCES at ${directory})`),
  })
})

describe.each(['sqlite', 'postgres'] as const)('importInto() a %s storage with other data', (kind) => {
  it('overwrites nothing, and refuses what belongs to a refused row', async () => {
    const target = await openKind(kind)
    await target.sessions.create({ id: 'chat-nobody', title: 'mine' })
    await target.messages.append('chat-nobody', { id: 'mine', role: 'user', content: 'mine' })
    await target.kv.set('key-nobody', 'mine')
    const before = await digests(target)
    const report = await importInto(target, archive)
    expect(report.tables.kv).toMatchObject({ inserted: 1, refused: 2 })
    expect(report.tables.lists).toMatchObject({ inserted: 1, refused: 1 })
    expect(report.tables.listItems).toMatchObject({ inserted: 4, refused: 2 })
    expect(report.tables.messages?.refused).toBe(10) // those of the fork are written
    expect(report.refusals).toContainEqual({
      table: 'kv',
      file: 'kv.jsonl',
      line: 1,
      key: ['', 'key-nobody'],
      reason: expect.stringContaining('another row with this key'),
    })
    const orphan = expect.objectContaining({
      table: 'messages',
      reason: expect.stringMatching(/belongs to was refused/),
    })
    expect(report.refusals).toContainEqual(orphan)
    const orphans = report.refusals.filter(({ reason }) => /belongs to was refused/.test(reason))
    expect(orphans.map(({ table, key }) => `${table} ${key[1]}`)).toEqual(
      expect.arrayContaining(['kv of-chat-nobody', 'lists of-chat-nobody', 'listItems of-chat-nobody']),
    )
    expect(await target.kv.get('key-nobody')).toBe('mine')
    expect(await target.messages.list('chat-nobody')).toMatchObject({ items: [{ id: 'mine' }] })
    expect((await target.sessions.summary('chat-nobody'))?.messageCount).toBe(1)
    expect((await target.sessions.summary('fork-nobody'))?.messageCount).toBe(10)
    expect((await digests(target)).kv.rows).toBe(before.kv.rows + 1)
    const again = await importInto(target, archive)
    expect(again).toMatchObject({ inserted: 0, unchanged: report.inserted, refused: report.refused })
  })

  it('reports lines that are no rows with their number, writes the others, and corrects the counters', async () => {
    const directory = copyOfArchive()
    editLines(directory, 'messages', (lines) => {
      const cut = lines.findIndex((line) => line.includes('"chat-nobody"'))
      return lines.map((line, i) => (i === cut ? line.replace('"seq":1,', '"seq":"one",') : line))
    })
    editLines(directory, 'listItems', (lines) => lines.map((line, i) => (i === 1 ? '{"key":' : line)))
    editLines(directory, 'queueItems', (lines) =>
      lines.map((line, i) => (i === 2 ? line.replace('{', '{"extra":1,') : line)),
    )
    editLines(directory, 'toolState', (lines) => [
      ...lines,
      lines[0]?.replace('"key":"key"', '"key":"a\\u0000b"') ?? '',
    ])
    editLines(directory, 'memoryTags', (lines) => [
      ...lines,
      lines[0]?.replace(/"memoryId":"[^"]+"/, '"memoryId":"none"') ?? '',
    ])
    const target = await openKind(kind)
    const report = await importInto(target, directory)
    expect(report.refusals.map(({ file, line }) => `${file}:${line}`).toSorted()).toEqual(
      [
        'listItems.jsonl:2',
        'memoryTags.jsonl:4',
        'messages.jsonl:1',
        'queueItems.jsonl:3',
        'toolState.jsonl:2',
      ].toSorted(),
    )
    expect(report.refusals.find(({ file }) => file === 'messages.jsonl')?.reason).toBe('"seq" must be an integer')
    expect(report.refusals.find(({ file }) => file === 'queueItems.jsonl')?.reason).toBe(
      '"extra" is no column of the table',
    )
    expect((await target.sessions.summary('chat-nobody'))?.messageCount).toBe(9)
    const list = await target.lists.range('list-nobody', 0, 10)
    expect(list).toHaveLength(3)
    expect(await target.lists.length('list-nobody')).toBe(3)
    expect((await target.queues.list('chat-nobody', 'queue-nobody')).items).toHaveLength(2)
  })

  it('reports lines that are no contents, reads no file beside the archive, and refuses the blobs without bytes', async () => {
    const directory = copyOfArchive()
    writeFileSync(join(directory, 'beside'), 'secret')
    const count = editedContents(directory)
    const target = await openKind(kind)
    const report = await importInto(target, directory)
    const lines = report.refusals.filter(({ table }) => table === 'blobContent')
    expect(lines.map(({ line, reason }) => [line, reason])).toEqual([
      [count + 2, 'the line is not JSON'],
      [count + 3, 'the line is not a JSON object'],
      [1, expect.stringMatching(/"hash" must be/)],
      [count + 1, expect.stringMatching(/"hash" must be/)],
    ])
    expect(report.refusals.filter(({ table }) => table === 'blobs').length).toBeGreaterThan(0)
    expect(report.tables.blobContent).toMatchObject({ inserted: count - 1, refused: 4 })
    expect(await target.blobs.verify()).toMatchObject({ ok: true })
  })

  it('keeps no content whose blobs are refused', async () => {
    const directory = copyOfArchive()
    editLines(directory, 'blobs', (lines) => lines.map((line) => line.replace('"name"', '"title"')))
    const target = await openKind(kind)
    const { tables } = await importInto(target, directory)
    expect(tables.blobContent?.inserted).toBeGreaterThan(0)
    expect(tables.blobs?.inserted).toBe(0)
    expect(await target.blobs.stats()).toMatchObject({ count: 0, contents: 0, bytes: 0 })
    expect(await target.blobs.verify()).toMatchObject({ ok: true })
  })

  it('reports with dryRun what it would do, and writes nothing', async () => {
    const target = await openKind(kind)
    await target.kv.set('key-nobody', 'mine')
    const before = await digests(target)
    const planned = await importInto(target, archive, { dryRun: true })
    expect(planned.tables.kv).toEqual({ inserted: 2, unchanged: 0, refused: 1 })
    expect(await digests(target)).toEqual(before)
    expect(await target.blobs.stats()).toMatchObject({ contents: 0 })
    const done = await importInto(target, archive)
    expect({ ...done, refusals: [] }).toEqual({ ...planned, refusals: [] })
  })
})

it('importInto() that begins anew after refused rows has the texts indexed that were written before', async () => {
  const path = join(newDirectory(), 'agent.db')
  mkdirSync(dirname(path))
  await using source = await openKind('in-memory')
  const words = Array.from({ length: 3000 }, (_, i) => ({ id: `m${i}`, role: 'user', content: `word${i}` }) as const)
  for (let i = 0; i < 3; i++) await source.messages.append('chat', words.slice(i * 1000, (i + 1) * 1000))
  await source.kv.set('theme', 'dark')
  await source.prompts.save({ name: 'after kv', content: 'x' })
  await source.sessions.create({ id: 'other', title: 'theirs' })
  const directory = newDirectory()
  await source.export(directory)
  await using target = await openStorage({ database: { type: 'sqlite', path, options: { search: true } } }, quiet)
  await target.sessions.create({ id: 'other', title: 'mine' })
  const stopping = new AbortController()
  const onProgress = ({ table, rows }: { table: string; rows: number }) => {
    if (table === 'messages' && rows === 2000) endBackfill(path)
    if (table === 'kv') stopping.abort()
  }
  const stopped = importInto(target, directory, { signal: stopping.signal, onProgress })
  await expect(stopped).rejects.toMatchObject({ code: 'ABORTED' })
  expect(await importInto(target, directory)).toMatchObject({ resumed: false, refused: 1 })
  for (;;) {
    const { items, incomplete } = await target.messages.search('word2999')
    if (!incomplete) {
      expect(items.map(({ message }) => message.id)).toEqual(['m2999'])
      return
    }
    await target.maintain()
  }
})

/** Says that all texts are indexed, as the backfill of another process does when it has come to its end. */
function endBackfill(path: string): void {
  const file = new Database(path)
  const state = file.prepare("select value from properties where name = 'search_state'").pluck().get()
  const ended = JSON.stringify({ ...JSON.parse(String(state)), phase: 'complete' })
  file.prepare("update properties set value = ? where name = 'search_state'").run(ended)
  file.close()
}
