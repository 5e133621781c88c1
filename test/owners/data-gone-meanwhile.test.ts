import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { openStorage, type Storage, type StorageScope } from 'holdfast'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { serve } from '../blobs/s3/fixture.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

const HELD_BYTES = 5000
let isHeld = false

/** A bucket that takes no data of one size for a while. A client tries again. */
const bucket = await serve({
  fault: ({ headers }) =>
    isHeld && headers['content-length'] === String(HELD_BYTES)
      ? { delayMillis: 200, before: { status: 503, code: 'SlowDown' } }
      : undefined,
})
afterAll(() => bucket[Symbol.asyncDispose]())

const databases = {
  SQLite: async () => ({ type: 'sqlite', path: join(freshDirectory(), 'a.db') }) as const,
  PostgreSQL: async () => ({ type: 'postgres', url: await freshPostgres() }) as const,
}

type Content = { type: string; image: string }[]

/** Calls that store data in the message `m` of the session `chat`. */
const calls: Record<string, (of: Storage | StorageScope, content: Content) => Promise<unknown>> = {
  'messages.append': ({ messages }, content) => messages.append('chat', { id: 'm', role: 'user', content }),
  'messages.append with an operationId': ({ messages }, content) =>
    messages.append('chat', [{ role: 'user', content }], { operationId: 'o' }),
  'messages.put': ({ messages }, content) => messages.put('chat', [{ id: 'm', role: 'user', content }]),
  'messages.replace': ({ messages }, content) =>
    messages.replace('chat', { afterSeq: 0 }, [{ id: 'm', role: 'user', content }]),
}

describe.each(Object.entries(databases))('%s', (_, configure) => {
  async function open() {
    const prefix = `${randomBytes(4).toString('hex')}/`
    const blobStore = { ...bucket.config, prefix, offloadAboveBytes: 1000, options: { maxAttempts: 10 } }
    isHeld = true
    const storage = await openStorage({ database: await configure(), blobStore }, quiet)
    const [ada, bob] = [storage.scope({ ownerId: 'ada' }), storage.scope({ ownerId: 'bob' })]
    const content = [3000, HELD_BYTES].map((size) => {
      return { type: 'image', image: `data:image/png;base64,${randomBytes(size).toString('base64')}` }
    })
    /** Waits until the first blob is there, and the second is on its way. */
    const halfStored = () => vi.waitFor(async () => expect((await ada.blobs.stats()).count).toBe(1), 30_000)
    return { storage, ada, bob, content, halfStored }
  }

  const stored = async ({ messages, blobs }: StorageScope) =>
    (await blobs.inline((await messages.latest('chat', 1))[0]?.content)) as unknown

  test.each(Object.entries(calls))('%s keeps its data if its owner is erased meanwhile', async (_, call) => {
    const { storage, ada, content, halfStored } = await open()
    await using _storage = storage
    const called = call(ada, content)
    await halfStored()
    await storage.erase({ ownerId: 'ada' })
    isHeld = false
    await called
    expect(await stored(ada)).toEqual(content)
    await storage.erase({ ownerId: 'ada' })
    expect(await storage.blobs.stats()).toMatchObject({ count: 0, contents: 0, bytes: 0 })
  })

  test.each([
    ...Object.entries(calls),
    ['messages.update', ({ messages }, content) => messages.update('chat', 'before', { content })] as const,
  ] satisfies [string, (typeof calls)[string]][])(
    '%s gives its data to the owner of the session if that changes meanwhile',
    async (_, call) => {
      const { storage, ada, bob, content, halfStored } = await open()
      await using _storage = storage
      await ada.messages.append('chat', { id: 'before', role: 'user', content: 'before' })
      const called = call(storage, content)
      await halfStored()
      await storage.sessions.update('chat', { ownerId: 'bob' })
      isHeld = false
      await called
      await storage.erase({ ownerId: 'ada' })
      expect(await stored(bob)).toEqual(content)
      expect((await bob.blobs.list()).items.every(({ lastUsedAt }) => lastUsedAt.getTime() <= Date.now())).toBe(true)
    },
  )

  test('messages.import fails if data is erased before its batch is stored, and may be repeated', async () => {
    const { storage, ada, content, halfStored } = await open()
    await using _storage = storage
    const message = { sessionId: 'chat', id: 'm', role: 'user' as const, content }
    const imported = ada.messages.import([message])
    imported.catch(() => {}) // it is awaited below
    await halfStored()
    await storage.erase({ ownerId: 'ada' })
    isHeld = false
    await expect(imported).rejects.toMatchObject({ code: 'DATABASE_FAILED', retryable: true })
    expect(await ada.sessions.get('chat')).toBeUndefined()
    expect(await ada.messages.import([message])).toEqual({ added: 1, known: 0 })
    expect(await stored(ada)).toEqual(content)
  })
})
