import type { ResolvedCache } from '../config/resolve.ts'
import type { Logger } from '../logger.ts'
import type { Reply } from '../reply.ts'
import type { Cache } from './cache.ts'
import { MemoryCache } from './memory.ts'

/** Opens the configured cache. Errors: DRIVER_MISSING, CONNECTION_FAILED where Redis is there and refuses. */
export function openCache(config: ResolvedCache, { logger, now }: { logger: Logger; now: () => number }): Reply<Cache> {
  if (config.type === 'in-memory') return new MemoryCache({ ...config, now })
  return import('./redis.ts').then(({ RedisCache }) => RedisCache.open(config, { logger }))
}
