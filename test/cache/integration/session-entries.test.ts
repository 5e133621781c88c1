import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isStorageError, openStorage, type Storage, type StorageConfig } from 'holdfast'
import { describe, expect, it, onTestFinished } from 'vitest'
import { freshDirectory, freshPostgres, redisPrefix, redisUrl } from '../../setup/databases.ts'
import { quiet } from '../../setup/silent.ts'

// The deletion of a session removes its entries without naming their keys, so nothing invalidates them: they must not be cached.

const redis = () => ({ type: 'redis', url: redisUrl(), options: { keyPrefix: redisPrefix() } }) as const
const file = () => ({ type: 'sqlite', path: join(freshDirectory(), 'agent.db') }) as const
const postgres = async () => ({ type: 'postgres', url: await freshPostgres() }) as const

/** Each cache with two instances on one database, if the cache may have them. */
const configurations: Record<string, () => Promise<StorageConfig>> = {
  'in memory': async () => ({}),
  'in memory on SQLite': async () => ({ database: file() }),
  'in memory with notices on PostgreSQL': async () => ({
    database: await postgres(),
    cache: { type: 'in-memory', options: { invalidation: 'notify', ttlSeconds: 3600 } },
  }),
  'Redis on SQLite': async () => ({ database: file(), cache: redis() }),
  'Redis on PostgreSQL': async () => ({ database: await postgres(), cache: redis() }),
}

async function openTwo(config: StorageConfig, clock: { now: () => Date }): Promise<[Storage, Storage]> {
  const open = async () => {
    const storage = await openStorage(config, { ...quiet, ...clock })
    onTestFinished(() => storage.close())
    return storage
  }
  const one = await open()
  return [one, config.database === undefined ? one : await open()]
}

describe.each(Object.entries(configurations))('entries of a session, with the cache %s', (_, configure) => {
  it('are not read again once their session is deleted, has expired or is replaced', async () => {
    let millis = Date.now()
    const [one, two] = await openTwo(await configure(), { now: () => new Date(millis) })
    const found = async () => {
      const values: unknown[] = []
      for (const storage of [one, two]) {
        for (let i = 0; i < 3; i++) values.push(await storage.kv.get('k'), (await storage.kv.getEntry('k'))?.value)
        expect(await storage.kv.has('k')).toBe(values.at(-1) !== undefined)
      }
      return [...new Set(values)]
    }
    for (const id of ['deleted', 'in a transaction', 'expired', 'swept']) {
      await one.sessions.create({ id, expiresAt: new Date(millis + 60_000) })
      await one.kv.set('k', id, { sessionId: id })
      await expect.poll(() => two.kv.get('k')).toBe(id) // the notice of the write may be on its way
      expect(await found()).toEqual([id])
      if (id === 'deleted') await two.sessions.delete(id)
      else if (id === 'in a transaction') await two.transaction((tx) => tx.sessions.delete(id))
      else millis += 60_000
      if (id === 'swept') {
        millis += 600_000
        await two.maintain()
      }
      expect(await found()).toEqual([undefined])
    }
    // The session of an id that is used again is another one.
    await one.sessions.create({ id: 'deleted' })
    expect(await found()).toEqual([undefined])
  })

  it('are cached again when they go with no session any more', async () => {
    const [one, two] = await openTwo(await configure(), { now: () => new Date() })
    await one.sessions.create({ id: 's' })
    await one.kv.set('k', 'bound', { sessionId: 's' })
    expect(await one.kv.get('k')).toBe('bound')
    for (let i = 0; i < 3; i++) expect(await two.kv.get('k')).toBe('bound')
    expect((await two.stats()).cache.hits).toBe(0)
    await two.kv.set('k', 'free')
    const isCached = async () => {
      expect(await two.kv.get('k')).toBe('free')
      return (await two.stats()).cache.hits
    }
    await expect.poll(isCached).toBeGreaterThan(0)
    await two.kv.set('k', 'bound again', { sessionId: 's' })
    for (let i = 0; i < 3; i++) expect(await two.kv.get('k')).toBe('bound again')
    await two.sessions.delete('s')
    expect(await two.kv.get('k')).toBeUndefined()
  })

  it('are found by their new owner, whose cache knew that they are absent', async () => {
    const [one, two] = await openTwo(await configure(), { now: () => new Date() })
    await one.sessions.create({ id: 's' })
    for (const key of ['a', 'b']) await one.kv.set(key, key, { sessionId: 's' })
    const ada = two.scope({ ownerId: 'ada' })
    for (let i = 0; i < 3; i++) expect([await ada.kv.get('a'), await ada.kv.get('b')]).toEqual([undefined, undefined])
    await two.sessions.update('s', { ownerId: 'ada' })
    expect([await ada.kv.get('a'), await ada.kv.get('b')]).toEqual(['a', 'b'])
    expect(await two.kv.get('a')).toBeUndefined()
  })

  it('are found by their new owner, also if they were written while the session was given away', async () => {
    const [one, two] = await openTwo(await configure(), { now: () => new Date() })
    const ada = two.scope({ ownerId: 'ada' })
    const keys = Array.from({ length: 40 }, (_, i) => `k${i}`)
    await one.sessions.create({ id: 's' })
    for (const key of keys) expect(await ada.kv.get(key)).toBeUndefined()
    const written: string[] = []
    const writing = async (some: string[]) => {
      for (const key of some) {
        const done = await one.kv.set(key, 1, { sessionId: 's' }).catch((error: unknown) => error)
        if (!isStorageError(done)) written.push(key)
        else expect(done.code).toBe('NOT_FOUND')
      }
    }
    await Promise.all([
      writing(keys.slice(0, 20)),
      writing(keys.slice(20)),
      sleep(3).then(() => two.sessions.update('s', { ownerId: 'ada' })),
    ])
    const found = await Promise.all(keys.map(async (key) => ((await ada.kv.get(key)) === 1 ? [key] : [])))
    expect(found.flat().sort()).toEqual(written.sort())
  })
})
