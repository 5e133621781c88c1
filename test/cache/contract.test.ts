import { randomUUID } from 'node:crypto'
import { describe, expect, inject, it } from 'vitest'
import { MemoryCacheStore } from '../../src/cache/memory.ts'
import { RedisCacheStore } from '../../src/cache/redis/store.ts'
import { BYPASS } from '../../src/cache/store.ts'
import { cacheContract } from '../../src/testing/cache-contract.ts'
import { redisConfig } from './redis-fixture.ts'

describe('in memory', () => {
  for (const { name, run } of cacheContract(async () => new MemoryCacheStore())) it(name, run)
})

describe('Redis', () => {
  // A long timeout, so that a busy machine is not taken for an outage.
  const options = { keyPrefix: `${randomUUID()}:`, commandTimeoutMillis: 20_000 }
  const open = () => RedisCacheStore.open(redisConfig({ url: inject('redisUrl'), options }))
  for (const { name, run } of cacheContract(open)) it(name, run)
})

/** Announces a write by removing what the keys hold: a reader may take a lease and fill a key before the write is done. */
class RemovesOnly extends MemoryCacheStore {
  async announce(keys: readonly string[]): Promise<void> {
    this.remove(keys)
  }
}

/** Keeps readers from the keys that were announced, and never lets them back. */
class RefusesForever extends MemoryCacheStore {
  readonly #announced = new Set<string>()
  async announce(keys: readonly string[]): Promise<void> {
    for (const key of keys) this.#announced.add(key)
    this.remove(keys)
  }
  override claim(key: string, lease: string, ttlMillis: number): string {
    return this.#announced.has(key) ? BYPASS : super.claim(key, lease, ttlMillis)
  }
}

/** Lets readers back when the first of two writers is done. */
class ForgetsTheSecond extends MemoryCacheStore {
  readonly #announced = new Set<string>()
  async announce(keys: readonly string[]): Promise<void> {
    super.remove(keys)
    for (const key of keys) this.#announced.add(key)
  }
  override claim(key: string, lease: string, ttlMillis: number): string {
    return this.#announced.has(key) ? BYPASS : super.claim(key, lease, ttlMillis)
  }
  override remove(keys: readonly string[]): number {
    for (const key of keys) this.#announced.delete(key)
    return super.remove(keys)
  }
}

it.each([RemovesOnly, RefusesForever, ForgetsTheSecond])(
  'cacheContract() finds an announce() that is wrong: %o',
  async (Store) => {
    const failed: string[] = []
    for (const { name, run } of cacheContract(async () => new Store())) await run().catch(() => failed.push(name))
    expect(failed).toEqual(['announce(), if there is one, keeps readers from answers and leases until remove()'])
  },
)
