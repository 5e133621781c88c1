import type { CacheStore, CacheStoreStats } from 'holdfast'

interface Held {
  entry: string
  expiresAt: number
}

/** A cache store as a program would write it, on the public types alone. Several stores may share a map. */
export class MapCacheStore implements CacheStore {
  readonly type: string
  readonly #entries: Map<string, Held>
  closes = 0

  constructor({ type = 'map', entries = new Map() }: { type?: string; entries?: Map<string, Held> } = {}) {
    this.type = type
    this.#entries = entries
  }

  async lookup(key: string): Promise<string | null> {
    return this.#find(key)
  }

  async lookupMany(keys: readonly string[]): Promise<(string | null)[]> {
    return keys.map((key) => this.#find(key))
  }

  async claim(key: string, lease: string, ttlMillis: number): Promise<string> {
    const entry = this.#find(key)
    if (entry === null) this.#set(key, lease, ttlMillis)
    return entry ?? lease
  }

  async fill(key: string, lease: string, entry: string, ttlMillis: number): Promise<boolean> {
    const holds = this.#find(key) === lease
    if (holds) this.#set(key, entry, ttlMillis)
    return holds
  }

  async put(key: string, entry: string, ttlMillis: number): Promise<void> {
    this.#set(key, entry, ttlMillis)
  }

  async remove(keys: readonly string[]): Promise<number> {
    return keys.filter((key) => this.#find(key) !== null && this.#entries.delete(key)).length
  }

  async *keys(prefix: string): AsyncGenerator<string[], void, void> {
    yield [...this.#entries.keys()].filter((key) => key.startsWith(prefix) && this.#find(key) !== null)
  }

  async clear(prefix: string): Promise<number> {
    let removed = 0
    for await (const keys of this.keys(prefix)) removed += await this.remove(keys)
    return removed
  }

  async ping(): Promise<void> {}

  stats(): CacheStoreStats {
    return { type: this.type, entries: this.#entries.size }
  }

  async close(): Promise<void> {
    this.closes++
    if (this.type === 'in-memory') this.#entries.clear()
  }

  #find(key: string): string | null {
    const held = this.#entries.get(key)
    return held === undefined || held.expiresAt <= Date.now() ? null : held.entry
  }

  #set(key: string, entry: string, ttlMillis: number): void {
    this.#entries.set(key, { entry, expiresAt: Date.now() + ttlMillis })
  }
}
