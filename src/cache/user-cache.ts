import * as z from 'zod/mini'
import { StorageError } from '../errors.ts'
import type { Given, Json } from '../schema/values.ts'
import { keySchema, parseInput, prefixSchema, ttlSecondsSchema } from '../validation/input.ts'
import { jsonSchema } from '../validation/json.ts'
import { type CacheEntry, type CacheStore, VALUE } from './store.ts'

export interface UserCacheOptions {
  /** TTL of a value that is set without its own, in milliseconds. Default none. */
  ttlMillis?: number
  /** A value whose JSON has more bytes is not stored. Default 1 MiB. */
  maxValueBytes?: number
  /** Whose values they are. Another owner's are absent. Default: nobody's. */
  owner?: string
  /** Called first by every method. Throws if the storage is closed. */
  check?: () => void
}

const keysSchema = z.array(keySchema).check(z.maxLength(1000))

export interface CacheSetOptions {
  /**
   * TTL in seconds, greater than 0. Default: the configured `ttlSeconds`; if there is none, until the value is evicted.
   */
  ttlSeconds?: number | undefined
}

const setOptionsSchema = z.strictObject({
  ttlSeconds: z.optional(ttlSecondsSchema),
}) satisfies z.ZodMiniType<CacheSetOptions>

/** Options of `cache.keys()` and `cache.clear()`. */
export interface CacheKeysOptions {
  /** Only keys that begin with this text. Default: all keys. */
  prefix?: string | undefined
}

const keysOptionsSchema = z.strictObject({ prefix: z.optional(prefixSchema) }) satisfies z.ZodMiniType<CacheKeysOptions>

/**
 * A cache for the program's own values, shared between processes if the cache is Redis. A value may be gone at any
 * time: evicted, lost in a restart, or out of reach. No call fails because the cache does. Keep in `kv` what must last.
 */
export class UserCache {
  readonly #cache: CacheStore
  readonly #ttlMillis: number
  readonly #maxValueBytes: number
  readonly #check: () => void
  /**
   * A text that no key of a row begins with, and the owner, who is empty for nobody. An owner has no NUL, so none begins
   * another.
   */
  readonly #prefix: string

  /** @internal */
  constructor(
    cache: CacheStore,
    {
      ttlMillis = Number.POSITIVE_INFINITY,
      maxValueBytes = 1_048_576,
      owner = '',
      check = () => {},
    }: UserCacheOptions = {},
  ) {
    this.#cache = cache
    this.#ttlMillis = ttlMillis
    this.#maxValueBytes = maxValueBytes
    this.#check = check
    this.#prefix = `own:${owner}\0`
  }

