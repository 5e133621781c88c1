import { randomUUID } from 'node:crypto'
import {
  type CacheMessage,
  type CacheResult,
  cacheAccesses,
  noteCacheResult,
  traced,
} from '../observability/channels.ts'
import type { DatabaseCounters } from '../observability/counters.ts'
import { decode, encode } from './row-codec.ts'
import { SingleFlight } from './single-flight.ts'
import type { MaybePromise } from './store.ts'
import { ABSENT, BYPASS, type CacheEntry, type CacheStore, isAnswer, isOver, LEASE, MARK, VALUE } from './store.ts'

/** Longer than a load takes. A load that takes even longer only loses its lease, and so does not fill. */
const LEASE_MILLIS = 10_000
/** Short, because there is no limit to the number of absent ids, and another load of one is cheap. */
const ABSENT_MILLIS = 30_000
/** How long a write whose outcome is unknown may still commit: the database may go on with it after its connection was lost. */
const UNKNOWN_MILLIS = 30_000
/** Largest random reduction of a TTL, so that entries filled together do not expire together. */
const JITTER = 0.1

/** What an entry decodes to that this version did not write. */
const UNREADABLE = Symbol('unreadable')

export interface CacheAsideOptions {
  /** Prefix of every key. Separates databases, and versions of their tables, that share a store. Default none. */
  namespace?: string
  /** TTL of an entry, in milliseconds. Default none, which is correct only if every write invalidates its rows here. */
  ttlMillis?: number
  /** A row whose entry has more bytes is not cached. Default 1 MiB. */
  maxValueBytes?: number
  /**
   * Returns a number that changes when another process commits. It is part of every key of the table, so entries from
   * before such a commit are not found again. For an in-memory store over a database that other processes write.
   */
  dataVersion?: (table: string) => number
  /** Returns false while commits of other processes may go unnoticed: then reads bypass the cache. Default always true. */
  isCurrent?: () => boolean
  /** Counts the answers of the process, besides those of this cache. */
  counters?: DatabaseCounters['cache']
  /** Returns milliseconds since the epoch, which decide what has expired. Default `Date.now`. */
  now?: () => number
}

export interface CacheAsideStats {
  /** Reads that the cache answered with a row. */
  hits: number
  /** Reads that the cache answered with "absent". */
  negativeHits: number
  /** Reads that found no entry, or the lease of another reader. */
  misses: number
  /** Reads that could not ask the cache, or whose row is too large for it. */
  bypasses: number
  /** Reads of the database. Readers of one process share a load. */
  loads: number
  /** Loads that the cache stored. */
  fills: number
  /** Loads that the cache did not store, because the key was invalidated or evicted after the lease was taken. */
  rejectedFills: number
}

/** Result of a load: the serialised entry if several readers share it, else the row. */
type Loaded<T> = { entry: CacheEntry } | { row: T }

/**
 * The cache-aside protocol for point reads: after a write was acknowledged, no read returns the row from before it.
 *
 * A reader that finds no entry takes a lease on the key before it reads the database, and fills the key only while it
 * holds the lease. A writer invalidates the key, value or lease, after its commit and before it acknowledges. So every
 * fill stores a row that is as new as the last acknowledged write. Eviction, expiry and FLUSHALL end a lease as a write
 * does: the only effect is a rejected fill.
 */
export class CacheAside {
  readonly #cache: CacheStore
  readonly #namespace: string
  readonly #ttlMillis: number
  readonly #maxValueBytes: number
  readonly #dataVersion: ((table: string) => number) | undefined
  readonly #isCurrent: () => boolean
  readonly #now: () => number
  readonly #counters: DatabaseCounters['cache'] | undefined
  readonly #singleFlight = new SingleFlight<Loaded<object | undefined>>()
  readonly #stats = { hits: 0, negativeHits: 0, misses: 0, bypasses: 0, loads: 0, fills: 0, rejectedFills: 0 }

