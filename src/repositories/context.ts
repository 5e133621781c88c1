import type { RowCache } from '../cache/row-cache.ts'

/** What every repository gets besides its database handle. */
export interface RepositoryContext {
  /** Returns the current time, which stamps rows and decides what has expired. */
  now(): Date
  /** The cache of point reads. A write of rows that it may hold goes through it. */
  readonly cache: RowCache
  /** Called after a memory was created. Warns if the database is in memory: the memory is lost with the process. */
  onMemoryCreated(): void
}
