import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import fc from 'fast-check'
import {
  importInto,
  type MessageInput,
  openStorage,
  type Storage,
  type StorageConfig,
  type StorageScope,
} from 'holdfast'
import {
  fromChatMessage,
  fromModelMessage,
  fromResponseItem,
  fromUIMessage,
  toChatMessage,
  toModelMessage,
  toResponseItem,
  toUIMessage,
} from 'holdfast/messages'
import { startS3Server } from 'holdfast/testing'
import { afterAll, expect, it, vi } from 'vitest'
import { dataOf, textOf } from '../../src/blobs/attachments/data.ts'
import { freshDirectory } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'
import { serve } from './s3/fixture.ts'
import { eachStore, INSIDE, MAIN_RECORDS, SEPARATE_RECORDS } from './stores.ts'

const DAY = 86_400_000
const LIMIT = { offloadAboveBytes: 1000 }

const picture = () => randomBytes(3000)
const uriOf = (bytes: Buffer, type = 'image/png') => `data:${type};base64,${bytes.toString('base64')}`
const image = (bytes: Buffer) => [
  { type: 'text', text: 'What is this?' },
  { type: 'file', mediaType: 'image/png', filename: 'it.png', url: uriOf(bytes), providerMetadata: { a: [1, null] } },
]
const namesIn = (value: unknown) => [...JSON.stringify(value).matchAll(/blob:[0-9a-f]{32}/g)].map(([uri]) => uri)

const server = await startS3Server()
afterAll(() => server.close())

const s3: Record<string, () => StorageConfig> = {
  's3, sqlite': () => {
    return { database: { type: 'sqlite', path: join(freshDirectory(), 'a.db') }, blobStore: server.config }
  },
}
const { 'local, in-memory': apart } = SEPARATE_RECORDS
const { 'local, postgres': _, ...main } = MAIN_RECORDS // PostgreSQL is among the stores inside a database
const stores = { ...main, ...INSIDE, ...(apart && { 'local, in-memory': apart }), ...s3 }

eachStore(stores, (open, _, name) => {
  it('data in messages becomes blobs, once however often a call is repeated, and inline() returns it', async () => {
    await using storage = await open({ blobStore: LIMIT })
    const { messages, blobs } = storage
    const [one, two, three] = [picture(), picture(), picture()]
    const first: MessageInput = { id: 'a', role: 'user', content: image(one), metadata: { cover: uriOf(two) } }
    const appended = await messages.append('chat', first)
    const [uri = '', cover = ''] = namesIn(appended)
    expect(appended.content).toEqual([image(one)[0], { ...image(one)[1], url: uri }])
    expect(appended.metadata).toEqual({ cover })
    expect((await blobs.bytes(uri)).equals(one)).toBe(true)
    const isPlain = { source: 'chat', mimeType: 'image/png', size: 3000 }
    expect(await blobs.get(uri)).toMatchObject({ ...isPlain, name: 'it.png' })
    expect(await blobs.get(cover)).toMatchObject({ ...isPlain, name: null })
    expect(await blobs.inline(appended)).toEqual({ ...appended, content: first.content, metadata: first.metadata })

    const again = await Promise.all(Array.from({ length: 4 }, () => messages.append('chat', first)))
    const put = await messages.put('chat', [{ ...first, id: 'a' }])
    for (const same of [...again, ...put]) expect(same).toEqual(appended)
    const operation = { operationId: 'turn-1' }
    await messages.append('chat', [{ role: 'user', content: image(three) }], operation)
    await messages.append('chat', [{ role: 'user', content: image(three) }], operation)
    await messages.replace('other', { afterSeq: 0 }, [{ ...first, id: 'x' }])
    await messages.replace('other', { afterSeq: 0 }, [{ ...first, id: 'x' }])
    expect(await blobs.stats()).toMatchObject({ count: 5, contents: 3 })

    await messages.update('chat', 'a', { content: image(three) })
    await messages.update('chat', 'a', { content: image(three) })
    expect(await blobs.inline((await messages.get('chat', 'a'))?.content)).toEqual(image(three))
    expect(await blobs.stats()).toMatchObject({ count: 6, contents: 3 })
    // Without an id, each append is another message.
    await messages.append('chat', { role: 'user', content: image(three) })
    await messages.append('chat', { role: 'user', content: image(three) })
    expect(await blobs.stats()).toMatchObject({ count: 8, contents: 3 })
    expect(await blobs.verify()).toMatchObject({ ok: true })
  })

  it('the blobs are stored with the transaction of their message, or not at all', async () => {
    await using storage = await open({ blobStore: LIMIT })
    const before = await storage.blobs.stats()
    const data = picture()
    const append = (fail: boolean) =>
      storage.transaction(async (tx) => {
        const message = await tx.messages.append('tx', { id: 'm', role: 'user', content: image(data) })
        expect(await tx.blobs.inline(message.content)).toEqual(image(data))
        const inner = tx.transaction(async (savepoint) => {
          await savepoint.messages.append('tx', { id: 'n', role: 'user', content: image(picture()) })
          throw new Error('of the savepoint')
        })
        await expect(inner).rejects.toThrow('of the savepoint')
        await tx.messages.put('tx', [{ id: 'm', role: 'user', content: image(data) }])
        if (fail) throw new Error('of the program')
      })
    await expect(append(true)).rejects.toThrow('of the program')
    expect(await storage.blobs.stats()).toEqual(before)
    await append(false)
    await append(false)
    expect((await storage.blobs.stats()).count).toBe(before.count + 1)
    expect(await storage.blobs.inline((await storage.messages.get('tx', 'm'))?.content)).toEqual(image(data))
    expect(await storage.blobs.verify()).toMatchObject({ ok: true })
  })

  it('a blob lives as long as a message names it, and the blob of an append that failed goes later', async () => {
    const storage = await open({ blobStore: LIMIT })
    const before = await storage.blobs.stats()
    const data = picture()
    const message = await storage.messages.append('life', { id: 'm', role: 'user', content: image(data) })
    const failing = storage.messages.replace('life', { afterSeq: 0, expectLastSeq: 9 }, [
      { id: 'n', role: 'user', content: image(picture()) },
    ])
    await expect(failing).rejects.toMatchObject({ code: 'VERSION_CONFLICT' })
    expect((await storage.blobs.stats()).count).toBe(before.count + 2)
    const olderThan = new Date(Date.now() + 2 * DAY)
    await storage.blobs.cleanup({ olderThan })
    const [uri = ''] = namesIn(message)
    expect((await storage.blobs.bytes(uri)).equals(data)).toBe(true)
    const { count } = await storage.blobs.stats()
    if (!(name in SEPARATE_RECORDS)) {
      await expect(storage.blobs.delete(uri)).rejects.toMatchObject({ code: 'BLOB_IN_USE' })
    }
    await storage.messages.delete('life', ['m'])
    await storage.blobs.cleanup({ olderThan })
    expect((await storage.blobs.stats()).count).toBe(count - 1)
    expect(await storage.blobs.exists(uri)).toBe(false)
    await storage.close()
  })
})

