import { describe, expect, it } from 'vitest'
import { CacheAside } from '../../src/cache/cache-aside.ts'
import { MemoryCacheStore } from '../../src/cache/memory.ts'
import { runScript } from '../setup/processes.ts'
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
    // 200 for each entry; a byte for a Latin-1 character, two for each of a text that holds another one
    expect(cache.stats()).toEqual({ type: 'in-memory', entries: 1, bytes: 200 + 2 + 4 })
    cache.put('kü', 'V', MINUTE)
    expect(cache.stats().bytes).toBe(200 + 2 + 1)
    cache.remove(['kü'])
    expect(cache.stats()).toEqual({ type: 'in-memory', entries: 0, bytes: 0 })
  })

  it('put() removes the earlier entry if the new entry is too large', () => {
    const cache = new MemoryCacheStore({ maxBytes: 300 })
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

const texts = {
  ASCII: (size: number) => 'a'.repeat(size),
  Latin: (size: number) => 'é'.repeat(size),
  CJK: (size: number) => '東'.repeat(size),
  emoji: (size: number) => '🗝'.repeat(size / 2),
  'ASCII with one emoji': (size: number) => `${'a'.repeat(size - 2)}🗝`,
}

describe('stats() of MemoryCacheStore', () => {
  it.each(
    Object.entries(texts).flatMap(([script, text]) => [[script, 20, text] as const, [script, 2000, text] as const]),
  )('counts bytes within a factor of 1.3 of the growth of the heap: %s, %i characters', async (script, size, text) => {
    const args = [JSON.stringify(text(size)), String(Math.floor(40_000_000 / (size + 200)))]
    const [result] = await runScript<{ counted: number; grown: number }>('test/cache/programs/fill.ts', args, {
      nodeArgs: ['--expose-gc'],
    }).finished()
    const ratio = Number(result?.grown) / Number(result?.counted)
    expect(ratio, script).toBeLessThan(1.3)
    expect(ratio, script).toBeGreaterThan(0.6)
  })
})

describe('MemoryCacheStore with a large maxEntries', () => {
  it.each([64 * 2 ** 20, 64 * 2 ** 30])('allocates nothing in advance with %d maxBytes', (maxBytes) => {
    const cache = new MemoryCacheStore({ maxEntries: 2e9, maxBytes })
    cache.put('key', 'V1', MINUTE)
    expect(cache.lookup('key')).toBe('V1')
    expect(process.memoryUsage().rss).toBeLessThan(2 ** 30)
  })
})
