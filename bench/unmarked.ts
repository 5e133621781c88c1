import type { CacheStore, CacheStoreStats } from 'holdfast'
import type { Redis } from 'ioredis'

/**
 * A cache store in Redis without marks, written by hand: a write commits, removes the entry of its row, and is
 * acknowledged. If the writer dies in between, others read the old row.
 */
export class UnmarkedStore implements CacheStore {
  readonly type = 'unmarked'
  readonly #redis: Redis

  constructor(redis: Redis) {
    this.#redis = redis
  }

  lookup(key: string): Promise<string | null> {
    return this.#redis.get(key)
  }

  lookupMany(keys: readonly string[]): Promise<(string | null)[]> {
    return this.#redis.mget(...keys)
  }

  async claim(key: string, lease: string, ttlMillis: number): Promise<string> {
    return (await this.#redis.set(key, lease, 'PX', ttlMillis, 'NX', 'GET')) ?? lease
  }

  async fill(key: string, _lease: string, entry: string, ttlMillis: number): Promise<boolean> {
    await this.put(key, entry, ttlMillis)
    return true
  }

  async put(key: string, entry: string, ttlMillis: number): Promise<void> {
    await this.#redis.set(key, entry, 'PX', ttlMillis)
  }

  remove(keys: readonly string[]): Promise<number> {
    return this.#redis.unlink(...keys)
  }

  async ping(): Promise<void> {
    await this.#redis.ping()
  }

  stats(): CacheStoreStats {
    return { type: this.type }
  }

  async close(): Promise<void> {
    this.#redis.disconnect()
  }
}
