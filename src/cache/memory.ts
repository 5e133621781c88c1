import { LRUCache } from 'lru-cache'
import { type CacheEntry, type CacheStore, type CacheStoreStats, isOver } from './store.ts'

export interface MemoryCacheStoreOptions {
  /** Number of entries. Beyond it, the least recently used one is evicted. Default 10,000. */
  maxEntries?: number
  /**
   * Bytes that keys and entries take on the heap, as estimated. Beyond it, least recently used ones are evicted. Default 64
   * MiB.
   */
  maxBytes?: number
  /** Returns milliseconds since the epoch. Default `Date.now`. */
  now?: () => number
}

/** What an entry takes beside its texts: two string headers, the object that holds it, and its places in the LRU. */
const ENTRY_BYTES = 200

/** Returns what V8 keeps a text in: a byte a character if all of them are Latin-1, else two. */
function heapBytes(text: string): number {
  return BEYOND_LATIN1.test(text) ? 2 * text.length : text.length
}

const BEYOND_LATIN1 = /[\u0100-\uffff]/

interface Held {
  entry: CacheEntry
  expiresAt: number
}

/** A cache store in the memory of this process. It holds serialised text, never a caller's object. */
export class MemoryCacheStore implements CacheStore {
  readonly type = 'in-memory'
  readonly #bounds: { max?: number; maxSize: number }
  readonly #now: () => number
  #lru: LRUCache<string, Held> | undefined

  constructor({ maxEntries = 10_000, maxBytes = 67_108_864, now = Date.now }: MemoryCacheStoreOptions = {}) {
    // The LRU allocates for `max` entries at once: leave it out if no more than these fit anyway.
    this.#bounds = { maxSize: maxBytes, ...(maxEntries < maxBytes / ENTRY_BYTES && { max: maxEntries }) }
    this.#now = now
  }

  /** Created on first use: the LRU allocates for all entries at once, which takes longer than the rest of opening. */
  get #held(): LRUCache<string, Held> {
    this.#lru ??= new LRUCache({
      ...this.#bounds,
      sizeCalculation: ({ entry }, key) => ENTRY_BYTES + heapBytes(key) + heapBytes(entry),
    })
    return this.#lru
  }

  lookup(key: string): CacheEntry | null {
    const held = this.#held.get(key)
    // No sweep: an expired entry is overwritten by its next reader, or evicted as the least recently used.
    return held === undefined || isOver(held.expiresAt, this.#now) ? null : held.entry
  }

  lookupMany(keys: readonly string[]): (CacheEntry | null)[] {
    return keys.map((key) => this.lookup(key))
  }

  claim(key: string, lease: CacheEntry, ttlMillis: number): CacheEntry {
    const entry = this.lookup(key)
    if (entry !== null) return entry
    this.put(key, lease, ttlMillis)
    return lease
  }

  fill(key: string, lease: CacheEntry, entry: CacheEntry, ttlMillis: number): boolean {
    if (this.lookup(key) !== lease) return false
    this.put(key, entry, ttlMillis)
    return true
  }

  put(key: string, entry: CacheEntry, ttlMillis: number): void {
    this.#held.set(key, { entry, expiresAt: this.#now() + ttlMillis })
  }

  remove(keys: readonly string[]): number {
    let removed = 0
    for (const key of keys) {
      if (this.lookup(key) !== null) removed++
      this.#held.delete(key)
    }
    return removed
  }

  async *keys(prefix: string): AsyncGenerator<string[], void, void> {
    yield this.#withPrefix(prefix)
  }

  clear(prefix: string): number {
    return this.remove(this.#withPrefix(prefix))
  }

  async ping(): Promise<void> {}

  stats(): CacheStoreStats {
    return { type: this.type, entries: this.#held.size, bytes: this.#held.calculatedSize }
  }

  async close(): Promise<void> {
    this.#lru = undefined
  }

  #withPrefix(prefix: string): string[] {
    const keys: string[] = []
    for (const [key, { expiresAt }] of this.#held.entries()) {
      if (key.startsWith(prefix) && !isOver(expiresAt, this.#now)) keys.push(key)
    }
    return keys
  }
}
