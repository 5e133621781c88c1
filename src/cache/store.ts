import type { Finding } from '../diagnosis/findings.ts'
import { backendSchema } from '../validation/backend.ts'

/** A value, or a promise of it. The memory cache answers synchronously: a promise costs as much as its answer. */
export type MaybePromise<T> = T | Promise<T>

/**
 * What a key holds: `V` and a value, `N` for a row that is known to be absent, or `L` and the token of the lease on the
 * key. Only the reader that took the lease may fill the key.
 */
export type CacheEntry = string

/** Prefix of an entry with a value. */
export const VALUE = 'V'
/** The entry of a row that is known to be absent. */
export const ABSENT: CacheEntry = 'N'
/** Prefix of an entry with a lease. */
export const LEASE = 'L'

/** Prefix of an entry with the marks of writers that are about to change the row. Nobody reads or fills the key. */
export const MARK = 'M'

/**
 * A lease that nobody holds: the reader loads from the database and fills nothing. An unreachable cache answers with
 * it.
 */
export const BYPASS: CacheEntry = LEASE

/** Returns true if the entry answers a read: it holds a value, or says that the row is absent. */
export function isAnswer(entry: CacheEntry | null): entry is CacheEntry {
  return entry !== null && (entry[0] === VALUE || entry === ABSENT)
}

/**
 * Returns true if the instant has come. Reading the clock costs as much as a lookup, so `Infinity` is checked first.
 */
export function isOver(instant: number, now: () => number): boolean {
  return instant !== Number.POSITIVE_INFINITY && instant <= now()
}

/**
 * Holds entries for the cache-aside protocol and for the program's own values. A store may evict any entry at any time,
 * and fails open: only `ping` and `announce` reject. A TTL is in milliseconds; `Infinity` means none, which only a store that
 * bounds its size may be given.
 */
export interface CacheStore {
  /**
   * The name of the store, which `storage.health()` reports. 'in-memory' says that the store belongs to this process
   * alone; with any other name all instances of the program share it, and it holds entries of several databases.
   */
  readonly type: 'in-memory' | 'redis' | (string & {})

  /** Returns the entry of the key, null if it has none, or {@link BYPASS} if the store cannot tell. */
  lookup(key: string): MaybePromise<CacheEntry | null>

  /** Like `lookup`, for several keys. Returns the entries in the order of the keys. */
  lookupMany(keys: readonly string[]): MaybePromise<(CacheEntry | null)[]>

  /**
   * Puts `lease` on the key if the key has no entry, in one atomic step. Returns the entry that the key has afterwards,
   * or {@link BYPASS} if the store cannot tell.
   */
  claim(key: string, lease: CacheEntry, ttlMillis: number): MaybePromise<CacheEntry>

  /**
   * Replaces `lease` by `entry`, in one atomic step. Returns false, and changes nothing, if the key no longer holds
   * `lease`.
   */
  fill(key: string, lease: CacheEntry, entry: CacheEntry, ttlMillis: number): MaybePromise<boolean>

  /** Sets the entry of the key, whatever it was. If that fails, this process does not read the earlier entry again. */
  put(key: string, entry: CacheEntry, ttlMillis: number): MaybePromise<void>

  /**
   * Announces writes to the rows of the keys: until `remove`, every reader goes to the database and fills nothing, also
   * if this process dies. If several writes of a key are announced, until the `remove` of the last of them. A store without it
   * is not shared between processes. If the store cannot be told, this process does not read the keys again until they are
   * removed.
   *
   * @throws {CACHE_UNAVAILABLE} when the store cannot be told and wants the write to fail. A call that throws at once has
   * announced nothing. `remove` follows one that rejects.
   */
  announce?(keys: readonly string[]): Promise<void>

  /**
   * Removes the entries of the keys, values and leases alike, and ends a write that was announced. Returns the number of
   * keys that had an entry. If the removal fails, this process does not read the keys again until they are removed.
   */
  remove(keys: readonly string[]): MaybePromise<number>

  /**
   * Yields the keys that begin with the prefix and have an entry, some at a time and in any order. A key that has an entry
   * throughout comes at least once. A store that cannot be reached yields no more. Without this method, `keys` of the
   * program's own cache fails.
   */
  keys?(prefix: string): AsyncIterable<readonly string[]>

  /**
   * Removes the entries of all keys that begin with the prefix and have one throughout the call. Returns the number removed. If
   * the removal fails, this process does not read such keys again until they are removed. Without this method, `clear` of
   * the program's own cache fails.
   */
  clear?(prefix: string): MaybePromise<number>

  /**
   * Resolves if the store answers.
   *
   * @throws {CONNECTION_LOST} when the store cannot be reached, or answers and is not in use
   * @throws {TIMEOUT} when the store does not answer in time
   */
  ping(): Promise<void>

  /** Returns the store's type and counters. */
  stats(): CacheStoreStats

  /** Checks what only this store knows, such as the memory of its server. For `storage.diagnose()`. */
  diagnose?(): Promise<Finding[]>

  /** Closes every connection and timer. Safe to repeat. Calls made afterwards find an empty store. */
  close(): Promise<void>
}

type Optional = 'announce' | 'keys' | 'clear' | 'diagnose'

const METHODS = {
  lookup: true,
  lookupMany: true,
  claim: true,
  fill: true,
  put: true,
  remove: true,
  ping: true,
  stats: true,
  close: true,
} as const satisfies Record<Exclude<keyof CacheStore, 'type' | Optional>, true>

export const cacheStoreSchema = backendSchema<CacheStore>(METHODS)

/** Returns true if other processes use the store, too. */
export function isShared({ type }: CacheStore): boolean {
  return type !== 'in-memory'
}

export interface CacheStoreStats {
  type: CacheStore['type']
  /** Redis: the name and the version of the server. Absent in front of a cluster, and until the server was reached. */
  server?: string
  /** In memory: number of entries, leases included. */
  entries?: number
  /** In memory: bytes of the keys and entries. */
  bytes?: number
  /** Redis: state of the circuit breaker. */
  breaker?: BreakerState
  /**
   * Redis: number of keys that were written while Redis was out of reach, and of prefixes that were cleared, and are not
   * removed yet.
   */
  dirtyKeys?: number
  /** Redis: number of commands that Redis answered with an error, for example because it is out of memory. */
  refusals?: number
}

/** `closed`: Redis is in use. `open`: it is not asked. `half-open`: keys that changed meanwhile are being removed. */
export type BreakerState = 'closed' | 'open' | 'half-open'
