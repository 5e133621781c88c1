/** A value, or a promise of it. The memory cache answers synchronously: a promise costs as much as its answer. */
export type MaybePromise<T> = T | Promise<T>

/**
 * What a key holds: `V` and a value, `N` for a row that is known to be absent, or `L` and the token of the one reader
 * that may fill the key.
 */
export type Entry = string

export const VALUE = 'V'
export const ABSENT: Entry = 'N'
export const LEASE = 'L'

/** A lease that nobody holds: read the database and fill nothing. Also what a cache says that cannot be reached. */
export const BYPASS: Entry = LEASE

/** Whether the entry answers a read: a value, or the knowledge that there is none. */
export function isAnswer(entry: Entry | null): entry is Entry {
  return entry !== null && (entry[0] === VALUE || entry === ABSENT)
}

/** Whether an instant has come. The clock is not asked where there is none: it costs as much as looking up a key. */
export function isOver(instant: number, now: () => number): boolean {
  return instant !== Number.POSITIVE_INFINITY && instant <= now()
}

/**
 * A place that keeps entries for a while, as the cache-aside protocol and the program's own values need it. It may
 * forget any entry at any time, and fails open: nothing here rejects but `ping`. Times are milliseconds; `Infinity` is
 * a time to live without end, where the cache can bound itself otherwise.
 */
export interface CacheStore {
  readonly type: 'in-memory' | 'redis'

  /** What the key holds, null if nothing; {@link BYPASS} where that cannot be told. */
  lookup(key: string): MaybePromise<Entry | null>

  /** The same for several keys, in their order. */
  lookupMany(keys: readonly string[]): MaybePromise<(Entry | null)[]>

  /** Puts `lease` where the key holds nothing, in one step; what the key holds then, or {@link BYPASS}. */
  claim(key: string, lease: Entry, ttlMillis: number): MaybePromise<Entry>

  /** Replaces `lease` by `entry`, in one step; false, and nothing changed, if the key holds anything else by now. */
  fill(key: string, lease: Entry, entry: Entry, ttlMillis: number): MaybePromise<boolean>

  /** Holds the entry from now on, whatever was there. Where that fails, nobody gets the earlier one from here either. */
  put(key: string, entry: Entry, ttlMillis: number): MaybePromise<void>

  /**
   * Removes values and leases alike; how many keys held something. Where that fails, this process does not read the
   * keys again before they are gone.
   */
  remove(keys: readonly string[]): MaybePromise<number>

  /** Resolves when it answers. Errors: CONNECTION_LOST, TIMEOUT. */
  ping(): Promise<void>

  stats(): CacheStoreStats

  /** Leaves no connection and no timer. Safe to repeat; what is called afterwards finds an empty cache. */
  close(): Promise<void>
}

export interface CacheStoreStats {
  type: CacheStore['type']
  /** In memory: how many entries there are, leases included, and the bytes of their keys and texts. */
  entries?: number
  bytes?: number
  /** Redis: `open` while it is not asked, `half-open` while it is being cleaned of what changed meanwhile. */
  breaker?: BreakerState
  /** Redis: keys that were written while it could not be told. */
  dirtyKeys?: number
  /** Redis: commands it refused, such as writes while it is out of memory. */
  refusals?: number
}

export type BreakerState = 'closed' | 'open' | 'half-open'
