import { EventEmitter } from 'node:events'
import type { Kv } from '../repositories/kv/kv.ts'
import type { Storage } from '../storage/types.ts'
import { type KeyvValues, valuesOf } from './keyv-values.ts'
import { partsOf } from './parts.ts'

/** A value to write with `setMany`. */
export interface KeyvEntry {
  key: string
  value: unknown
  /** How long the value is kept, in milliseconds, as Keyv 5 says it. */
  ttl?: number | undefined
  /** When the value expires, in milliseconds since 1970, as Keyv 6 says it. */
  expires?: number | undefined
}

/** What a store of Keyv 6 says of itself. */
export interface KeyvCapabilities {
  compatible: true
  store: 'keyvStorage'
  methods: typeof METHODS
  expires: true
}

const THERE = { exists: true, methodType: 'async' } as const

const METHODS = {
  get: THERE,
  getMany: THERE,
  has: THERE,
  hasMany: THERE,
  set: THERE,
  setMany: THERE,
  delete: THERE,
  deleteMany: THERE,
  clear: THERE,
  iterator: THERE,
  disconnect: { exists: false, methodType: 'none' } as const, // the storage stays the program's
}

/**
 * A store for Keyv 5 and 6 over `storage.kv` or `storage.cache`, or those of a scope. Keyv's keys, namespace included, are
 * the keys there, and the time to live is kept there as well. `kv` keeps values; `cache` may lose any value at any time, and
 * no call fails because of the cache. Keys have 1 to 1024 bytes. Errors of the storage reject the call or, as Keyv has it,
 * become `error` events of the Keyv. A store belongs to one Keyv.
 *
 * @example
 * ```ts
 * import { HoldfastKeyv } from 'holdfast/keyv'
 * const store = new HoldfastKeyv(storage.kv) // new Keyv({ store, namespace: 'weather' })
 * await store.set('weather:oslo', { degrees: 7 }, 60_000)
 * ```
 */
export class HoldfastKeyv extends EventEmitter {
  /** Keyv 5 iterates only over stores of the dialects that it knows. */
  readonly opts = { dialect: 'postgres', url: 'holdfast' }
  /** Set by Keyv. `clear` and `iterator` keep to its keys. */
  namespace: string | undefined
  readonly #values: KeyvValues
  /** True if Keyv 6 calls: its keys come without the namespace, and its expiry is a point in time. */
  #isKeyv6 = false

  constructor(store: Kv | Storage['cache']) {
    super()
    this.#values = valuesOf(store)
  }

  /** What the store can do. Keyv 6 reads it before any call, and Keyv 5 never does: this is how the store tells them apart. */
  get capabilities(): KeyvCapabilities {
    this.#isKeyv6 = true
    return { compatible: true, store: 'keyvStorage', methods: METHODS, expires: true }
  }

  /** Returns the value of a key, or undefined if there is none. */
  async get<Value>(key: string): Promise<Value | undefined> {
    return this.#values.get<Value>(this.#stored(key))
  }