const sqlite = (): StorageConfig => {
  const directory = freshDirectory()
  return {
    database: { type: 'sqlite', path: join(directory, 'a.db') },
    blobStore: { type: 'local', storePath: join(directory, 'blobs'), ...LIMIT },
  }
}
const openLocal = () => openStorage(sqlite(), quiet)

const data = picture()
const base64 = data.toString('base64')
const svg = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(`<svg>${'ü'.repeat(2000)}</svg>`)}`
const inOpenAI = { role: 'user', content: [{ type: 'image_url', image_url: { url: uriOf(data), detail: 'low' } }] }
const audio = { role: 'assistant', content: null, audio: { id: 'a', data: base64, transcript: 'Hi', expires_at: 1 } }
const generated = { type: 'image_generation_call', id: 'i', status: 'completed', result: base64 }
const inputFile = { type: 'input_file', filename: 'a.pdf', file_data: uriOf(data, 'application/pdf') }
const toolResult = {
  type: 'tool-result',
  toolCallId: 'c',
  toolName: 'shot',
  output: { type: 'content', value: [{ type: 'media', data: base64, mediaType: 'image/png' }] },
}
const plain = (content: object[]): MessageInput => ({ role: 'user', content: content as { type: string }[] }) // each has a type

/** Messages as frameworks have them, what stores each, and what gives it back. */
const SHAPES: Record<string, [MessageInput, ((message: never) => unknown)?, unknown?]> = {
  'a UIMessage of the AI SDK': (() => {
    const message = { id: 'u', role: 'user', parts: image(data), metadata: { thumbnail: uriOf(data) } }
    return [fromUIMessage(message), toUIMessage, message]
  })(),
  'a ModelMessage with bytes, a buffer, base64 and a URL': (() => {
    const file = { type: 'file', mediaType: 'application/pdf' }
    const content = [
      { ...file, data: new Uint8Array(data) },
      { ...file, data: new Uint8Array(picture()).buffer },
      { ...file, data: base64, filename: 'a.pdf' },
      { type: 'image', image: new URL(uriOf(picture())) },
    ]
    const message = { role: 'user', content }
    return [fromModelMessage(message), toModelMessage, message]
  })(),
  'a tool result of the AI SDK': [fromModelMessage({ role: 'tool', content: [toolResult] })],
  'an image in a chat of OpenAI': [fromChatMessage(inOpenAI), toChatMessage, inOpenAI],
  'sound in an answer of OpenAI': [fromChatMessage(audio), toChatMessage, audio],
  'an image that OpenAI has made': [fromResponseItem(generated), toResponseItem, generated],
  'a file in a response item': [fromResponseItem({ role: 'user', content: [inputFile] })],
  'an image of Anthropic': [
    plain([{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: base64 }, cache_control: null }]),
  ],
  'blocks of LangChain': [
    plain([
      { type: 'image', source_type: 'base64', mime_type: 'image/png', data: base64 },
      { type: 'image_url', image_url: uriOf(data) },
    ]),
  ],
  'a resource of MCP': [
    plain([{ type: 'resource', resource: { uri: 'file:///a', mimeType: 'image/png', blob: base64 } }]),
  ],
  'a percent-encoded data URI': [plain([{ type: 'file', url: svg }])],
}

it.each(Object.entries(SHAPES))('%s loses no field', async (_, [message, back, original]) => {
  await using storage = await openLocal()
  const stored = await storage.messages.append('chat', message)
  expect(namesIn(stored).length).toBeGreaterThan(0)
  expect(JSON.stringify(stored).length).toBeLessThan(1000)
  for (const uri of namesIn(stored)) {
    expect((await storage.blobs.get(uri))?.mimeType).toMatch(/^(image\/png|image\/svg\+xml|application\/)/)
  }
  const inlined = await storage.blobs.inline((await storage.messages.latest('chat', 1))[0])
  expect(inlined).toMatchObject({ content: message.content, metadata: message.metadata ?? {} })
  if (back) expect(back(inlined as never)).toEqual(original)
  // What is not inlined names its blobs, also in the place of bytes.
  if (back) expect(namesIn(back(stored as never))).toEqual(namesIn(stored))
})

it('texts, small data, data in another form and names of other blobs stay as they are', async () => {
  await using storage = await openLocal()
  const { uri } = await storage.blobs.put(picture())
  const content = [
    { type: 'text', text: uriOf(data) },
    { type: 'text', text: base64 },
    { type: 'tool-call', toolCallId: 'c', toolName: 't', input: { word: base64 } },
    { type: 'file', data: `${base64}\n`, url: uriOf(randomBytes(1000)) },
    { type: 'file', data: 'a sentence '.repeat(1000), url: `data:text/plain,${'a b'.repeat(1000)}` },
    { type: 'file', url: `data:text/plain,${'%ff'.repeat(2000)}`, data: 'https://example.org/'.repeat(100) },
    { type: 'file', data: uri, url: `blob:${'0'.repeat(32)}` },
  ]
  const message = await storage.messages.append('chat', { role: 'user', content })
  expect(message.content).toEqual(content)
  expect(await storage.blobs.inline(message)).toEqual(message)
  const asText = await storage.messages.append('chat', { role: 'user', content: uriOf(data) })
  expect(asText.content).toBe(uriOf(data))
  expect(await storage.blobs.stats()).toMatchObject({ count: 1 })
})

it('without offloadAboveBytes messages keep their data', async () => {
  await using storage = await openStorage({}, quiet)
  const { content } = await storage.messages.append('chat', { role: 'user', content: image(data) })
  expect(content).toEqual(image(data))
  expect(await storage.blobs.stats()).toMatchObject({ count: 0 })
})

it('any JSON comes back as it was', async () => {
  await using storage = await openStorage({ blobStore: { type: 'in-memory', offloadAboveBytes: 8 } }, quiet)
  const bytes = fc.uint8Array({ maxLength: 40 }).map((all) => Buffer.from(all))
  const value = fc.oneof(
    fc.json().map((text) => JSON.parse(text)),
    bytes.map((all) => all.toString('base64')),
    bytes.map((all) => uriOf(all, 'a/b')),
    fc.tuple(fc.constantFrom('data:,', 'data:a/b,', 'data:;x=y,'), fc.string()).map(([prefix, text]) => prefix + text),
    fc.string({ unit: 'grapheme' }).map((text) => `data:,${encodeURIComponent(text)}`),
  )
  const key = fc.constantFrom('data', 'url', 'text', 'image', '$bytes', '__proto__', 'result')
  const part = fc.array(fc.tuple(key, fc.oneof(value, fc.array(value))), { maxLength: 5 }).map((entries) => {
    return Object.fromEntries([['type', 'x'], ...entries.map(([k, v]) => [k, v])])
  })
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 4 }), async (parts) => {
      const content = JSON.parse(JSON.stringify(parts))
      const message = await storage.messages.append('chat', { role: 'user', content })
      expect(await storage.blobs.inline(message.content)).toEqual(content)
    }),
    { numRuns: rounds(150, 5000) },
  )
})

it('data is not replaced if the way back would give another text', () => {
  const options = { aboveBytes: 4, mayBeBare: true }
  for (const text of ['QUJDREVG', 'data:a/b;base64,QUJDREVG', 'data:,abcdef']) {
    const found = dataOf(text, options)
    expect(found && textOf(found)).toBe(text)
  }
  for (const text of [
    'QUJDREV',
    'QUJDREU',
    'QUJDREVH=',
    'data:a/b;base64,QUJD REVG',
    'data:,a%62cdef',
    'data:,a%ff%ff%ff%ff',
  ])
    expect(dataOf(text, options)).toBeUndefined()
})

it('data that does not fit fails the append by its code, and leaves nothing', async () => {
  const limits = { ...LIMIT, maxBlobSize: 5000, maxTotalSize: 8000 }
  await using storage = await openStorage({ blobStore: { type: 'in-memory', ...limits } }, quiet)
  const append = (bytes: Buffer) => storage.messages.append('chat', { role: 'user', content: image(bytes) })
  await expect(append(randomBytes(6000))).rejects.toMatchObject({ code: 'BLOB_TOO_LARGE', retryable: false })
  await append(randomBytes(5000))
  await expect(append(randomBytes(4000))).rejects.toMatchObject({ code: 'BLOB_QUOTA_EXCEEDED' })
  expect(await storage.messages.latest('chat', 10)).toHaveLength(1)
  expect(await storage.blobs.stats()).toMatchObject({ count: 1, bytes: 5000 })
})

it('messages that outlive the data are refused at open', async () => {
  const { database } = sqlite()
  await expect(openStorage({ database, blobStore: { type: 'in-memory', ...LIMIT } }, quiet)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    details: { problems: [{ path: 'blobStore.offloadAboveBytes' }] },
  })
})

it('the blobs belong to the owner of the session, go with the session, and are erased', async () => {
  await using storage = await openLocal()
  const [ada, bob] = [storage.scope({ ownerId: 'ada' }), storage.scope({ ownerId: 'bob' })]
  // The same message of two owners: neither takes the other's blob.
  for (const scope of [ada, bob]) await scope.messages.append('main', { id: 'm', role: 'user', content: image(data) })
  await storage.messages.append('lone', { id: 'm', role: 'user', content: image(data) })
  await ada.sessions.create({ id: 'adas' })
  await storage.messages.append('adas', { id: 'm', role: 'user', content: image(data) })
  expect(await storage.blobs.stats()).toMatchObject({ count: 4, contents: 1 })
  const read = async (of: Storage | StorageScope, id: string) =>
    of.blobs.inline((await of.messages.latest(id, 1))[0]?.content)
  expect(await read(ada, 'main')).toEqual(image(data))
  expect(await read(ada, 'adas')).toEqual(image(data))
  const [adas] = await ada.messages.latest('main', 1)
  expect(await bob.blobs.inline(adas)).toEqual(adas)

  await storage.sessions.update('lone', { ownerId: 'bob' })
  expect(await read(bob, 'lone')).toEqual(image(data))
  await storage.erase({ ownerId: 'bob' })
  expect((await storage.blobs.list({ ownerId: 'bob' })).items).toEqual([])
  expect(await read(ada, 'main')).toEqual(image(data))
  await storage.erase({ ownerId: 'ada' })
  expect(await storage.blobs.stats()).toMatchObject({ count: 0, contents: 0 })
})

it('the blobs are exported and imported with their messages, also those of a fork', async () => {
  await using storage = await openLocal()
  await storage.messages.append('chat', { role: 'user', content: image(data) })
  await storage.sessions.fork('chat', { id: 'copy' })
  await storage.sessions.delete('chat')
  const directory = join(freshDirectory(), 'archive')
  await storage.export(directory, { sessionId: 'copy' })
  await using other = await openLocal()
  await importInto(other, directory)
  const [message] = await other.messages.latest('copy', 1)
  expect(await other.blobs.inline(message?.content)).toEqual(image(data))
})

it('a cleanup of everything unused leaves the blobs of a message that is being stored', async () => {
  await using slow = await serve({
    fault: ({ headers }) => (headers['content-length'] === '5000' ? { delayMillis: 1000 } : undefined),
  })
  const { database } = sqlite()
  await using storage = await openStorage({ database, blobStore: { ...slow.config, ...LIMIT } }, quiet)
  const content = [...image(randomBytes(3000)), ...image(randomBytes(5000))]
  const appended = storage.messages.append('chat', { role: 'user', content })
  await vi.waitFor(async () => expect((await storage.blobs.stats()).count).toBe(1), 5000)
  await storage.blobs.cleanup({ olderThan: new Date() })
  expect(await storage.blobs.inline((await appended).content)).toEqual(content)
  const now = Date.now()
  for (const { lastUsedAt } of (await storage.blobs.list()).items) expect(lastUsedAt.getTime()).toBeLessThanOrEqual(now)
})
