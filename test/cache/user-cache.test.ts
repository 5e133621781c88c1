import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, inject, it, vi } from 'vitest'
import { MemoryCacheStore } from '../../src/cache/memory.ts'
import type { CacheStore } from '../../src/cache/store.ts'
import { UserCache } from '../../src/cache/user-cache.ts'
import { startRedis } from '../setup/servers.ts'
import { openRedis } from './redis-fixture.ts'

const backends: [name: string, open: () => Promise<CacheStore>][] = [
  ['in memory', async () => new MemoryCacheStore()],
  ['Redis', () => openRedis({ url: inject('redisUrl'), options: { keyPrefix: `${randomUUID()}:` } })],
]

describe.each(backends)('UserCache on %s', (_name, open) => {
  const openValues = async (options = {}) => new UserCache(await open(), { ttlMillis: 60_000, ...options })

  it('get() returns a copy of the JSON that was set, null included', async () => {
    const values = await openValues()
    const given = { list: [1, { a: null }], text: 'ü\0\ud800', gone: undefined }
    await values.set('a', given)
    given.list.push(2)
    const got = await values.get('a')
    expect(got).toStrictEqual({ list: [1, { a: null }], text: 'ü\0\ud800' })
    expect(await values.get('a')).not.toBe(got)
    expect(await values.get('absent')).toBeUndefined()
  })

  it.each([null, false, 0, '', [[]], 'N', 'L'])('get() returns %j if that was set', async (value) => {
    const values = await openValues()
    await values.set('b', value)
    expect(await values.get('b')).toStrictEqual(value)
  })

  it('getMany() returns the keys that exist', async () => {
    const values = await openValues()
    await values.set('a', 1)
    await values.set('c', null)
    expect(await values.getMany(['c', 'b', 'a'])).toEqual(
      new Map([
        ['c', null],
        ['a', 1],
      ]),
    )
    expect(await values.getMany([])).toEqual(new Map())
  })

  it('delete() returns true if the key existed', async () => {
    const values = await openValues()
    await values.set('a', 1)
    expect(await values.delete('a')).toBe(true)
    expect(await values.delete('a')).toBe(false)
    expect(await values.get('a')).toBeUndefined()
  })

  it('get() finds a value until its TTL has passed, also if that is a fraction of a second', async () => {
    const values = await openValues({ ttlMillis: 50 })
    await values.set('short', 1)
    await values.set('shorter', 1, { ttlSeconds: 0.05 })
    await values.set('long', 1, { ttlSeconds: 3_155_760_000 })
    await sleep(80)
    expect(await values.getMany(['short', 'shorter', 'long'])).toEqual(new Map([['long', 1]]))
  })

  it('set() removes the earlier value if the new value is too large', async () => {
    const values = await openValues({ maxValueBytes: 100 })
    await values.set('a', 'small')
    await values.set('a', 'x'.repeat(100))
    expect(await values.get('a')).toBeUndefined()
  })

  it.each<[key: string, value: unknown, options?: object]>([
    ['', 1],
    ['\ud800', 1],
    ['a', undefined],
    ['a', Number.NaN],
    ['a', new Date(0)],
    ['a', 2, { ttlSeconds: 0 }],
    ['a', 2, { ttl: 5 }],
  ])('set(%j, %s, %j) rejects and changes nothing', async (key, value, options) => {
    const values = await openValues()
    await values.set('a', 1)
    await expect(values.set(key, value, options)).rejects.toMatchObject({ code: 'INVALID_INPUT' })
    expect(await values.get('a')).toBe(1)
  })

  it('get() and getMany() reject an empty key', async () => {
    const values = await openValues()
    await expect(values.get('')).rejects.toMatchObject({ code: 'INVALID_INPUT' })
    await expect(values.getMany(['a', ''])).rejects.toMatchObject({ code: 'INVALID_INPUT' })
  })
})

describe('UserCache on a Redis that freezes', () => {
  it('get() never returns a value that was replaced or deleted during the outage', async () => {
    const server = await startRedis()
    const cache = await openRedis({ url: server.url, options: { commandTimeoutMillis: 100 } })
    const values = new UserCache(cache, { ttlMillis: 60_000 })
    await values.set('a', 'old')
    await values.set('b', 'old')
    server.freeze()
    await values.set('a', 'new')
    expect(await values.delete('b')).toBe(false)
    expect(await values.get('a')).toBeUndefined()
    server.thaw()
    await vi.waitFor(() => expect(cache.stats().breaker).toBe('closed'), { timeout: 5000 })
    expect(await values.get('a')).not.toBe('old')
    expect(await values.get('b')).toBeUndefined()
    await values.set('a', 'newest')
    expect(await values.get('a')).toBe('newest')
    await server.stop()
  })
})

it('get() and getMany() take an entry that nobody can read for absent, and remove it', async () => {
  const store = new MemoryCacheStore()
  const cache = new UserCache(store)
  await cache.set('good', 1)
  store.put('own:bad', 'V{', 60_000)
  store.put('own:worse', 'V', 60_000)
  expect(await cache.get('bad')).toBeUndefined()
  expect(await cache.getMany(['good', 'bad', 'worse'])).toEqual(new Map([['good', 1]]))
  expect([store.lookup('own:bad'), store.lookup('own:worse')]).toEqual([null, null])
})