  constructor(cache: CacheStore, options: CacheAsideOptions = {}) {
    this.#cache = cache
    this.#namespace = options.namespace ?? ''
    this.#ttlMillis = options.ttlMillis ?? Number.POSITIVE_INFINITY
    this.#maxValueBytes = options.maxValueBytes ?? 1_048_576
    this.#dataVersion = options.dataVersion
    this.#isCurrent = options.isCurrent ?? (() => true)
    this.#now = options.now ?? Date.now
    this.#counters = options.counters
  }

  /**
   * Returns a fresh copy of the row, or undefined if the row is absent or its `expiresAt` has passed. `load` must see
   * every earlier commit: it reads from the primary, outside of any transaction. Rejects only with the errors of
   * `load`.
   */
  read<T extends object>(table: string, id: string, load: () => Promise<T | undefined>): MaybePromise<T | undefined> {
    if (!cacheAccesses.hasSubscribers) return this.#read(table, id, load)
    const message: CacheMessage = { store: this.#cache.type, method: 'read', table, keys: 1 }
    return traced(cacheAccesses, message, () => this.#read(table, id, load, message))
  }

  #read<T extends object>(
    table: string,
    id: string,
    load: () => Promise<T | undefined>,
    message?: CacheMessage,
  ): MaybePromise<T | undefined> {
    const key = this.#key(table, id)
    // 1. Look the key up. A hit costs one round trip; the in-memory store answers without a promise.
    const held = this.#isCurrent() ? this.#cache.lookup(key) : BYPASS
    if (typeof held === 'string' || held === null) return this.#answer(key, held, load, message)
    // A store of the program's own may return a promise of another realm, or of another class.
    return Promise.resolve(held).then((entry) => this.#answer(key, entry, load, message))
  }

  #answer<T extends object>(
    key: string,
    held: CacheEntry | null,
    load: () => Promise<T | undefined>,
    message: CacheMessage | undefined,
  ): MaybePromise<T | undefined> {
    if (!isAnswer(held)) {
      this.#count(held, message)
      return this.#miss(key, held, load)
    }
    const answer = this.#copy<T>(held)
    this.#count(answer === UNREADABLE ? null : held, message)
    return answer === UNREADABLE ? this.#replace(key, load) : answer
  }

  /** Removes an entry that nobody can read, and loads its row. */
  async #replace<T extends object>(key: string, load: () => Promise<T | undefined>): Promise<T | undefined> {
    await this.#cache.remove([key])
    return this.#miss(key, null, load)
  }

