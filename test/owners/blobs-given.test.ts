import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { openStorage, type Storage, type StorageScope } from 'holdfast'
import { describe, expect, test } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

const databases = {
  SQLite: async () => ({ type: 'sqlite', path: join(freshDirectory(), 'a.db') }) as const,
  PostgreSQL: async () => ({ type: 'postgres', url: await freshPostgres() }) as const,
}
const url = `data:image/png;base64,${randomBytes(100).toString('base64')}`

describe.each(Object.entries(databases))('%s', (_, configure) => {
  /** Opens a storage with a chat of the owner `ada` that has a picture, and a fork of the chat. */
  async function openForked() {
    const blobStore = { type: 'database', offloadAboveBytes: 50 } as const
    const storage = await openStorage({ database: await configure(), blobStore }, quiet)
    const [ada, bob] = [storage.scope({ ownerId: 'ada' }), storage.scope({ ownerId: 'bob' })]
    await ada.messages.append('chat', { id: 'm', role: 'user', content: [{ type: 'file', url }] })
    await ada.sessions.fork('chat', { id: 'fork' })
    return { storage, ada, bob }
  }

  const pictureIn = async ({ blobs, messages }: Storage | StorageScope, id: string) =>
    (await blobs.inline((await messages.latest(id, 1))[0]?.content)) as unknown

  test.each([
    ['chat', 'fork'],
    ['fork', 'chat'],
  ])('the data of a chat and its fork goes along when both are given, %s first', async (...order) => {
    const { storage, ada, bob } = await openForked()
    await using _storage = storage
    await storage.sessions.update(order[0], { ownerId: 'bob' })
    const [left] = await ada.messages.latest(order[1], 1)
    expect(await ada.blobs.inline(left?.content)).toEqual([{ type: 'file', url }])
    await storage.sessions.update(order[1], { ownerId: 'bob' })
    await storage.erase({ ownerId: 'ada' })
    for (const id of order) expect(await pictureIn(bob, id)).toEqual([{ type: 'file', url }])
  })

  test('the data of a fork goes along when its original has been deleted', async () => {
    const { storage, ada, bob } = await openForked()
    await using _storage = storage
    await ada.sessions.delete('chat')
    await storage.sessions.update('fork', { ownerId: 'bob' })
    await storage.erase({ ownerId: 'ada' })
    expect(await pictureIn(bob, 'fork')).toEqual([{ type: 'file', url }])
  })
})
