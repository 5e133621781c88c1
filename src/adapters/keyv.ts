import { EventEmitter } from 'node:events'
import type { Kv } from '../repositories/kv/kv.ts'
import { partsOf } from './parts.ts'

/** A value to write with `setMany`. */
export interface KeyvEntry {
  key: string
  value: unknown
  /** Milliseconds. */
  ttl?: number
}

/**
 * A store for Keyv 5 over `storage.kv`, or that of a scope. Keyv's keys, namespace included, are the keys of `kv`, and the time to
 * live is kept by the database as well. Keys have 1 to 1024 bytes. Errors of the storage reject the call or, as Keyv has
 * it, become `error` events of the Keyv.
 *
 * @example
 * ```ts
 * import { HoldfastKeyv } from 'holdfast/keyv'
 * const store = new HoldfastKeyv(storage.kv) // new Keyv({ store, namespace: 'weather' })
 * await store.set('weather:oslo', { degrees: 7 }, 60_000)
 * ```
 */
export class HoldfastKeyv extends EventEmitter {
  /** Keyv iterates only over stores of the dialects that it knows. */
  readonly opts = { dialect: 'postgres', url: 'holdfast' }
  /** Set by Keyv. `clear` and `iterator` keep to its keys. */
  namespace: string | undefined
  readonly #kv: Kv

  constructor(kv: Kv) {
    super()
    this.#kv = kv
  }

  /** Returns the value of a key, or undefined if there is none. */
  async get<Value>(key: string): Promise<Value | undefined> {
    return this.#kv.get<Value>(key)
  }

  /** Returns the values of keys in their order, undefined for a key that has none. */
  async getMany<Value>(keys: string[]): Promise<(Value | undefined)[]> {
    const values = new Map<string, Value>()
    for (const part of partsOf(keys)) {
      for (const [key, value] of await this.#kv.getMany<Value>(part)) values.set(key, value)
    }
    return keys.map((key) => values.get(key))
  }

  /** Writes a value. `ttl` is in milliseconds; without it the value stays. Safe to repeat. */
  async set(key: string, value: unknown, ttl?: number): Promise<void> {
    await this.#kv.set(key, value, { ttlSeconds: secondsOf(ttl) })
  }

  /** Writes many values, up to 1000 with the same time to live in one transaction. Safe to repeat. */
  async setMany(entries: KeyvEntry[]): Promise<void> {
    for (const ttl of new Set(entries.map((entry) => entry.ttl))) {
      const pairs = entries.filter((entry) => entry.ttl === ttl).map(({ key, value }) => [key, value] as const)
      for (const part of partsOf(pairs)) await this.#kv.setMany(part, { ttlSeconds: secondsOf(ttl) })
    }
  }

  /** Returns true if the key has a value. */
  async has(key: string): Promise<boolean> {
    return this.#kv.has(key)
  }

  /** Returns for each key true if it has a value. */
  async hasMany(keys: string[]): Promise<boolean[]> {
    return (await this.getMany(keys)).map((value) => value !== undefined)
  }

  /** Removes a value. Returns true if there was one. Safe to repeat. */
  async delete(key: string): Promise<boolean> {
    return this.#kv.delete(key)
  }

  /** Removes many values. Returns true if each key had one. Safe to repeat. */
  async deleteMany(keys: string[]): Promise<boolean> {
    let removed = 0
    for (const part of partsOf(keys)) removed += await this.#kv.deleteMany(part)
    return removed === new Set(keys).size
  }

  /** Removes all values of the namespace, or all values of `kv` if there is no namespace. Safe to repeat. */
  async clear(): Promise<void> {
    await this.#kv.clear({ prefix: prefixOf(this.namespace) })
  }

  /** Yields the keys of a namespace with their values, in the order of the keys. */
  async *iterator<Value>(namespace?: string): AsyncGenerator<[key: string, value: Value], void> {
    const prefix = prefixOf(namespace)
    for (let cursor: string | undefined; ; ) {
      const { items, nextCursor } = await this.#kv.entries<Value>({ prefix, cursor })
      for (const { key, value } of items) yield [key, value]
      if (nextCursor === undefined) return
      cursor = nextCursor
    }
  }
}

/** Returns what the keys of a namespace begin with. */
function prefixOf(namespace: string | undefined): string | undefined {
  return namespace === undefined ? undefined : `${namespace}:`
}

/** Returns a time to live in seconds. Keyv takes 0 for none. */
function secondsOf(ttl: number | undefined): number | undefined {
  return ttl ? ttl / 1000 : undefined
}
