import { openStorage, type Storage, type StorageScope } from 'holdfast'
import postgres from 'postgres'
import { expect, onTestFinished, test, vi } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

/** Calls on a session, and what they return, or change, if the session is bob's when they come to it. */
const calls: Record<string, { call: (storage: Storage) => Promise<unknown>; returned: unknown }> = {
  'sessions.delete': { call: ({ sessions }) => sessions.delete('s'), returned: true },
  'sessions.update': {
    call: ({ sessions }) => sessions.update('s', { title: 'new' }),
    returned: { title: 'new', ownerId: 'bob' },
  },
  'sessions.update with an owner': {
    call: ({ sessions }) => sessions.update('s', { ownerId: 'eve' }),
    returned: { ownerId: 'eve' },
  },
  'sessions.mergeMetadata': {
    call: ({ sessions }) => sessions.mergeMetadata('s', { n: 1 }),
    returned: { metadata: { n: 1 }, ownerId: 'bob' },
  },
  'sessions.fork': {
    call: ({ sessions }) => sessions.fork('s', { id: 'copy' }),
    returned: { parentId: 's', messageCount: 1, ownerId: 'bob' },
  },
}

test.each(Object.entries(calls))(
  '%s of the storage itself finds a session that is given away while the call waits for it',
  async (_, { call, returned }) => {
    const url = await freshPostgres()
    const config = { database: { type: 'postgres', url } } as const
    await using storage = await openStorage(config, quiet)
    await using other = await openStorage(config, quiet)
    const sql = postgres(url, { max: 1 })
    onTestFinished(() => sql.end())
    await other.scope({ ownerId: 'ada' }).messages.append('s', { role: 'user', content: 'hers' })
    const called = await other.transaction(async (tx) => {
      await tx.sessions.update('s', { ownerId: 'bob' })
      const pending = call(storage)
      pending.catch(() => {}) // it is awaited below
      const waiting = () => sql`select from pg_stat_activity where cardinality(pg_blocking_pids(pid)) > 0`
      await vi.waitFor(async () => expect(await waiting()).toHaveLength(1), 10_000)
      return { pending }
    })
    const result = await called.pending
    if (typeof returned === 'object') expect(result).toMatchObject(Object(returned))
    else expect(result).toBe(returned)
    expect(await storage.scope({ ownerId: 'ada' }).sessions.get('s')).toBeUndefined()
  },
)

/** Writes of what a session has, which need not exist, and reads of what they have written. */
const writes: Record<
  string,
  [write: (storage: Storage) => Promise<unknown>, read: (of: StorageScope) => Promise<unknown>]
> = {
  'approvals.setState': [({ approvals }) => approvals.setState(1, 's'), ({ approvals }) => approvals.getState('s')],
  'toolPreferences.setPreferences': [
    ({ toolPreferences }) => toolPreferences.setPreferences({}, 's'),
    ({ toolPreferences }) => toolPreferences.getPreferences('s'),
  ],
}

test.each(Object.keys(writes).flatMap((name) => ["ada's", 'absent'].map((cached) => [name, cached] as const)))(
  '%s writes for the owner of now if the process has cached the session as %s',
  async (name, cached) => {
    const config = { database: { type: 'postgres', url: await freshPostgres() } } as const
    await using storage = await openStorage(config, quiet)
    await using other = await openStorage(config, quiet)
    if (cached === "ada's") await other.sessions.create({ id: 's', ownerId: 'ada' })
    await storage.sessions.get('s')
    if (cached === "ada's") await other.sessions.update('s', { ownerId: 'bob' })
    else await other.sessions.create({ id: 's', ownerId: 'bob' })
    const [write, read] = writes[name] ?? expect.fail()
    await write(storage)
    expect(await read(other.scope({ ownerId: 'bob' }))).toBeDefined()
  },
)

test('messages.append stores data for the owner of now if the process has cached the session with an earlier owner', async () => {
  const database = { type: 'postgres', url: await freshPostgres() } as const
  const config = { database, blobStore: { type: 'database', offloadAboveBytes: 10 } } as const
  await using storage = await openStorage(config, quiet)
  await using other = await openStorage(config, quiet)
  await other.sessions.create({ id: 's', ownerId: 'ada' })
  await storage.sessions.get('s')
  await other.sessions.update('s', { ownerId: 'bob' })
  const data = Buffer.alloc(1000, 'x').toString('base64')
  const content = [{ type: 'image', image: `data:image/png;base64,${data}` }]
  await storage.messages.append('s', { role: 'user', content })
  const bob = other.scope({ ownerId: 'bob' })
  expect((await bob.blobs.list()).items).toHaveLength(1)
})
