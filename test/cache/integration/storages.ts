import { openStorage, type Storage, type StorageConfig, type StorageOptions } from 'holdfast'
import { afterEach } from 'vitest'
import { redisPrefix, redisUrl } from '../../setup/databases.ts'
import { silent } from '../../setup/silent.ts'

export const cacheConfigs: Record<string, () => NonNullable<StorageConfig['cache']>> = {
  memory: () => ({ type: 'in-memory' }),
  redis: () => ({ type: 'redis', url: redisUrl(), options: { keyPrefix: redisPrefix() } }),
}

const opened: Storage[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map((storage) => storage.close()))
})

/** A storage without timers of its own that is closed when the test ends. */
export async function open(config: StorageConfig, options: StorageOptions = {}): Promise<Storage> {
  const storage = await openStorage(config, { maintenance: false, logger: silent, ...options })
  opened.push(storage)
  return storage
}

/** What the cache has answered, and what it has not. */
export async function answers(storage: Storage): Promise<{ hits: number; misses: number }> {
  const { hits, negativeHits, misses, bypasses } = (await storage.stats()).cache
  return { hits: hits + negativeHits, misses: misses + bypasses }
}
