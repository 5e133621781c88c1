import { setImmediate } from 'node:timers/promises'
import { cacheContract } from 'holdfast/testing'
import { expect, it } from 'vitest'
import { MapCacheStore } from '../own-cache-store.ts'

// Stores that a program might write, each with one mistake: a case of the contract must find it.

const wrong: Record<string, (store: MapCacheStore) => Partial<MapCacheStore>> = {
  'fill() looks first, and stores later': (store) => ({
    async fill(key, lease, entry, ttlMillis) {
      if ((await store.lookup(key)) !== lease) return false
      await setImmediate()
      await store.put(key, entry, ttlMillis)
      return true
    },
  }),
  'fill() compares the beginning of a lease': (store) => ({
    async fill(key, lease, entry, ttlMillis) {
      const held = await store.lookup(key)
      if (!held?.startsWith(lease)) return false
      await store.put(key, entry, ttlMillis)
      return true
    },
  }),
  'claim() finds an entry that is over': (store) => {
    const seen = new Map<string, string>()
    const [claim, remove] = [store.claim.bind(store), store.remove.bind(store)]
    return {
      async claim(key, lease, ttlMillis) {
        const entry = seen.get(key) ?? (await claim(key, lease, ttlMillis))
        if (ttlMillis < 1000) seen.set(key, entry)
        return entry
      },
      async remove(keys) {
        for (const key of keys) seen.delete(key)
        return remove(keys)
      },
    }
  },
  'put() uses a timer, which ends at once after 25 days': (store) => {
    const put = store.put.bind(store)
    return { put: (key, entry, ttlMillis) => put(key, entry, ttlMillis >= 2 ** 31 ? 1 : ttlMillis) }
  },
  'put() takes no TTL for none at all': (store) => {
    const put = store.put.bind(store)
    return { put: (key, entry, ttlMillis) => put(key, entry, Number.isFinite(ttlMillis) ? ttlMillis : 0) }
  },
  'clear() leaves leases': (store) => {
    const [remove, lookup] = [store.remove.bind(store), store.lookup.bind(store)]
    return {
      async clear(prefix) {
        let removed = 0
        for await (const keys of store.keys(prefix)) {
          for (const key of keys) if ((await lookup(key))?.startsWith('V')) removed += await remove([key])
        }
        return removed
      },
    }
  },
  'lookupMany() looks for a thousand keys': (store) => {
    const lookupMany = store.lookupMany.bind(store)
    return {
      lookupMany: async (keys) => [...(await lookupMany(keys.slice(0, 1000))), ...keys.slice(1000).map(() => null)],
    }
  },
  'keys of another case are equal': (store) => byKey(store, (key) => key.toLowerCase()),
  'keys that look alike are equal': (store) => byKey(store, (key) => key.normalize('NFC')),
}

/** Returns methods that find an entry by another text than its key. */
function byKey(store: MapCacheStore, textOf: (key: string) => string): Partial<MapCacheStore> {
  const [lookupMany, put] = [store.lookupMany.bind(store), store.put.bind(store)]
  return {
    lookupMany: (keys) => lookupMany(keys.map(textOf)),
    put: async (key, entry, ttlMillis) => {
      await put(key, entry, ttlMillis)
      await put(textOf(key), entry, ttlMillis)
    },
  }
}

it.each(Object.entries(wrong))('cacheContract() finds that %s', async (_, change) => {
  const open = async () => {
    const store = new MapCacheStore({ type: 'in-memory' })
    return Object.assign(store, change(store))
  }
  const failed: string[] = []
  for (const { name, run } of cacheContract(open)) await run().catch(() => failed.push(name))
  expect(failed).not.toEqual([])
})
