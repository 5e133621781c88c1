import type { RowCache } from '../cache/row-cache.ts'

/** What every repository is given beside its database handle. */
export interface RepositoryContext {
  /** The clock that stamps rows and decides what has expired. */
  now(): Date
  readonly cache: RowCache
  /** Called when something was kept that ought to outlive the process, where it does not. */
  willBeLost?(): void
}
