import type { ResolvedCache, ResolvedConfig } from '../config/resolve.ts'
import type { Database } from '../database/database.ts'
import { databaseIdentity } from '../database/identity.ts'
import { schemaHash } from '../database/migrate.ts'
import type { Logger } from '../logger.ts'
import { CacheAside } from './cache-aside.ts'
import { MemoryCacheStore } from './memory.ts'
import type { CacheStore } from './store.ts'

/**
 * Opens the configured cache store.
 *
 * @throws {DRIVER_MISSING} when ioredis is not installed
 * @throws {CONNECTION_FAILED} when Redis answers and refuses the user, the password or the database
 */
export async function openCacheStore(
  config: ResolvedCache,
  { logger, now }: { logger: Logger; now: () => number },
): Promise<CacheStore> {
  if (config.type === 'in-memory') return new MemoryCacheStore({ ...config, now })
  const { RedisCacheStore } = await import('./redis/store.ts')
  return RedisCacheStore.open(config, { logger })
}

/** TTL of the memory cache in front of PostgreSQL, where writes by other instances go unnoticed. */
const UNNOTICED_WRITES_TTL_MILLIS = 5000

/** Puts the cache store in front of the database's rows, within the bounds that the two of them demand. */
export async function openCacheAside(
  store: CacheStore,
  { cache: config, database: { type } }: ResolvedConfig,
  database: Database,
  logger: Logger,
  now: () => number,
): Promise<CacheAside> {
  const options = { ...cacheLimits(config), now }
  if (config.type === 'redis') {
    // The Redis may also serve other databases, and other versions of these tables.
    const namespace = `${await databaseIdentity(database)}:${schemaHash(database.dialect)}:`
    return new CacheAside(store, { ...options, namespace })
  }
  // SQLite tells when another process has written the file.
  if (type === 'sqlite') return new CacheAside(store, { ...options, dataVersion: () => database.driver.dataVersion() })
  if (type === 'in-memory') return new CacheAside(store, options)
  const ttlMillis = options.ttlMillis ?? UNNOTICED_WRITES_TTL_MILLIS
  logger.warn('A cache in memory learns of no other instance: with several on this PostgreSQL, configure Redis', {
    ttlMillis,
  })
  return new CacheAside(store, { ...options, ttlMillis })
}

/** The configured bounds of a cached value. */
export function cacheLimits({ maxValueBytes, ttlSeconds }: ResolvedCache): {
  maxValueBytes: number
  ttlMillis?: number
} {
  return { maxValueBytes, ...(ttlSeconds !== undefined && { ttlMillis: ttlSeconds * 1000 }) }
}
