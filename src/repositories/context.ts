import type { Db } from '../database/db.ts'
import type { Reply } from '../reply.ts'

/** What every repository is given beside its database handle. */
export interface RepositoryContext {
  /** The clock that stamps rows and decides what has expired. */
  now(): Date
  readonly cache: RowCache
  /** Called when something was kept that ought to outlive the process, where it does not. */
  willBeLost?(): void
}

/** A row as the cache knows it. */
export type RowKey = readonly [table: string, id: string]

/** Reads a row, through another handle than the repository's own if it is given one. */
export type Load<T> = (db?: Db) => Promise<T | undefined>

/** What a write found in the place of its rows and left alone, or put there. */
export interface Found {
  /** Whether this write put it there, as far as is known. */
  isNew: boolean
  /** Another one for what comes in its place later. Not needed of a cache that is not shared. */
  name?: string
}

/** The cache in front of point reads, as repositories see it; inside a transaction it is bypassed. */
export interface RowCache {
  /** Whether other processes fill and read it. */
  readonly isShared: boolean
  /** The row, from the cache or from `load`; undefined where there is none. `expiresAt` bounds how long it is kept. */
  read<T extends object>(table: string, id: string, load: Load<T>): Reply<T | undefined>
  /**
   * Runs a write, then forgets these rows before it is acknowledged; in a transaction, after the commit. Not
   * where `found` tells from the result that the write left alone what is there, and this was forgotten once before. What
   * failed without a known outcome counts as a change.
   */
  write<T>(rows: readonly RowKey[], work: () => Promise<T>, found?: (result: T) => Found): Promise<T>
}

/** No cache: every read loads. */
export const withoutCache: RowCache = {
  isShared: false,
  read: (_table, _id, load) => load(),
  write: (_rows, work) => work(),
}
