import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { importInto, type Storage } from 'holdfast'
import { describe, expect, it } from 'vitest'
import { ARCHIVED } from '../../src/archive/tables.ts'
import { filesBelow } from './edited.ts'
import { digests, fill } from './filled.ts'
import { type Kind, newDirectory, openKind } from './kinds.ts'

/** Returns the files of a directory in which a text stands, base64 and names of files included. */
function filesWith(directory: string, text: string): string[] {
  const base64 = [0, 1, 2].map((i) =>
    Buffer.from(' '.repeat(i) + text)
      .toString('base64')
      .slice(4, -4),
  )
  return filesBelow(directory).filter((file) => {
    const bytes = readFileSync(join(directory, file))
    return file.includes(text) || bytes.includes(text) || base64.some((coded) => bytes.includes(coded))
  })
}

const rowsOf = (directory: string, table: string): Record<string, unknown>[] =>
  readFileSync(join(directory, `${table}.jsonl`), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))

async function openFilled(kind: Kind): Promise<Storage> {
  const storage = await openKind(kind)
  for (const ownerId of ['ada', 'bob-the-secret-one']) await fill(storage.scope({ ownerId }), ownerId, 5)
  await fill(storage, 'nobody-at-all', 5)
  return storage
}

describe.each(['sqlite', 'postgres', 'in-memory, local blobs'] as const)('export() of a part of %s', (kind) => {
  it('with ownerId has what this owner has, and no byte of others', async () => {
    const storage = await openFilled(kind)
    const directory = newDirectory()
    const { tables } = await storage.export(directory, { ownerId: 'ada' })
    expect(filesWith(directory, 'bob-the-secret-one')).toEqual([])
    expect(filesWith(directory, 'nobody-at-all')).toEqual([])
    expect(filesWith(directory, 'ada').length).toBeGreaterThan(20)
    const without = kind === 'in-memory, local blobs' ? ['blobRefs'] : []
    expect(Object.keys(tables).toSorted()).toEqual(ARCHIVED.filter((name) => !without.includes(name)).toSorted())
    const target = await openKind('sqlite')
    expect(await importInto(target, directory)).toMatchObject({ refused: 0 })
    const found = await digests(target)
    expect(Object.fromEntries(Object.entries(found).map(([name, { rows }]) => [name, rows]))).toMatchObject(tables)
    expect((await target.scope({ ownerId: 'ada' }).blobs.list()).items).toHaveLength(3)
    expect((await target.blobs.list()).items).toHaveLength(3)
    expect((await target.blobs.verify()).ok).toBe(true)
  })

  it('with sessionId has the session, what belongs to it, and the blobs that it mentions', async () => {
    const storage = await openFilled(kind)
    const directory = newDirectory()
    const { tables } = await storage.export(directory, { sessionId: 'chat-ada' })
    expect(tables).toMatchObject({
      sessions: 1,
      messages: 5,
      blobs: 1,
      blobContent: 1,
      queues: 1,
      queueItems: 3,
      events: 1,
    })
    expect(tables).toMatchObject({ approvals: 1, approvalStates: 1, allowedTools: 1, toolPreferences: 1 })
    expect(tables).toMatchObject({ kv: 1, lists: 1, listItems: 2 })
    for (const table of ['memories', 'checkpoints']) expect(tables).not.toHaveProperty(table)
    expect(filesWith(directory, 'bob-the-secret-one')).toEqual([])
    const target = await openKind('postgres')
    expect(await importInto(target, directory)).toMatchObject({ refused: 0 })
    expect(await target.sessions.get('chat-ada')).toMatchObject({ title: 'note of ada' })
    const ada = target.scope({ ownerId: 'ada' })
    expect(await ada.kv.getEntry('of-chat-ada')).toMatchObject({
      sessionId: 'chat-ada',
      value: { note: 'note of ada' },
    })
    expect(await ada.lists.range('of-chat-ada', 0, 5)).toEqual(['note of ada', 1])
    await target.sessions.delete('chat-ada')
    expect([await ada.kv.get('of-chat-ada'), await ada.lists.length('of-chat-ada')]).toEqual([undefined, 0])
  })

  it('with since has what changed since then, and sessions as a whole', async () => {
    const storage = await openKind(kind)
    await fill(storage, 'early', 5)
    for (const id of ['written', 'unwritten', 'renamed']) {
      await storage.sessions.create({ id })
      await storage.kv.set(`of ${id}`, 'early', { sessionId: id })
    }
    await new Promise((resolve) => setTimeout(resolve, 1100)) // the time of activity is kept to the second
    const since = new Date()
    await new Promise((resolve) => setTimeout(resolve, 5))
    await fill(storage, 'late', 5)
    await storage.messages.append('fork-early', { role: 'user', content: 'again' })
    await storage.kv.set('of written', 'late', { sessionId: 'written' })
    await storage.sessions.update('renamed', { title: 'late' })
    const directory = newDirectory()
    const { tables } = await storage.export(directory, { since })
    expect(rowsOf(directory, 'sessions').map(({ id }) => id)).toEqual([
      'chat-early', // has a list, and lists do not say when they have changed
      'chat-late',
      'fork-early',
      'fork-late',
      'renamed',
      'written',
    ])
    expect(rowsOf(directory, 'messages').filter(({ sessionId }) => sessionId === 'fork-early')).toHaveLength(6)
    expect(rowsOf(directory, 'checkpoints').map(({ threadId }) => threadId)).toEqual(['thread-late'])
    expect(rowsOf(directory, 'checkpointWrites').map(({ threadId }) => threadId)).toEqual(['thread-late'])
    expect(tables).toMatchObject({ kv: 4, memories: 1, memoryTags: 3, events: 2, prompts: 1, toolState: 1, lists: 4 })
    // That of the early session is mentioned by its fork.
    expect(rowsOf(directory, 'blobs').map(({ name }) => name)).toEqual(
      expect.arrayContaining(['early.txt', 'late.txt']),
    )
    expect(tables.blobs).toBe(4)
    const target = await openKind('sqlite')
    expect(await importInto(target, directory)).toMatchObject({ refused: 0 })
  })
})
