import { LRUCache } from 'lru-cache'
import type { ResolvedConfig } from '../config/resolve.ts'
import { Database } from '../database/database.ts'
import { databaseIdentity } from '../database/identity.ts'
import { schemaHash } from '../database/migrate.ts'
import { StorageError } from '../errors.ts'
import type { Logger } from '../logger.ts'
import type { Reply } from '../reply.ts'
import type { Found, Load, RowCache, RowKey } from '../repositories/context.ts'
import { CacheAside } from './cache-aside.ts'
import type { Cache } from './store.ts'

/** As many conversations as a process can have going; one that it has lost sight of only loses its place in the cache. */
const MAX_FOUND = 10_000

/** The cache as the repositories of a storage use it. */
export class CachedRows implements RowCache {
  readonly isShared: boolean
  readonly #aside: CacheAside
  readonly #database: Database
  /** A handle apart: what was let in before a close may still load. */
  readonly #letIn: Database
  /** What writes found, and this process has made a shared cache forget the absence of. */
  readonly #found: LRUCache<string, true> | undefined

  constructor(aside: CacheAside, database: Database, { isShared }: { isShared: boolean }) {
    this.isShared = isShared
    this.#aside = aside
    this.#database = database
    this.#letIn = new Database(database.driver)
    if (isShared) this.#found = new LRUCache({ max: MAX_FOUND })
  }

  read<T extends object>(table: string, id: string, load: Load<T>): Reply<T | undefined> {
    // A hit asks no database, but is refused where a miss would be.
    this.#database.check()
    const answer = this.#aside.read(table, id, () => load(this.#letIn))
    // A close waits for what takes its time.
    return answer instanceof Promise ? this.#database.during(() => answer) : answer
  }

  write<T>(rows: readonly RowKey[], work: () => Promise<T>, found?: (result: T) => Found): Promise<T> {
    return this.#forgetting(() => rows, work, found)
  }

  /** Runs a transaction whose repositories use `cache`; what they touched is forgotten after the commit. */
  transaction<T>(work: (cache: RowCache) => Promise<T>): Promise<T> {
    const inside = new TransactionRows()
    return this.#forgetting(
      () => inside.touched,
      () => work(inside),
    )
  }

  /** A close waits for all of it: nobody else would tell the other processes. */
  #forgetting<T>(rows: () => Iterable<RowKey>, work: () => Promise<T>, found?: (result: T) => Found): Promise<T> {
    return this.#database.during(async () => {
      let result: T
      try {
        result = await work()
      } catch (error) {
        if (mayTellOfRows(error)) await this.#forget(rows())
        throw error
      }
      const { name, isNew } = found?.(result) ?? { isNew: true }
      // Whoever put there what this write found may not have come to forget that there was nothing, and never will if that
      // process died. Once is enough: this comes after that commit, so a read that began before has lost its lease by now,
      // and what fills the cache later has seen it.
      if (isNew || (name !== undefined && !this.#found?.get(name))) await this.#forget(rows())
      if (name !== undefined) this.#found?.set(name, true)
      return result
    })
  }

  async #forget(rows: Iterable<RowKey>): Promise<void> {
    const tables = new Map<string, Set<string>>()
    for (const [table, id] of rows) tables.set(table, (tables.get(table) ?? new Set()).add(id))
    await Promise.all(Array.from(tables, ([table, ids]) => this.#aside.invalidate(table, [...ids])))
  }
}

/** It may have been committed all the same; or what stood in its way may be news to the cache. */
function mayTellOfRows(error: unknown): boolean {
  return error instanceof StorageError && ['CONNECTION_LOST', 'ALREADY_EXISTS'].includes(error.code)
}

/** Inside a transaction reads bypass the cache, and what is touched is noted. */
class TransactionRows implements RowCache {
  readonly isShared = false // what is touched is forgotten in any case
  readonly touched: RowKey[] = []

  read<T>(_table: string, _id: string, load: Load<T>): Promise<T | undefined> {
    return load()
  }

  write<T>(rows: readonly RowKey[], work: () => Promise<T>): Promise<T> {
    this.touched.push(...rows)
    return work()
  }
}

/** What the configuration bounds a cached value by. */
export function cacheLimits({ maxValueBytes, ttlSeconds }: ResolvedConfig['cache']): {
  maxValueBytes: number
  ttlMillis?: number
} {
  return { maxValueBytes, ...(ttlSeconds !== undefined && { ttlMillis: ttlSeconds * 1000 }) }
}

/** How old a row may be that a cache of this process keeps, where other instances write and nothing tells. */
const UNTOLD_TTL_MILLIS = 5000

/** Puts the cache in front of the database's rows, bounded as the two of them demand. */
export async function openCacheAside(
  cache: Cache,
  { cache: config, database: { type } }: ResolvedConfig,
  database: Database,
  logger: Logger,
  now: () => number,
): Promise<CacheAside> {
  const options = { ...cacheLimits(config), now }
  if (config.type === 'redis') {
    // Others use it, too: for other databases, and for other versions of these tables.
    const namespace = `${await databaseIdentity(database)}:${schemaHash(database.dialect)}:`
    return new CacheAside(cache, { ...options, namespace })
  }
  // SQLite tells when another process has written the file.
  if (type === 'sqlite') return new CacheAside(cache, { ...options, dataVersion: () => database.driver.dataVersion() })
  if (type === 'in-memory') return new CacheAside(cache, options)
  const ttlMillis = options.ttlMillis ?? UNTOLD_TTL_MILLIS
  logger.warn('A cache in memory learns of no other instance: with several on this PostgreSQL, configure Redis', {
    ttlMillis,
  })
  return new CacheAside(cache, { ...options, ttlMillis })
}
