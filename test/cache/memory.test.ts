import { describe, expect, it } from 'vitest'
import { CacheAside } from '../../src/cache/cache-aside.ts'
import { MemoryCacheStore } from '../../src/cache/memory.ts'
import { rounds } from '../setup/rounds.ts'

const MINUTE = 60_000

describe('MemoryCacheStore', () => {
  it('stays within maxEntries and maxBytes when a million different rows and absences are read', async () => {
    const cache = new MemoryCacheStore({ maxEntries: 1000, maxBytes: 200_000 })
    const aside = new CacheAside(cache)
    for (let i = 0; i < rounds(200_000, 1_000_000); i++) {
      const row = i % 3 === 0 ? undefined : { text: 'ü'.repeat(i % 500) }
      await aside.read('rows', `row${i}`, async () => row)
      if (i % 100 === 0) {
        const { entries = 0, bytes = 0 } = cache.stats()
        expect(entries).toBeLessThanOrEqual(1000)
        expect(bytes).toBeLessThanOrEqual(200_000)
      }
    }
    expect(aside.stats().rejectedFills).toBe(0)
  })

  it('stats() counts the bytes of keys and entries that are stored now', () => {
    const cache = new MemoryCacheStore()
    cache.put('kü', 'V€', MINUTE)
    expect(cache.stats()).toEqual({ type: 'in-memory', entries: 1, bytes: 3 + 4 })
    cache.put('kü', 'V', MINUTE)
    expect(cache.stats().bytes).toBe(3 + 1)
    cache.remove(['kü'])
    expect(cache.stats()).toEqual({ type: 'in-memory', entries: 0, bytes: 0 })
  })

  it('put() removes the earlier entry if the new entry is too large', () => {
    const cache = new MemoryCacheStore({ maxBytes: 100 })
    cache.put('a', 'V1', MINUTE)
    cache.put('a', `V${'x'.repeat(100)}`, MINUTE)
    expect(cache.lookup('a')).toBeNull()
  })

  it('put() evicts the least recently used entry', () => {
    const cache = new MemoryCacheStore({ maxEntries: 2 })
    cache.put('a', 'V', MINUTE)
    cache.put('b', 'V', MINUTE)
    cache.lookup('a')
    cache.put('c', 'V', MINUTE)
    expect(cache.lookupMany(['a', 'b', 'c'])).toEqual(['V', null, 'V'])
  })

  it('lookup() and claim() find an entry until its TTL has passed, to the millisecond', () => {
    let now = 1_000_000
    const cache = new MemoryCacheStore({ now: () => now })
    cache.put('a', 'V', 10)
    cache.put('b', 'V', Number.POSITIVE_INFINITY)
    now += 9
    expect(cache.lookup('a')).toBe('V')
    now += 1
    expect(cache.lookup('a')).toBeNull()
    expect(cache.claim('a', 'L1', 10)).toBe('L1')
    now += 1e12
    expect(cache.lookup('b')).toBe('V')
  })
})