  async #miss<T extends object>(
    key: string,
    held: CacheEntry | null,
    load: () => Promise<T | undefined>,
  ): Promise<T | undefined> {
    // 2. On a miss one reader of this process loads; later readers share one load that begins after they came.
    const loaded = await this.#singleFlight.run(key, (shared) => this.#load(key, held, load, shared))
    // Readers of one key read the same table, so a shared row is a T, too.
    if ('row' in loaded) return loaded.row as T | undefined
    const answer = this.#copy<T>(loaded.entry)
    return answer === UNREADABLE ? load() : answer
  }

  async #load<T extends object>(
    key: string,
    held: CacheEntry | null,
    load: () => Promise<T | undefined>,
    shared: boolean,
  ): Promise<Loaded<T | undefined>> {
    // 3. Take the lease before the load: a write after this point ends the lease.
    const lease = LEASE + randomUUID()
    const claimed = isBypassed(held) ? BYPASS : await this.#cache.claim(key, lease, LEASE_MILLIS)
    if (isAnswer(claimed)) return { entry: claimed }
    // 4. Load. Without the lease (another process holds it, or the store is out of reach) fill nothing.
    this.#stats.loads++
    const row = await load()
    if (claimed !== lease && !shared) return { row }
    const entry = row === undefined ? ABSENT : VALUE + encode(row)
    // 5. Fill, if the key still holds the lease: then nothing has invalidated the key since before the load.
    if (claimed === lease) await this.#fill(key, lease, isKept(row) ? entry : BYPASS, this.#ttl(row))
    return shared ? { entry } : { row }
  }

  async #fill(key: string, lease: CacheEntry, entry: CacheEntry, ttlMillis: number): Promise<void> {
    if (ttlMillis < 1) return
    // Note that a row is too large, or not cached: its readers then skip the lease.
    const kept = Buffer.byteLength(entry) <= this.#maxValueBytes ? entry : BYPASS
    const filled = await this.#cache.fill(key, lease, kept, ttlMillis)
    this.#stats[filled ? 'fills' : 'rejectedFills']++
  }

  /**
   * Announces a write to rows, before its commit: a reader that finds the mark neither hits nor fills the key. Returns
   * undefined if the store is not shared: then nobody outlives the writer.
   *
   * @throws {CACHE_UNAVAILABLE} when the store is strict and cannot be told: at once if nothing was announced, else by
   * rejecting, and then the rows must be invalidated
   */
  announce(table: string, ids: readonly string[]): Promise<void> | undefined {
    return this.#cache.announce?.(ids.map((id) => this.#key(table, id)))
  }

  /**
   * Invalidates rows (step 6), after the commit that changed them and before the write is acknowledged. If the removal
   * fails, the store repeats it before this process reads the keys again. Never rejects. Safe to repeat.
   */
  async invalidate(table: string, ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return
    const work = async () => this.#cache.remove(ids.map((id) => this.#key(table, id)))
    if (!cacheAccesses.hasSubscribers) await work()
    else await traced(cacheAccesses, { store: this.#cache.type, method: 'invalidate', table, keys: ids.length }, work)
  }

  /**
   * Invalidates rows whose write may commit later, and keeps them out of the cache until then: a reader that loads the old row
   * meanwhile would fill the key, and nothing would invalidate it. Never rejects.
   */
  async suspend(table: string, ids: readonly string[]): Promise<void> {
    await this.invalidate(table, ids)
    await Promise.all(ids.map((id) => this.#cache.put(this.#key(table, id), BYPASS, UNKNOWN_MILLIS)))
  }

  /** Returns the counters since the cache was opened. */
  stats(): CacheAsideStats {
    return { ...this.#stats }
  }

  #key(table: string, id: string): string {
    return `${this.#namespace}${this.#dataVersion?.(table) ?? ''}:${table}:${id}`
  }

  /** Returns the TTL in milliseconds. The jitter only shortens it, and no entry outlives its row. */
  #ttl(row: object | undefined): number {
    const longest = row === undefined || !isKept(row) ? ABSENT_MILLIS : expiry(row) - this.#now()
    return Math.floor(Math.min(longest, this.#ttlMillis * (1 - JITTER * Math.random())))
  }

  #copy<T extends object>(entry: CacheEntry): T | undefined | typeof UNREADABLE {
    if (entry === ABSENT) return undefined
    let row: T
    try {
      row = decode(entry, VALUE.length) as T // a row of this table was encoded
    } catch {
      return UNREADABLE // something else has written to the key
    }
    // Do not rely on the store's TTL: its clock may be behind, or Redis may have been suspended.
    return isOver(expiry(row), this.#now) ? undefined : row
  }

  #count(held: CacheEntry | null, message: CacheMessage | undefined): void {
    let result: CacheResult = 'hit'
    if (held === ABSENT) this.#stats.negativeHits++
    else if (isBypassed(held)) {
      this.#stats.bypasses++
      result = 'bypass'
    } else if (isAnswer(held)) this.#stats.hits++
    else {
      this.#stats.misses++
      result = 'miss'
    }
    if (this.#counters !== undefined) this.#counters[result]++
    if (message !== undefined) message.result = result
    noteCacheResult(result)
  }
}

/** Returns true if nobody may claim the key: it is marked, or the store cannot tell. */
function isBypassed(held: CacheEntry | null): boolean {
  return held === BYPASS || held?.[0] === MARK
}

function expiry(row: object): number {
  return 'expiresAt' in row && row.expiresAt instanceof Date ? row.expiresAt.getTime() : Number.POSITIVE_INFINITY
}

/**
 * Returns false for a row that goes when a session goes: the deletion of a session does not name it, so nothing would
 * invalidate it.
 */
function isKept(row: object | undefined): boolean {
  return row === undefined || !('sessionId' in row) || row.sessionId === null
}
