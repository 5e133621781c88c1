import type { Storage, StorageConfig } from 'holdfast'
import { beforeEach, describe, expect, it } from 'vitest'
import { startLink } from '../../database/link.ts'
import { redisPrefix, redisUrl, sharedDatabases } from '../../setup/databases.ts'
import { answers, open } from './storages.ts'

const message = { role: 'user', content: 'hello' }

/** Every way to create a session. The names serve as ids. */
const creations: Record<string, (by: Storage, id: string) => Promise<unknown>> = {
  append: (by, id) => by.messages.append(id, message),
  'append of several': (by, id) => by.messages.append(id, [message, message, message]),
  create: (by, id) => by.sessions.create({ id }),
  fork: (by, id) => by.sessions.fork('original', { id }),
  transaction: (by, id) => by.transaction((tx) => tx.messages.append(id, message)),
}

/** Calls by which a process finds that the session exists. */
const discoveries: [string, (by: Storage, id: string) => Promise<unknown>][] = [
  ['messages.append', (by, id) => by.messages.append(id, message)],
  ['sessions.create', (by, id) => expect(by.sessions.create({ id })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })],
]

describe.each(sharedDatabases)(
  'the cached absence of a session that another process creates without invalidating, on %s,',
  (_name, database) => {
    let config: StorageConfig
    let storage: Storage
    beforeEach(async () => {
      const options = { keyPrefix: redisPrefix(), commandTimeoutMillis: 20_000 }
      config = { cache: { type: 'redis', url: redisUrl(), options }, database: await database() }
      storage = await open(config)
      await storage.messages.append('original', message)
    })

    /** Creates sessions without invalidation, as if the process died after its commit. */
    async function createWithoutInvalidation(ways: typeof creations): Promise<void> {
      const link = await startLink(Number(new URL(redisUrl()).port))
      const through = Object.assign(new URL(redisUrl()), { port: link.port })
      const { cache } = config
      if (cache?.type !== 'redis') throw new Error('not reached')
      const options = { ...cache.options, commandTimeoutMillis: 500 }
      const creator = await open({ ...config, cache: { ...cache, url: through.href, options } })
      link.freeze()
      for (const [id, create] of Object.entries(ways)) {
        create(creator, id).catch(() => {})
        await expect.poll(() => storage.sessions.summary(id)).toBeDefined()
      }
    }

    it.each(discoveries)('is removed by the first %s() that finds the session', async (_discovery, discover) => {
      for (const id of Object.keys(creations)) expect(await storage.sessions.get(id)).toBeUndefined()
      await createWithoutInvalidation(creations)
      for (const id of Object.keys(creations)) {
        expect(await storage.sessions.get(id)).toBeUndefined() // correct: no creation has been acknowledged
        await discover(storage, id)
        expect(await storage.sessions.get(id)).toMatchObject({ id })
      }
    })

    it('is removed once more when the session is deleted and created again', async () => {
      await storage.messages.append('s', [message, message])
      await storage.messages.append('s', message)
      const other = await open(config)
      await other.sessions.delete('s')
      expect(await storage.sessions.get('s')).toBeUndefined()
      await createWithoutInvalidation({ s: (by, id) => by.messages.append(id, [message, message, message, message]) })
      expect(await storage.sessions.get('s')).toBeUndefined()
      expect(await storage.messages.append('s', message)).toMatchObject({ seq: 5 })
      expect(await storage.sessions.get('s')).toMatchObject({ id: 's' })
    })

    it('is removed only once, so that the session stays cached while messages are appended', async () => {
      const other = await open(config)
      await other.messages.append('s', message)
      await storage.messages.append('s', message)
      await storage.sessions.get('s')
      const before = await answers(storage)
      for (let i = 0; i < 5; i++) {
        await other.messages.append('s', message)
        await storage.messages.append('s', message)
        expect(await storage.sessions.get('s')).toBeDefined()
      }
      // The other process created the session, so its own later appends invalidate nothing.
      expect(await answers(storage)).toEqual({ ...before, hits: before.hits + 5 })
    })
  },
)