  /** Returns the values of keys in their order, undefined for a key that has none. */
  async getMany<Value>(keys: string[]): Promise<(Value | undefined)[]> {
    const stored = keys.map((key) => this.#stored(key))
    const values = new Map<string, Value>()
    for (const part of partsOf(stored)) {
      for (const [key, value] of await this.#values.getMany<Value>(part)) values.set(key, value)
    }
    return stored.map((key) => values.get(key))
  }

  /**
   * Writes a value. `time` is how long it is kept (Keyv 5) or when it expires (Keyv 6), in milliseconds; without it the value
   * stays. Safe to repeat.
   */
  async set(key: string, value: unknown, time?: number): Promise<boolean> {
    const millis = this.#millisOf({ ttl: time, expires: time })
    if (millis === 0) await this.delete(key)
    else await this.#values.set(this.#stored(key), value, { ttlSeconds: secondsOf(millis) })
    return true
  }

  /**
   * Writes many values, over `kv` up to 1000 with the same time to live in one transaction. Of two values of a key the last
   * counts. Returns true for each entry, whatever the types of the store of Keyv 5 say: what its Keyv returns is what the store
   * has returned. Safe to repeat.
   */
  setMany(entries: KeyvEntry[]): Promise<undefined>
  async setMany(entries: KeyvEntry[]): Promise<undefined | boolean[]> {
    const now = Date.now() // one time for all, so that equal expiries stay equal
    const byTime = new Map<number | undefined, KeyvEntry[]>()
    for (const entry of new Map(entries.map((each) => [each.key, each])).values()) {
      const millis = this.#millisOf(entry, now)
      const same = byTime.get(millis) ?? []
      byTime.set(millis, same)
      same.push(entry)
    }
    for (const [millis, some] of byTime) {
      for (const part of partsOf(some)) {
        if (millis === 0) await this.deleteMany(part.map(({ key }) => key))
        else
          await this.#values.setMany(
            part.map(({ key, value }) => [this.#stored(key), value] as const),
            { ttlSeconds: secondsOf(millis) },
          )
      }
    }
    return entries.map(() => true)
  }

  /** Returns true if the key has a value. */
  async has(key: string): Promise<boolean> {
    return this.#values.has(this.#stored(key))
  }

  /** Returns for each key true if it has a value. */
  async hasMany(keys: string[]): Promise<boolean[]> {
    return (await this.getMany(keys)).map((value) => value !== undefined)
  }

  /** Removes a value. Returns true if there was one. Safe to repeat. */
  async delete(key: string): Promise<boolean> {
    return this.#values.delete(this.#stored(key))
  }

  /** Removes many values. Returns true if each key had one; Keyv 6 gets an answer for each key instead. Safe to repeat. */
  deleteMany(keys: string[]): Promise<boolean>
  async deleteMany(keys: string[]): Promise<boolean | boolean[]> {
    const existed = this.#isKeyv6 ? await this.hasMany(keys) : undefined
    let removed = 0
    for (const part of partsOf(keys)) removed += await this.#values.deleteMany(part.map((key) => this.#stored(key)))
    return existed ?? removed === new Set(keys).size
  }

  /** Removes all values of the namespace, or all values of `kv` or the cache if there is no namespace. Safe to repeat. */
  async clear(): Promise<void> {
    await this.#values.clear({ prefix: prefixOf(this.namespace) })
  }

  /**
   * Yields the keys of a namespace with their values, over `kv` in the order of the keys. Keyv 6 gets the keys without the
   * namespace. Over a cache in Redis a key may come twice.
   */
  async *iterator<Value>(namespace = this.namespace): AsyncGenerator<[key: string, value: Value], void> {
    const prefix = prefixOf(namespace)
    for await (const [key, value] of this.#values.entriesOf<Value>(prefix)) {
      yield [this.#isKeyv6 ? key.slice(prefix?.length ?? 0) : key, value]
    }
  }

  /** Returns how long a value is kept: undefined for ever, 0 if it has expired already. */
  #millisOf({ ttl, expires }: Pick<KeyvEntry, 'ttl' | 'expires'>, now = Date.now()): number | undefined {
    const millis = this.#isKeyv6 ? expires && expires - now : ttl || undefined // Keyv 5 says 0 for ever
    return millis === undefined || millis === Number.POSITIVE_INFINITY ? undefined : Math.max(millis, 0)
  }

  /** Returns the key of `kv` or the cache. */
  #stored(key: string): string {
    return this.#isKeyv6 ? (prefixOf(this.namespace) ?? '') + key : key
  }
}

/** Returns what the keys of a namespace begin with. Keyv 6 has the empty text for no namespace. */
function prefixOf(namespace: string | undefined): string | undefined {
  return namespace ? `${namespace}:` : undefined
}

function secondsOf(millis: number | undefined): number | undefined {
  return millis === undefined ? undefined : millis / 1000
}
