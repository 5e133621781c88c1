import { randomUUID } from 'node:crypto'
import { describe, inject, it } from 'vitest'
import { MemoryCache } from '../../src/cache/memory.ts'
import { RedisCache } from '../../src/cache/redis/store.ts'
import { cacheContract } from '../../src/testing/cache-contract.ts'
import { redisConfig } from './redis-fixture.ts'

describe('in memory', () => {
  for (const { name, run } of cacheContract(async () => new MemoryCache())) it(name, run)
})

describe('Redis', () => {
  const open = () =>
    RedisCache.open(redisConfig({ url: inject('redisUrl'), options: { keyPrefix: `${randomUUID()}:` } }))
  for (const { name, run } of cacheContract(open)) it(name, run)
})
