import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CacheStore } from '../cache/store.ts'
import type { ContractCase } from './contract.ts'

const MINUTE = 60_000

/**
 * Returns what every {@link CacheStore} must do, as cases for any test runner. Each case calls `open` once and closes the
 * store. The stores may share one server, since each case uses its own keys.
 *
 * @example
 * ```ts
 * import type { CacheStore } from 'holdfast'
 * import { cacheContract } from 'holdfast/testing'
 * const casesFor = (open: () => Promise<CacheStore>) => cacheContract(open)
 * // in a test runner: for (const { name, run } of casesFor(() => MyStore.open())) it(name, run)
 * ```
 */
export function cacheContract(open: () => Promise<CacheStore>): ContractCase[] {
  const cases: ContractCase[] = []
  const check = (name: string, body: (cache: CacheStore, key: string) => Promise<void>) => {
    const run = async () => {
      const cache = await open()
      try {
        await body(cache, `contract:${randomUUID()}`)
      } finally {
        await cache.close()
      }
    }
    cases.push({ name, run })
  }

  check('lookup() returns null, then the entry that was put last', async (cache, key) => {
    assert.equal(await cache.lookup(key), null)
    await cache.put(key, 'Vfirst', MINUTE)
    await cache.put(key, 'Vsecond', MINUTE)
    assert.equal(await cache.lookup(key), 'Vsecond')
  })

  check('lookupMany() returns each entry unchanged when keys have special characters', async (cache, key) => {
    const names = ['', ' ', ':', 'a b', '*?[x]', '\\', '\n', 'ключ', '🗝', '{tag}', 'k'.repeat(1024)]
    names.push('a', 'A', 'a ', 'é', 'e\u0301') // a collation of a database takes some of these for equal
    await Promise.all(names.map((name) => cache.put(key + name, `V${name}\r\n"\0`, MINUTE)))
    const entries = await cache.lookupMany(names.map((name) => key + name))
    assert.deepEqual(
      entries,
      names.map((name) => `V${name}\r\n"\0`),
    )
  })

  check('lookup() returns an entry of a megabyte unchanged', async (cache, key) => {
    const large = `V${'ü€🗝 '.repeat(100_000)}`
    await cache.put(key, large, MINUTE)
    assert.equal(await cache.lookup(key), large)
  })

  check(
    'lookupMany() returns entries in the order of the keys when some are absent or repeated',
    async (cache, key) => {
      await cache.put(`${key}1`, 'V1', MINUTE)
      await cache.put(`${key}3`, 'N', MINUTE)
      const entries = await cache.lookupMany([`${key}3`, `${key}2`, `${key}1`, `${key}3`])
      assert.deepEqual(entries, ['N', null, 'V1', 'N'])
      assert.deepEqual(await cache.lookupMany([]), [])
    },
  )

  check('claim() gives one reader the lease and returns the same lease to the others', async (cache, key) => {
    assert.equal(await cache.claim(key, 'Lmine', MINUTE), 'Lmine')
    assert.equal(await cache.claim(key, 'Lyours', MINUTE), 'Lmine')
    assert.equal(await cache.lookup(key), 'Lmine')
    const many = Array.from({ length: 100 }, (_, i) => `L${i}`)
    const held = await Promise.all(many.map((lease) => cache.claim(`${key}many`, lease, MINUTE)))
    assert.equal(new Set(held).size, 1)
  })

  check('claim() returns the answer if the key holds one', async (cache, key) => {
    await cache.put(key, 'Vrow', MINUTE)
    assert.equal(await cache.claim(key, 'L1', MINUTE), 'Vrow')
    await cache.put(key, 'N', MINUTE)
    assert.equal(await cache.claim(key, 'L1', MINUTE), 'N')
    assert.equal(await cache.lookup(key), 'N')
  })

  check('fill() stores an entry once, for the holder of the lease', async (cache, key) => {
    await cache.claim(key, 'Lmine', MINUTE)
    assert.equal(await cache.fill(key, 'Lyours', 'Vwrong', MINUTE), false)
    assert.equal(await cache.lookup(key), 'Lmine')
    assert.equal(await cache.fill(key, 'Lmine', 'Vrow', MINUTE), true)
    assert.equal(await cache.lookup(key), 'Vrow')
    assert.equal(await cache.fill(key, 'Lmine', 'Vagain', MINUTE), false)
    assert.equal(await cache.lookup(key), 'Vrow')
  })

  check('fill() stores nothing if the lease was removed, replaced or never given', async (cache, key) => {
    await cache.claim(key, 'L1', MINUTE)
    await cache.remove([key])
    assert.equal(await cache.fill(key, 'L1', 'Vstale', MINUTE), false)
    assert.equal(await cache.lookup(key), null)
    await cache.claim(key, 'L2', MINUTE)
    assert.equal(await cache.fill(key, 'L1', 'Vstale', MINUTE), false)
    assert.equal(await cache.lookup(key), 'L2')
    await cache.put(key, 'Vother', MINUTE)
    assert.equal(await cache.fill(key, 'L2', 'Vstale', MINUTE), false)
    assert.equal(await cache.lookup(key), 'Vother')
    assert.equal(await cache.fill(`${key}never`, 'L3', 'Vstale', MINUTE), false)
    await cache.claim(`${key}long`, 'L12', MINUTE)
    assert.equal(await cache.fill(`${key}long`, 'L1', 'Vstale', MINUTE), false)
  })

  check('fill() and remove() are atomic: whichever comes first, nothing stays', async (cache, key) => {
    const names = Array.from({ length: 50 }, (_, i) => key + i)
    await Promise.all(names.map((name) => cache.claim(name, 'L1', MINUTE)))
    await Promise.all(names.flatMap((name) => [cache.fill(name, 'L1', 'Vstale', MINUTE), cache.remove([name])]))
    assert.deepEqual(
      await cache.lookupMany(names),
      names.map(() => null),
    )
  })

  check('remove() removes values and leases and returns the number of keys that held something', async (cache, key) => {
    await cache.put(`${key}v`, 'V1', MINUTE)
    await cache.claim(`${key}l`, 'L1', MINUTE)
    assert.equal(await cache.remove([`${key}v`, `${key}l`, `${key}none`]), 2)
    assert.deepEqual(await cache.lookupMany([`${key}v`, `${key}l`]), [null, null])
    assert.equal(await cache.remove([`${key}v`]), 0)
    assert.equal(await cache.remove([]), 0)
    const many = Array.from({ length: 1200 }, (_, i) => key + i)
    await Promise.all(many.map((name) => cache.put(name, 'V', MINUTE)))
    assert.deepEqual(new Set(await cache.lookupMany(many)), new Set(['V']))
    assert.equal(await cache.remove(many), 1200)
  })

  check('announce(), if there is one, keeps readers from answers and leases until remove()', async (cache, key) => {
    if (cache.announce === undefined) return
    const keys = [`${key}v`, `${key}l`, `${key}none`]
    await cache.put(`${key}v`, 'Vold', MINUTE)
    await cache.claim(`${key}l`, 'Lold', MINUTE)
    await cache.announce(keys)
    for (const name of keys) {
      assert.notEqual(await cache.claim(name, 'Lnew', MINUTE), 'Lnew')
      for (const lease of ['Lold', 'Lnew']) assert.equal(await cache.fill(name, lease, 'Vstale', MINUTE), false)
      assert.doesNotMatch((await cache.lookup(name)) ?? '', /^V|^N$/)
    }
    await cache.announce([`${key}v`])
    await cache.remove([`${key}v`])
    assert.notEqual(await cache.claim(`${key}v`, 'Lnew', MINUTE), 'Lnew', 'another write is still announced')
    await cache.remove(keys)
    for (const name of keys) {
      assert.equal(await cache.claim(name, 'Lnext', MINUTE), 'Lnext')
      assert.equal(await cache.fill(name, 'Lnext', 'Vrow', MINUTE), true)
    }
  })

  check('lookupMany() returns null for values and leases whose TTL has passed', async (cache, key) => {
    await cache.put(`${key}v`, 'V1', 60)
    await cache.claim(`${key}l`, 'L1', 60)
    await cache.claim(`${key}f`, 'L1', MINUTE)
    await cache.fill(`${key}f`, 'L1', 'V1', 60)
    await cache.put(`${key}again`, 'V1', 60)
    await cache.put(`${key}again`, 'V2', MINUTE)
    await cache.put(`${key}month`, 'V3', 31 * 86_400_000) // more than a timer of JavaScript can wait
    const endless = cache.type === 'in-memory' ? [`${key}endless`] : [] // a shared store may not be bounded
    for (const name of endless) await cache.put(name, 'V4', Number.POSITIVE_INFINITY)
    await sleep(100)
    assert.equal(await cache.fill(`${key}l`, 'L1', 'Vlate', MINUTE), false)
    const entries = await cache.lookupMany([`${key}v`, `${key}l`, `${key}f`, `${key}again`, `${key}month`, ...endless])
    assert.deepEqual(entries, [null, null, null, 'V2', 'V3', ...endless.map(() => 'V4')])
    assert.equal(await cache.claim(`${key}l`, 'L2', MINUTE), 'L2')
  })

  check('keys() yields the keys with a prefix that have an entry, if the store has it', async (cache, key) => {
    if (cache.keys === undefined) return
    const names = ['a', 'a*', 'a[b]', 'a?', 'a\\', 'ab', 'a\0b', 'b', 'ключ', '🗝']
    await Promise.all(names.map((name) => cache.put(`${key}:${name}`, 'V1', MINUTE)))
    await cache.put(`${key}:a gone`, 'V1', 30)
    await cache.put(`${key}:a removed`, 'V1', MINUTE)
    await cache.remove([`${key}:a removed`])
    await sleep(60)
    const found = async (prefix: string) =>
      (await keysOf(cache, `${key}:${prefix}`)).map((name) => name.slice(key.length + 1))
    assert.deepEqual(await found(''), names.toSorted())
    for (const prefix of [...names, 'a[', 'none', '*', '[ab]']) {
      assert.deepEqual(await found(prefix), names.filter((name) => name.startsWith(prefix)).sort(), prefix)
    }
  })

  check('keys() yields each of 2500 keys that stay while others are written and removed', async (cache, key) => {
    if (cache.keys === undefined) return
    const names = Array.from({ length: 2500 }, (_, i) => `${key}:stays:${String(i).padStart(4, '0')}`)
    await Promise.all(names.map((name) => cache.put(name, 'V1', MINUTE)))
    const found = new Set<string>()
    for await (const some of cache.keys(`${key}:stays:`)) {
      for (const name of some) found.add(name)
      await cache.put(`${key}:other:${found.size}`, 'V1', MINUTE)
      await cache.remove([`${key}:other:${found.size - 1}`])
      await cache.put(names[0] ?? '', 'V2', MINUTE)
    }
    assert.deepEqual([...found].sort(), names)
  })

  check(
    'clear() removes the entries with a prefix and returns their number, if the store has it',
    async (cache, key) => {
      if (cache.clear === undefined) return
      await cache.claim(`${key}*lease`, 'L1', MINUTE)
      await cache.clear(`${key}*`)
      assert.equal(await cache.fill(`${key}*lease`, 'L1', 'Vstale', MINUTE), false)
      const kept = [`${key}a`, `${key}[ab]`, `${key}b`]
      const many = Array.from({ length: 1500 }, (_, i) => `${key}*${i}`)
      await Promise.all([...kept, ...many].map((name) => cache.put(name, 'V1', MINUTE)))
      assert.equal(await cache.clear(`${key}*`), 1500)
      assert.deepEqual(await cache.lookupMany([...kept, ...many.slice(0, 2)]), ['V1', 'V1', 'V1', null, null])
      assert.equal(await cache.clear(`${key}*`), 0)
      assert.equal(await cache.clear(key), 3)
      await cache.put(`${key}a`, 'V2', MINUTE)
      assert.equal(await cache.lookup(`${key}a`), 'V2')
    },
  )

  check('ping() resolves, and stats() names the type', async (cache) => {
    await cache.ping()
    assert.equal(cache.stats().type, cache.type)
  })

  check('close() may be repeated, and later calls find an empty cache', async (cache, key) => {
    await cache.put(key, 'Vrow', MINUTE)
    await cache.close()
    await cache.close()
    assert.doesNotMatch((await cache.lookup(key)) ?? '', /^V|^N$/) // neither a value nor a known absence
    await cache.remove([key])
    assert.deepEqual(await keysOf(cache, key), [])
    await cache.clear?.(key)
  })

  return cases
}

async function keysOf(cache: CacheStore, prefix: string): Promise<string[]> {
  const keys: string[] = []
  for await (const some of cache.keys?.(prefix) ?? []) keys.push(...some)
  return keys.sort()
}
