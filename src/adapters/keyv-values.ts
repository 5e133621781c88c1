import type { Kv } from '../repositories/kv/kv.ts'
import type { Storage } from '../storage/types.ts'
import { invalid } from './invalid.ts'
import { MAX_ITEMS } from './parts.ts'

/** What the store of Keyv calls. */
export interface KeyvValues
  extends Pick<Storage['cache'], 'get' | 'getMany' | 'has' | 'delete' | 'clear'>,
    Pick<Kv, 'setMany' | 'deleteMany'> {
  set(key: string, value: unknown, options: { ttlSeconds: number | undefined }): Promise<unknown>
  entriesOf<Value>(prefix: string | undefined): AsyncGenerator<[key: string, value: Value], void>
}

export function valuesOf(store: Kv | Storage['cache']): KeyvValues {
  if (typeof store?.get !== 'function')
    throw invalid('store', 'must be `storage.kv` or `storage.cache`, or that of a scope')
  return 'entries' in store ? valuesOfKv(store) : valuesOfCache(store)
}

function valuesOfKv(kv: Kv): KeyvValues {
  return {
    get: (key) => kv.get(key),
    getMany: (keys) => kv.getMany(keys),
    has: (key) => kv.has(key),
    set: (key, value, options) => kv.set(key, value, options),
    setMany: (values, options) => kv.setMany(values, options),
    delete: (key) => kv.delete(key),
    deleteMany: (keys) => kv.deleteMany(keys),
    clear: (options) => kv.clear(options),
    async *entriesOf<Value>(prefix: string | undefined) {
      for (let cursor: string | undefined; ; ) {
        const { items, nextCursor } = await kv.entries<Value>({ prefix, cursor })
        for (const { key, value } of items) yield [key, value]
        if (nextCursor === undefined) return
        cursor = nextCursor
      }
    },
  }
}

function valuesOfCache(cache: Storage['cache']): KeyvValues {
  return {
    get: (key) => cache.get(key),
    getMany: (keys) => cache.getMany(keys),
    has: (key) => cache.has(key),
    set: (key, value, options) => cache.set(key, value, options),
    async setMany(values, options) {
      await Promise.all(Array.from(values, ([key, value]) => cache.set(key, value, options)))
    },
    delete: (key) => cache.delete(key),
    async deleteMany(keys) {
      const removed = await Promise.all(Array.from(new Set(keys), (key) => cache.delete(key)))
      return removed.filter(Boolean).length
    },
    clear: (options) => cache.clear(options),
    async *entriesOf<Value>(prefix: string | undefined) {
      let keys: string[] = []
      for await (const key of cache.keys({ prefix })) {
        if (keys.push(key) < MAX_ITEMS) continue
        yield* await cache.getMany<Value>(keys)
        keys = []
      }
      yield* await cache.getMany<Value>(keys)
    },
  }
}
