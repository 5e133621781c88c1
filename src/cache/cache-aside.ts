import { randomUUID } from 'node:crypto'
import { decode, encode } from './row-codec.ts'
import { SingleFlight } from './single-flight.ts'
import type { MaybePromise } from './store.ts'
import { ABSENT, BYPASS, type CacheStore, type Entry, isAnswer, isOver, LEASE, VALUE } from './store.ts'

/** Longer than loads run; one that takes longer only loses its right to fill. */
const LEASE_MILLIS = 10_000
/** Absent keys are without number, and cheap to look up again. */
const ABSENT_MILLIS = 30_000
/** The part of a time to live that chance takes off, so that what was filled together does not expire together. */
const JITTER = 0.1

export interface CacheAsideOptions {
  /** Put before every key: keeps two databases, and two versions of their tables, apart. Default none. */
  namespace?: string
  /** Longest age of an entry, in milliseconds. Default none: then the cache must learn of every write. */
  ttlMillis?: number
  /** A row whose text has more bytes is not kept. Default 1 MiB. */
  maxValueBytes?: number
  /**
   * For a cache in this process over a database that other processes write, too: a number that differs after each of
   * their commits. What was kept before is not found again.
   */
  dataVersion?: () => number
  /** Decides what has expired: milliseconds since the epoch. Default `Date.now`. */
  now?: () => number
}

export interface CacheAsideStats {
  /** Reads answered by the cache: with a row, and with the knowledge that there is none. */
  hits: number
  negativeHits: number
  /** Reads for which the cache held nothing, and those for which it could not be asked or the row is too large for it. */
  misses: number
  bypasses: number
  /** Reads of the database; the readers of one process share some. */
  loads: number
  /** Loads that the cache kept, and those it did not because the key was touched since before the load. */
  fills: number
  rejectedFills: number
}

/** What a load came to: an entry where several readers each need a copy of their own, else the row itself. */
type Loaded<T> = { entry: Entry } | { row: T }

/**
 * A cache in front of point reads that is never stale after an acknowledged write.
 *
 * A reader that finds nothing takes a lease on the key before it reads the database, and fills the key only while it
 * still holds it. A writer removes the key, value or lease, after its commit and before it acknowledges. So whoever
 * fills has read what the last acknowledged write left. Eviction, expiry and FLUSHALL run a lease away as a write does:
 * all they can do is reject a fill.
 */
export class CacheAside {
  readonly #cache: CacheStore
  readonly #namespace: string
  readonly #ttlMillis: number
  readonly #maxValueBytes: number
  readonly #dataVersion: (() => number) | undefined
  readonly #now: () => number
  readonly #singleFlight = new SingleFlight<Loaded<object | undefined>>()
  readonly #stats = { hits: 0, negativeHits: 0, misses: 0, bypasses: 0, loads: 0, fills: 0, rejectedFills: 0 }

  constructor(cache: CacheStore, options: CacheAsideOptions = {}) {
    this.#cache = cache
    this.#namespace = options.namespace ?? ''
    this.#ttlMillis = options.ttlMillis ?? Number.POSITIVE_INFINITY
    this.#maxValueBytes = options.maxValueBytes ?? 1_048_576
    this.#dataVersion = options.dataVersion
    this.#now = options.now ?? Date.now
  }

  /**
   * The row, or undefined where there is none; a copy of the caller's own. A row whose `expiresAt` has passed is absent.
   * `load` must see every commit that came before it: the primary, and never from inside the caller's transaction. Its
   * errors are the only ones.
   */
  read<T extends object>(table: string, id: string, load: () => Promise<T | undefined>): MaybePromise<T | undefined> {
    const key = this.#key(table, id)
    // 1. A hit is one round trip; in this process, it is no promise.
    const held = this.#cache.lookup(key)
    return held instanceof Promise
      ? held.then((entry) => this.#answer(key, entry, load))
      : this.#answer(key, held, load)
  }

  #answer<T extends object>(
    key: string,
    held: Entry | null,
    load: () => Promise<T | undefined>,
  ): MaybePromise<T | undefined> {
    this.#count(held)
    return isAnswer(held) ? this.#copy<T>(held) : this.#miss(key, held, load)
  }

