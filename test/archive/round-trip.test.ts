import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { importInto, type Storage } from 'holdfast'
import * as schema from 'holdfast/schema/sqlite'
import { describe, expect, it } from 'vitest'
import { ARCHIVED, DERIVED } from '../../src/archive/tables.ts'
import { AWKWARD, digests, fill } from './filled.ts'
import { type Kind, newDirectory, openKind } from './kinds.ts'

const routes: [from: Kind, to: Kind][] = [
  ['sqlite', 'postgres'],
  ['postgres', 'sqlite'],
  ['in-memory', 'postgres'],
  ['postgres', 'in-memory'],
  ['sqlite', 'in-memory, local blobs'],
  ['in-memory, local blobs', 'sqlite'],
  ['postgres', 'sqlite, blobs in memory'],
]

/** The records of blobs are apart from messages there, which have no references to them. */
const isApart = (kind: Kind) => kind === 'in-memory, local blobs' || kind === 'sqlite, blobs in memory'

async function fillTwice(storage: Storage): Promise<void> {
  await fill(storage, 'nobody')
  await fill(storage.scope({ ownerId: 'ada' }), 'ada')
}

describe('the tables of an archive', () => {
  it('are all tables but those that are derived', () => {
    expect([...ARCHIVED, ...Object.keys(DERIVED)].toSorted()).toEqual(Object.keys(schema).toSorted())
  })

  it('are all filled by these tests', async () => {
    const storage = await openKind('sqlite')
    await fillTwice(storage)
    const { tables } = await storage.export(newDirectory())
    expect(Object.keys(tables).toSorted()).toEqual([...ARCHIVED].toSorted())
  })
})

describe.each(routes)('an export of %s', (from, to) => {
  it(`gives ${to} the same rows and blobs, and a second import changes nothing`, async () => {
    const source = await openKind(from)
    await fillTwice(source)
    const before = await digests(source)
    const exported = await source.export(newDirectory())
    const target = await openKind(to)
    const imported = await importInto(target, exported.directory)
    const skipped = isApart(to) ? before.blobRefs.rows : 0
    expect(imported).toMatchObject({ inserted: exported.rows - skipped, unchanged: 0, refused: 0, resumed: false })
    const after = await digests(target)
    if (isApart(to)) before.blobRefs = after.blobRefs
    expect(after).toEqual(before)
    expect(await target.blobs.verify()).toMatchObject({ ok: true })
    expect(await target.blobs.stats()).toMatchObject({ count: 6, contents: 5 })

    const again = await importInto(target, exported.directory)
    expect(again).toMatchObject({ inserted: 0, unchanged: exported.rows - skipped, refused: 0 })
    expect(await digests(target)).toEqual(after)
    expect(await target.blobs.stats()).toMatchObject({ count: 6, contents: 5 })
    expect((await target.kv.get('key-nobody')) as object).toEqual({ note: 'note of nobody', ...AWKWARD })

    const [last] = (await source.events.list({ order: 'desc', limit: 1 })).items
    expect((await target.events.append({ type: 'later' })).seq).toBe((last?.seq ?? 0) + 1)
    const { messageCount, lastSeq } = (await target.sessions.summary('chat-nobody')) ?? {}
    expect({ messageCount, lastSeq }).toEqual({ messageCount: 30, lastSeq: 31 })
    expect(await target.messages.append('chat-nobody', { role: 'user', content: 'on' })).toMatchObject({ seq: 32 })
  })
})

it('export() keeps the seq of events that were removed', async () => {
  for (const [from, to] of [
    ['sqlite', 'postgres'],
    ['postgres', 'sqlite'],
  ] as const) {
    const source = await openKind(from)
    for (let i = 0; i < 3; i++) await source.events.append({ type: 'old' })
    await source.events.prune({ before: new Date('2999-01-01') })
    const { directory } = await source.export(newDirectory())
    const target = await openKind(to)
    await importInto(target, directory)
    expect((await target.events.append({ type: 'new' })).seq).toBe(4)
  }
})

it('export() writes JSON as it is stored: the order of keys, escapes, a line for each row', async () => {
  const storage = await openKind('postgres')
  await storage.kv.set('k', AWKWARD)
  const { directory } = await storage.export(newDirectory())
  const text = readFileSync(join(directory, 'kv.jsonl'), 'utf8')
  expect(text.split('\n')).toHaveLength(2)
  expect(text).toContain(`"value":${JSON.stringify(AWKWARD)}`)
  expect(text).toMatch(/"createdAt":\d{13},/)
})
