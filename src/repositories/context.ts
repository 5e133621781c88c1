import type { RowCache } from '../cache/row-cache.ts'
import type { Db } from '../database/db.ts'
import type { Observer } from '../observability/observed.ts'

/** What every repository gets besides its database handle. */
export interface RepositoryContext {
  /** Returns the current time, which stamps rows and decides what has expired. */
  now(): Date
  /** Returns the current time, after asking the server for it if there is one: over the given handle. */
  confirmedNow(db: Db): Promise<Date>
  /** The cache of point reads. A write of rows that it may hold goes through it. */
  readonly cache: RowCache
  /** Receives the calls of the repositories. */
  readonly observer: Observer
  /** Warns if the memory just created ends with the process, since the database is in memory. */
  onMemoryCreated(): void
}
