import { openStorage, type Storage } from 'holdfast'
import { HoldfastKeyv } from 'holdfast/keyv'
import { afterAll, beforeAll, describe } from 'vitest'
import { eachDatabase } from '../repositories/databases.ts'
import { redisPrefix, redisUrl } from '../setup/databases.ts'
import { silent } from '../setup/silent.ts'

interface KeyvStore {
  storage(): Storage
  store(): HoldfastKeyv
  /** Returns the keys below the store that begin with a prefix, in their order. */
  keys(prefix: string): Promise<string[]>
}

/**
 * Defines the same tests for all that a store of Keyv may be over: `kv` on each database, and the cache in memory and in
 * Redis.
 */
export function eachKeyvStore(define: (store: KeyvStore) => void): void {
  eachDatabase((open) => {
    const storage = opened(open)
    define({
      storage,
      store: () => new HoldfastKeyv(storage().kv),
      keys: async (prefix) => (await storage().kv.keys({ prefix, limit: 1000 })).items,
    })
  })
  const caches = {
    'in-memory': () => ({}),
    redis: () => ({ cache: { type: 'redis', url: redisUrl(), options: { keyPrefix: redisPrefix() } } }) as const,
  }
  describe.each(Object.entries(caches))('the %s cache', (_, configure) => {
    const storage = opened(() => openStorage(configure(), { logger: silent }))
    define({
      storage,
      store: () => new HoldfastKeyv(storage().cache),
      async keys(prefix) {
        const keys = new Set<string>()
        for await (const key of storage().cache.keys({ prefix })) keys.add(key)
        return [...keys].sort().slice(0, 1000)
      },
    })
  })
}

function opened(open: () => Promise<Storage>): () => Storage {
  let storage: Storage
  beforeAll(async () => {
    storage = await open()
  })
  afterAll(() => storage.close())
  return () => storage
}
