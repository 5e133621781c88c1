import type { ResolvedCache, ResolvedConfig } from '../config/resolved.ts'
import type { Database } from '../database/database.ts'
import { databaseIdentity } from '../database/identity.ts'
import { schemaHash } from '../database/migrate.ts'
import type { Logger } from '../logger.ts'
import { countersOf } from '../observability/counters.ts'
import { CacheAside } from './cache-aside.ts'
import { MemoryCacheStore } from './memory.ts'
import { Notices } from './notices.ts'
import { ENCODING } from './row-codec.ts'
import { type CacheStore, isShared } from './store.ts'

/**
 * Opens the configured cache store. If Redis cannot be reached, opens without it and uses it once it answers.
 *
 * @throws {DRIVER_MISSING} when ioredis is not installed
 * @throws {CONNECTION_FAILED} when Redis refuses the user, the password, a command or the database
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
/** TTL in a shared store of the program's own, unless another is configured: as in Redis. */
const SHARED_TTL_MILLIS = 3_600_000

/**
 * Returns the cache-aside protocol over a store, with the namespace, TTL and version check that store and database
 * require, and the notices of other instances if they are configured.
 *
 * @throws {CONNECTION_FAILED} when notices are configured and do not arrive
 */
export async function openCacheAside(
  store: CacheStore,
  { cache: config, database: databaseConfig }: ResolvedConfig,
  database: Database,
  logger: Logger,
  now: () => number,
): Promise<{ cacheAside: CacheAside; notices?: Notices }> {
  const options = { ...cacheLimits(store, config), now, counters: countersOf(database.source).cache }
  if (isShared(store)) {
    // Other databases, and other versions of these tables, may share the store.
    const namespace = `${await databaseIdentity(database)}:${schemaHash(database.dialect)}:${ENCODING}:`
    return { cacheAside: new CacheAside(store, { ...options, namespace }) }
  }
  // SQLite's data_version changes when another process has written the file.
  if (databaseConfig.type === 'sqlite') {
    return { cacheAside: new CacheAside(store, { ...options, dataVersion: () => database.driver.dataVersion() }) }
  }
  if (databaseConfig.type === 'in-memory') return { cacheAside: new CacheAside(store, options) }
  const ttlMillis = options.ttlMillis ?? UNNOTICED_WRITES_TTL_MILLIS
  if (config.type === 'in-memory' && config.invalidation === 'notify') {
    let cacheAside: CacheAside | undefined
    const { listenUrl } = config
    const notices = await Notices.open(database, {
      config: listenUrl === undefined ? databaseConfig : { ...databaseConfig, connection: { url: listenUrl } },
      logger,
      invalidate: (table, ids) => void cacheAside?.invalidate(table, ids), // until there is one, nothing is cached
    })
    const dataVersion = (table: string) => notices.version(table)
    cacheAside = new CacheAside(store, { ...options, ttlMillis, dataVersion, isCurrent: () => notices.isCurrent })
    return { cacheAside, notices }
  }
  const message =
    "An in-memory cache does not see the writes of other instances: if this PostgreSQL has several, configure Redis, or cache.options.invalidation: 'notify'"
  logger.warn(message, { component: 'cache', code: 'CACHE_PER_INSTANCE', ttlMillis })
  return { cacheAside: new CacheAside(store, { ...options, ttlMillis }) }
}

/** Returns the size limit and the TTL of a value in this store, as they are configured. */
export function cacheLimits(
  store: CacheStore,
  { maxValueBytes, ttlSeconds }: ResolvedCache,
): { maxValueBytes: number; ttlMillis?: number } {
  if (ttlSeconds !== undefined) return { maxValueBytes, ttlMillis: ttlSeconds * 1000 }
  return { maxValueBytes, ...(isShared(store) && { ttlMillis: SHARED_TTL_MILLIS }) }
}