  async #miss<T extends object>(
    key: string,
    held: Entry | null,
    load: () => Promise<T | undefined>,
  ): Promise<T | undefined> {
    // 2. Else one reader of this process loads, and those that come meanwhile wait for one load that begins after them.
    const loaded = await this.#singleFlight.run(key, (shared) => this.#load(key, held, load, shared))
    // The key's table says that the row is a T: what this `load` returned, or that of another reader of the same row.
    return 'row' in loaded ? (loaded.row as T | undefined) : this.#copy<T>(loaded.entry)
  }

  async #load<T extends object>(
    key: string,
    held: Entry | null,
    load: () => Promise<T | undefined>,
    shared: boolean,
  ): Promise<Loaded<T | undefined>> {
    // 3. The lease comes before the load, so that no write between the two goes unnoticed.
    const lease = LEASE + randomUUID()
    const claimed = held === BYPASS ? BYPASS : await this.#cache.claim(key, lease, LEASE_MILLIS)
    if (isAnswer(claimed)) return { entry: claimed }
    // 4. Without the lease, because another process has it or the cache cannot be reached, load and fill nothing.
    this.#stats.loads++
    const row = await load()
    if (claimed !== lease && !shared) return { row }
    const entry = row === undefined ? ABSENT : VALUE + encode(row)
    // 5. With it, fill if it still stands: nothing touched the key since before the load.
    if (claimed === lease) await this.#fill(key, lease, entry, this.#ttl(row))
    return shared ? { entry } : { row }
  }

  async #fill(key: string, lease: Entry, entry: Entry, ttlMillis: number): Promise<void> {
    if (ttlMillis < 1) return
    // That a row is too large is worth keeping: its readers then do not ask for a lease each time.
    const kept = Buffer.byteLength(entry) <= this.#maxValueBytes ? entry : BYPASS
    const filled = await this.#cache.fill(key, lease, kept, ttlMillis)
    this.#stats[filled ? 'fills' : 'rejectedFills']++
  }

  /**
   * 6. Forgets rows: after the commit that changed them and before it is acknowledged. A removal that fails is made up
   * for before this process reads the key again. Never rejects; safe to repeat.
   */
  async invalidate(table: string, ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.#cache.remove(ids.map((id) => this.#key(table, id)))
  }

  stats(): CacheAsideStats {
    return { ...this.#stats }
  }

  #key(table: string, id: string): string {
    return `${this.#namespace}${this.#dataVersion?.() ?? ''}:${table}:${id}`
  }

  /** Chance only shortens, and no entry outlives its row. */
  #ttl(row: object | undefined): number {
    const longest = row === undefined ? ABSENT_MILLIS : expiry(row) - this.#now()
    return Math.floor(Math.min(longest, this.#ttlMillis * (1 - JITTER * Math.random())))
  }

  #copy<T extends object>(entry: Entry): T | undefined {
    if (entry === ABSENT) return undefined
    const row = decode(entry, VALUE.length) as T // a row of this table was encoded
    // The cache's clock may be behind, and Redis may have stood still.
    return isOver(expiry(row), this.#now) ? undefined : row
  }

  #count(held: Entry | null): void {
    if (held === ABSENT) this.#stats.negativeHits++
    else if (held === BYPASS) this.#stats.bypasses++
    else if (isAnswer(held)) this.#stats.hits++
    else this.#stats.misses++
  }
}

function expiry(row: object): number {
  return 'expiresAt' in row && row.expiresAt instanceof Date ? row.expiresAt.getTime() : Number.POSITIVE_INFINITY
}