  /**
   * Returns a fresh copy of the value, or undefined if the cache has none.
   *
   * @typeParam Value The expected type of the value. It is not checked.
   * @throws {INVALID_INPUT} when the key is not valid
   * @throws {CLOSED} when the storage is closed
   *
   * @example
   * ```ts
   * await storage.cache.set('weather:oslo', { sky: 'rain' })
   * console.log(await storage.cache.get('weather:oslo')) // { sky: 'rain' }
   * ```
   */
  get<Value = Json>(key: string): Promise<Value | undefined>
  async get(key: string): Promise<Json | undefined> {
    this.#check()
    const name = this.#nameOf(key)
    const value = valueIn(await this.#cache.lookup(name))
    if (value === UNREADABLE) await this.#cache.remove([name])
    return value === UNREADABLE ? undefined : value
  }

  /**
   * Returns the values of up to 1000 keys, by key. Keys without a value are left out.
   *
   * @typeParam Value The expected type of each value. It is not checked.
   * @throws {INVALID_INPUT} when a key is not valid or there are more than 1000
   * @throws {CLOSED} when the storage is closed
   *
   * @example
   * ```ts
   * await storage.cache.set('weather:oslo', { sky: 'rain' })
   * const known = await storage.cache.getMany(['weather:oslo', 'weather:bergen'])
   * console.log(known) // Map { 'weather:oslo' => { sky: 'rain' } }
   * ```
   */
  getMany<Value = Json>(keys: readonly string[]): Promise<Map<string, Value>>
  async getMany(keys: readonly string[]): Promise<Map<string, Json>> {
    this.#check()
    const entries = await this.#cache.lookupMany(parseInput(keysSchema, keys, 'keys').map((key) => this.#nameOf(key)))
    const values = new Map<string, Json>()
    for (const [i, key] of keys.entries()) {
      const value = valueIn(entries[i])
      if (value === UNREADABLE) await this.#cache.remove([this.#nameOf(key)])
      else if (value !== undefined) values.set(key, value)
    }
    return values
  }

  /**
   * Returns true if the cache has a value. It reads the value: `get` costs the same.
   *
   * @throws {INVALID_INPUT} when the key is not valid
   * @throws {CLOSED} when the storage is closed
   *
   * @example
   * ```ts
   * await storage.cache.set('weather:oslo', { sky: 'rain' })
   * console.log(await storage.cache.has('weather:oslo')) // true
   * ```
   */
  async has(key: string): Promise<boolean> {
    return (await this.get(key)) !== undefined
  }

  /**
   * Yields the keys that have a value, in no order. In a scope these are the owner's keys. A key that has a value throughout
   * comes at least once; another may come or not. With Redis a key may come twice, each step looks at about 1000 keys of the
   * server, whatever the prefix, and keys that a cluster moves between nodes meanwhile may be missed. If the cache is out of
   * reach, the iteration ends early.
   *
   * @throws {INVALID_INPUT} when an option is not valid
   * @throws {INVALID_STATE} when the cache store of the program cannot list its keys
   * @throws {CLOSED} when the storage is closed
   *
   * @example
   * ```ts
   * await storage.cache.set('weather:oslo', { sky: 'rain' })
   * for await (const key of storage.cache.keys({ prefix: 'weather:' })) console.log(key) // weather:oslo
   * ```
   */
  async *keys(options: CacheKeysOptions = {}): AsyncGenerator<string, void, void> {
    this.#check()
    const { prefix = '' } = parseInput(keysOptionsSchema, options, 'options')
    if (this.#cache.keys === undefined) throw this.#lacks('keys', 'list its keys')
    for await (const names of this.#cache.keys(this.#prefix + prefix)) {
      for (const name of names) yield name.slice(this.#prefix.length)
      this.#check()
    }
  }

  /**
   * Removes all values, or those whose keys begin with `prefix`. In a scope these are the owner's values. A value that is set
   * meanwhile may stay. Returns the number removed, or 0 if the cache went out of reach: then this process does not
   * read these values again, and removes them when the cache is back. With Redis it looks at every key of the server, about
   * 1000 in a step, and waits for each step as long as for any other command. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when an option is not valid
   * @throws {INVALID_STATE} when the cache store of the program cannot remove by prefix
   * @throws {CLOSED} when the storage is closed
   *
   * @example
   * ```ts
   * await storage.cache.set('weather:oslo', { sky: 'rain' })
   * console.log(await storage.cache.clear({ prefix: 'weather:' })) // 1
   * ```
   */
  async clear(options: CacheKeysOptions = {}): Promise<number> {
    this.#check()
    const { prefix = '' } = parseInput(keysOptionsSchema, options, 'options')
    if (this.#cache.clear === undefined) throw this.#lacks('clear', 'remove by prefix')
    return this.#cache.clear(this.#prefix + prefix)
  }

  /**
   * Stores any JSON value. If the value cannot be stored (too large, or the cache is out of reach), this process does
   * not read the previous value again. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the key, the value or an option is not valid
   * @throws {CLOSED} when the storage is closed
   *
   * @example
   * ```ts
   * await storage.cache.set('weather:oslo', { sky: 'rain' }, { ttlSeconds: 600 })
   * ```
   */
  set<Value = Json>(key: string, value: Given<Value, Json, unknown>, options?: CacheSetOptions): Promise<void>
  async set(key: string, value: unknown, options: CacheSetOptions = {}): Promise<void> {
    this.#check()
    const { ttlSeconds } = parseInput(setOptionsSchema, options, 'options')
    const ttlMillis = ttlSeconds === undefined ? this.#ttlMillis : Math.ceil(ttlSeconds * 1000)
    const entry = VALUE + JSON.stringify(parseInput(jsonSchema, value, 'value'))
    if (Buffer.byteLength(entry) > this.#maxValueBytes) await this.delete(key)
    else await this.#cache.put(this.#nameOf(key), entry, ttlMillis)
  }

  /**
   * Removes a value. Returns true if the cache had one, false if it had none or is out of reach. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the key is not valid
   * @throws {CLOSED} when the storage is closed
   *
   * @example
   * ```ts
   * await storage.cache.set('weather:oslo', { sky: 'rain' })
   * console.log(await storage.cache.delete('weather:oslo')) // true
   * ```
   */
  async delete(key: string): Promise<boolean> {
    this.#check()
    return (await this.#cache.remove([this.#nameOf(key)])) > 0
  }

  #lacks(method: 'keys' | 'clear', what: string): StorageError<'INVALID_STATE'> {
    const message = `The cache store ${this.#cache.type} cannot ${what}: it has no method ${method}()`
    return new StorageError('INVALID_STATE', message)
  }

  #nameOf(key: string): string {
    return this.#prefix + parseInput(keySchema, key, 'key')
  }
}

/** What an entry holds that `set` did not write. */
const UNREADABLE = Symbol('unreadable')

function valueIn(entry: CacheEntry | null | undefined): Json | undefined | typeof UNREADABLE {
  if (!entry?.startsWith(VALUE)) return undefined
  try {
    return JSON.parse(entry.slice(VALUE.length)) as Json // what set wrote
  } catch {
    return UNREADABLE
  }
}
