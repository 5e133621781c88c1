import { afterEach } from 'vitest'
import { RedisCacheStore, type RedisCacheStoreOptions } from '../../src/cache/redis/store.ts'
import { resolveConfig } from '../../src/config/resolve.ts'
import type { ResolvedRedisCache } from '../../src/config/resolved.ts'
import type { StorageConfig } from '../../src/config/types.ts'
import type { Logger } from '../../src/logger.ts'

type RedisSection = Omit<Extract<NonNullable<StorageConfig['cache']>, { type: 'redis' }>, 'type'>

/** Resolves a Redis section of the configuration. */
export function redisConfig(section: RedisSection): ResolvedRedisCache {
  const { cache } = resolveConfig({ cache: { type: 'redis', ...section } })
  if (cache.type !== 'redis') throw new Error('not reached')
  return cache
}

const opened: RedisCacheStore[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map((cache) => cache.close()))
})

/** Opens a cache. It is closed when the test ends. */
export async function openRedis(section: RedisSection, options: RedisCacheStoreOptions = {}): Promise<RedisCacheStore> {
  const cache = await RedisCacheStore.open(redisConfig(section), options)
  opened.push(cache)
  return cache
}

/** Returns a logger that records its lines. */
export function recordingLogger() {
  const lines: { level: string; message: string; details: Record<string, unknown> }[] = []
  const at =
    (level: string) =>
    (message: string, details: Record<string, unknown> = {}) => {
      lines.push({ level, message, details })
    }
  const logger: Logger = { info: at('info'), warn: at('warn'), error: at('error') }
  return { logger, lines }
}
