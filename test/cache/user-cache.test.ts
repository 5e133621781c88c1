import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, inject, it, onTestFinished, vi } from 'vitest'
import { MemoryCacheStore } from '../../src/cache/memory.ts'
import type { CacheStore } from '../../src/cache/store.ts'
import { UserCache } from '../../src/cache/user-cache.ts'
import { StorageError } from '../../src/errors.ts'
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

  it('has() returns true if get() would return a value', async () => {
    const values = await openValues()
    await values.set('a', null)
    await values.set('short', 1, { ttlSeconds: 0.03 })
    await sleep(60)
    expect([await values.has('a'), await values.has('short'), await values.has('none')]).toEqual([true, false, false])
    await expect(values.has('')).rejects.toMatchObject({ code: 'INVALID_INPUT' })
  })

  it('keys() and clear() concern the keys of one owner with a prefix, and no rows', async () => {
    const store = await open()
    const owners = [undefined, 'a', 'ab', 'a*', '*', '[ab]', 'own:'].map(
      (owner) => new UserCache(store, { ttlMillis: 60_000, ...(owner !== undefined && { owner }) }),
    )
    const keys = ['a', 'a*b', 'axb', 'a?', '[ab]', 'ключ']
    await store.put('id:hash:1:kv:a', 'Vrow', 60_000)
    for (const values of owners) for (const key of keys) await values.set(key, 1)
    for (const values of owners) {
      expect(await listed(values)).toEqual(keys.toSorted())
      expect(await listed(values, 'a')).toEqual(['a', 'a*b', 'a?', 'axb'])
      expect(await listed(values, 'a*')).toEqual(['a*b'])
      expect(await values.clear({ prefix: 'a*' })).toBe(1)
      expect(await values.clear({ prefix: '[ab]' })).toBe(1)
      expect(await listed(values)).toEqual(['a', 'a?', 'axb', 'ключ'])
    }
    for (const values of owners) {
      expect(await values.clear()).toBe(4)
      expect(await listed(values)).toEqual([])
    }
    expect(await store.lookup('id:hash:1:kv:a')).toBe('Vrow')
  })

  it('keys() and clear() reject an option that is not valid, and a closed storage', async () => {
    const values = await openValues()
    for (const options of [{ prefix: '\0' }, { prefix: 1 }, { limit: 5 }] as object[]) {
      await expect(values.keys(options).next()).rejects.toMatchObject({ code: 'INVALID_INPUT' })
      await expect(values.clear(options)).rejects.toMatchObject({ code: 'INVALID_INPUT' })
    }
    let isClosed = false
    const closing = await openValues({
      check: () => {
        if (isClosed) throw new StorageError('CLOSED', 'The storage is closed')
      },
    })
    await closing.set('a', 1)
    isClosed = true
    await expect(closing.keys().next()).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(closing.clear()).rejects.toMatchObject({ code: 'CLOSED' })
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

  it('clear() and keys() wait for one timeout, and no value that was cleared meanwhile is read again', async () => {
    const server = await startRedis()
    onTestFinished(() => server.stop())
    // With a short connection timeout a probe gives up a silent connection within a second.
    const section = { url: server.url, connectionTimeoutMillis: 500, options: { commandTimeoutMillis: 100 } }
    const cache = await openRedis(section)
    const elsewhere = new UserCache(await openRedis({ url: server.url }), { ttlMillis: 60_000 })
    const values = new UserCache(cache, { ttlMillis: 60_000 })
    const keys = Array.from({ length: 200 }, (_, i) => `a:${i}`)
    for (const key of [...keys, 'b:1', 'b:2', 'kept']) await values.set(key, 'old')
    server.freeze()
    const begun = performance.now()
    expect(await values.clear({ prefix: 'a:' })).toBe(0)
    expect(await listed(values, 'b:')).toEqual([])
    expect(performance.now() - begun).toBeLessThan(2000) // 20 s if each key waits
    // Redis answers again, and the breaker has never been open: what was cleared is hidden until it is removed.
    const wasClosed = cache.stats().breaker === 'closed'
    server.thaw()
    expect(wasClosed).toBe(true)
    expect(await values.getMany([...keys, 'kept'])).toEqual(new Map([['kept', 'old']]))
    expect(await listed(values)).toEqual(['b:1', 'b:2', 'kept'])
    await expectWell(cache)
    expect(await elsewhere.get('a:1')).toBeUndefined()
    expect(await listed(values)).toEqual(['b:1', 'b:2', 'kept'])

    server.freeze()
    for (let i = 0; i < 3; i++) await values.get('kept')
    expect(cache.stats().breaker).toBe('open')
    const again = performance.now()
    for (let i = 0; i < 20; i++) expect([await values.clear({ prefix: 'b:' }), await listed(values)]).toEqual([0, []])
    expect(performance.now() - again).toBeLessThan(1500) // 4 s if each call waits
    await values.set('b:2', 'new')
    await sleep(1500) // the first probe gives up the silent connection
    server.thaw()
    await expectWell(cache)
    expect(await values.getMany(['b:1', 'b:2', 'kept'])).toEqual(new Map([['kept', 'old']]))
    expect(await listed(elsewhere)).toEqual(['kept'])
    await values.set('b:1', 'newest')
    expect(await values.get('b:1')).toBe('newest')
  })
})

async function expectWell(cache: CacheStore): Promise<void> {
  const isWell = () => expect(cache.stats()).toMatchObject({ breaker: 'closed', dirtyKeys: 0 })
  await vi.waitFor(isWell, { timeout: 10_000 })
}

/** Returns the keys in their order, each once. */
async function listed(values: UserCache, prefix?: string): Promise<string[]> {
  const keys = new Set<string>()
  for await (const key of values.keys({ prefix })) keys.add(key)
  return [...keys].sort()
}

it('get() and getMany() take an entry that nobody can read for absent, and remove it', async () => {
  const store = new MemoryCacheStore()
  const cache = new UserCache(store)
  await cache.set('good', 1)
  store.put('own:\0bad', 'V{', 60_000)
  store.put('own:\0worse', 'V', 60_000)
  expect(await cache.get('bad')).toBeUndefined()
  expect(await cache.getMany(['good', 'bad', 'worse'])).toEqual(new Map([['good', 1]]))
  expect([store.lookup('own:\0bad'), store.lookup('own:\0worse')]).toEqual([null, null])
})
