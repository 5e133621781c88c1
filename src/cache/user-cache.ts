import * as z from 'zod'
import type { Json } from '../schema/values.ts'
import { keySchema, parseInput, ttlSecondsSchema } from '../validation/input.ts'
import { jsonSchema } from '../validation/json.ts'
import { type CacheStore, type Entry, VALUE } from './store.ts'

export interface UserCacheOptions {
  /** For values that are set without one, in milliseconds. Default none. */
  ttlMillis?: number
  /** A value whose JSON has more bytes is not kept. Default 1 MiB. */
  maxValueBytes?: number
  /** Called first by each call: throws where none may be made. */
  check?: () => void
}

const keysSchema = z.array(keySchema).max(1000)
const setOptionsSchema = z.strictObject({
  ttlSeconds: ttlSecondsSchema.optional(),
})
export type CacheSetOptions = z.input<typeof setOptionsSchema>

/**
 * The program's own values in the cache alone: shared where the cache is, and gone when it wants the room, restarts or
 * cannot be reached. Nothing here fails because the cache does; what must last belongs into `kv`. Errors of all: CLOSED.
 */
export class UserCache {
  readonly #cache: CacheStore
  readonly #ttlMillis: number
  readonly #maxValueBytes: number
  readonly #check: () => void

  constructor(
    cache: CacheStore,
    { ttlMillis = Number.POSITIVE_INFINITY, maxValueBytes = 1_048_576, check = () => {} }: UserCacheOptions = {},
  ) {
    this.#cache = cache
    this.#ttlMillis = ttlMillis
    this.#maxValueBytes = maxValueBytes
    this.#check = check
  }

  /** The value, or undefined. Errors: INVALID_INPUT. */
  async get(key: string): Promise<Json | undefined> {
    this.#check()
    return valueIn(await this.#cache.lookup(cacheKey(key)))
  }

  /** The values of those keys (up to 1000) that are there. Errors: INVALID_INPUT. */
  async getMany(keys: readonly string[]): Promise<Map<string, Json>> {
    this.#check()
    const entries = await this.#cache.lookupMany(parseInput(keysSchema, keys, 'keys').map(cacheKey))
    const values = new Map<string, Json>()
    for (const [i, key] of keys.entries()) {
      const value = valueIn(entries[i])
      if (value !== undefined) values.set(key, value)
    }
    return values
  }

  /**
   * Keeps a value for `ttlSeconds`; without, as long as the configuration says. Where it cannot be kept, nobody gets
   * the one before from here. Errors: INVALID_INPUT. Safe to repeat.
   */
  async set(key: string, value: unknown, options: CacheSetOptions = {}): Promise<void> {
    this.#check()
    const { ttlSeconds } = parseInput(setOptionsSchema, options, 'options')
    const ttlMillis = ttlSeconds === undefined ? this.#ttlMillis : Math.ceil(ttlSeconds * 1000)
    const entry = VALUE + JSON.stringify(parseInput(jsonSchema, value, 'value'))
    if (Buffer.byteLength(entry) > this.#maxValueBytes) await this.delete(key)
    else await this.#cache.put(cacheKey(key), entry, ttlMillis)
  }

  /** Whether there was a value, as far as the cache can tell. Errors: INVALID_INPUT. Safe to repeat. */
  async delete(key: string): Promise<boolean> {
    this.#check()
    return (await this.#cache.remove([cacheKey(key)])) > 0
  }
}

/** No row's key begins like this. */
function cacheKey(key: string): string {
  return `own:${parseInput(keySchema, key, 'key')}`
}

function valueIn(entry: Entry | null | undefined): Json | undefined {
  if (!entry?.startsWith(VALUE)) return undefined
  return JSON.parse(entry.slice(VALUE.length)) as Json // what set wrote
}
