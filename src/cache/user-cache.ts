import * as z from 'zod'
import type { Given, Json } from '../schema/values.ts'
import { keySchema, parseInput, ttlSecondsSchema } from '../validation/input.ts'
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

const keysSchema = z.array(keySchema).max(1000)

export interface CacheSetOptions {
  /**
   * TTL in seconds, greater than 0. Default: the configured `ttlSeconds`; if there is none, until the value is evicted.
   */
  ttlSeconds?: number | undefined
}

const setOptionsSchema = z.strictObject({
  ttlSeconds: ttlSecondsSchema.optional(),
}) satisfies z.ZodType<CacheSetOptions>

/**
 * A cache for the program's own values, shared between processes if the cache is Redis. A value may be gone at any
 * time: evicted, lost in a restart, or out of reach. No call fails because the cache does. Keep in `kv` what must last.
 */
export class UserCache {
  readonly #cache: CacheStore
  readonly #ttlMillis: number
  readonly #maxValueBytes: number
  readonly #check: () => void
  /** A prefix that no key of a row has, and the owner. A key has no NUL, so no two owners share one. */
  readonly #prefix: string

  /** @internal */
  constructor(
    cache: CacheStore,
    { ttlMillis = Number.POSITIVE_INFINITY, maxValueBytes = 1_048_576, owner, check = () => {} }: UserCacheOptions = {},
  ) {
    this.#cache = cache
    this.#ttlMillis = ttlMillis
    this.#maxValueBytes = maxValueBytes
    this.#check = check
    this.#prefix = owner === undefined ? 'own:' : `own:${owner}\0`
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
