import type { ResolvedCache } from '../config/resolve.ts'
import type { Logger } from '../logger.ts'
import { MemoryCache } from './memory.ts'
import type { Cache } from './store.ts'

/** Opens the configured cache. Errors: DRIVER_MISSING, CONNECTION_FAILED where Redis is there and refuses. */
export async function openCache(
  config: ResolvedCache,
  { logger, now }: { logger: Logger; now: () => number },
): Promise<Cache> {
  if (config.type === 'in-memory') return new MemoryCache({ ...config, now })
  const { RedisCache } = await import('./redis/store.ts')
  return RedisCache.open(config, { logger })
}
