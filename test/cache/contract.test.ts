import { randomUUID } from 'node:crypto'
import { describe, inject, it } from 'vitest'
import { MemoryCacheStore } from '../../src/cache/memory.ts'
import { RedisCacheStore } from '../../src/cache/redis/store.ts'
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
