import { openStorage, type Storage, type StorageConfig, type StorageOptions } from 'holdfast'
import { afterEach } from 'vitest'
import { redisPrefix, redisUrl } from '../../setup/databases.ts'
import { quiet } from '../../setup/silent.ts'

export const cacheConfigs: Record<string, () => NonNullable<StorageConfig['cache']>> = {
  memory: () => ({ type: 'in-memory' }),
  redis: () => ({ type: 'redis', url: redisUrl(), options: { keyPrefix: redisPrefix() } }),
}

const opened: Storage[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map((storage) => storage.close()))
})

/** Opens a storage without a log and background maintenance. It is closed when the test ends. */
export async function open(config: StorageConfig, options: StorageOptions = {}): Promise<Storage> {
  const storage = await openStorage(config, { ...quiet, ...options })
  opened.push(storage)
  return storage
}

/** Returns the number of reads that the cache has answered, and of those it has not. */
export async function answers(storage: Storage): Promise<{ hits: number; misses: number }> {
  const { hits, negativeHits, misses, bypasses } = (await storage.stats()).cache
  return { hits: hits + negativeHits, misses: misses + bypasses }
}
