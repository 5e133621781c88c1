import * as z from 'zod'
import type { RowKey } from '../../cache/row-cache.ts'
import type { Db } from '../../database/db.ts'
import { sweepableBefore } from '../../database/expiry.ts'
import { mapPage, type Page } from '../../database/paging/page.ts'
import { prefixPageSchema, prefixRange } from '../../database/paging/prefix-range.ts'
import { batch } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import type { Given, Json } from '../../schema/values.ts'
import { invalidInput, keySchema, parseInput } from '../../validation/input.ts'
import { jsonSchema } from '../../validation/json.ts'
import type { RepositoryContext } from '../context.ts'
import {
  deleteEntries,
  deleteEntry,
  deleteExpiredBatch,
  type EntryWrite,
  EXPIRED_BATCH_SIZE,
  insertEntryIfAbsent,
  listEntries,
  listKeys,
  selectEntries,
  selectEntry,
  updateEntryIfVersion,
  upsertEntries,
  upsertEntry,
} from './statements.ts'
import {
  type ClearKeysOptions,
  type KvEntry,
  type KvSetOptions,
  kvSetOptionsSchema,
  type ListKeysOptions,
  type SetIfAbsentOptions,
} from './types.ts'

const MAX_KEYS = 1000
const setIfAbsentOptionsSchema = kvSetOptionsSchema.omit({ ifVersion: true })
const keysSchema = z.array(keySchema).max(MAX_KEYS)
const entriesSchema = z.array(z.tuple([keySchema, jsonSchema])).max(MAX_KEYS)
const listOptionsSchema = prefixPageSchema.extend({ order: z.enum(['asc', 'desc']).optional() })
const clearOptionsSchema = prefixPageSchema.pick({ prefix: true })

/** The program's own values by key: any JSON, with an optional time to live. */
export class Kv {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /**
   * Returns the value of a key, or undefined if there is none. Cached.
   *
   * @typeParam Value The expected type of the value. It is not checked.
   * @throws {INVALID_INPUT} when the key is not valid.
   *
   * @example
   * ```ts
   * await storage.kv.set('theme', { dark: true })
   * console.log(await storage.kv.get('theme')) // { dark: true }
   * ```
   */
  get<Value = Json>(key: string): Promise<Value | undefined>
  async get(key: string): Promise<Json | undefined> {
    return (await this.getEntry(key))?.value
  }

  /**
   * Returns the value of a key with its version and times, or undefined if there is none. Cached.
   *
   * @typeParam Value The expected type of the value. It is not checked.
   * @throws {INVALID_INPUT} when the key is not valid.
   *
   * @example
   * ```ts
   * await storage.kv.set('theme', 'dark', { ttlSeconds: 3600 })
   * const entry = await storage.kv.getEntry('theme')
   * console.log(entry?.version, entry?.expiresAt) // 1, and the time in an hour
   * ```
   */
  getEntry<Value = Json>(key: string): Promise<KvEntry<Value> | undefined>
  async getEntry(key: string): Promise<KvEntry | undefined> {
    parseInput(keySchema, key, 'key')
    const now = this.#context.now()
    return this.#context.cache.read('kv', key, (db = this.#db) => selectEntry.first(db, { key, now }))
  }

  /**
   * Returns the values of up to 1000 keys. A key without a value is not in the map. Not cached.
   *
   * @typeParam Value The expected type of each value. It is not checked.
   * @throws {INVALID_INPUT} when a key is not valid or there are more than 1000.
   *
   * @example
   * ```ts
   * await storage.kv.set('a', 1)
   * console.log(await storage.kv.getMany(['a', 'b'])) // Map(1) { 'a' => 1 }
   * ```
   */
  getMany<Value = Json>(keys: readonly string[]): Promise<Map<string, Value>>
  async getMany(keys: readonly string[]): Promise<Map<string, Json>> {
    parseInput(keysSchema, keys, 'keys')
    const now = this.#context.now()
    const calls = selectEntries.with(keys.map((key) => ({ key, now })))
    const entries = (await batch(this.#db, calls)).flat()
    return new Map(entries.map(({ key, value }) => [key, value]))
  }

  /**
   * Writes a value, and returns its entry. Safe to repeat without `ifVersion`, though each call raises the version.
   *
   * @throws {VERSION_CONFLICT} when the entry is not at version `ifVersion`, or there is none.
   * @throws {INVALID_INPUT} when the key, the value or an option is not valid.
   *
   * @example
   * ```ts
   * const { version } = await storage.kv.set('theme', 'dark')
   * await storage.kv.set('theme', 'light', { ifVersion: version, ttlSeconds: 3600 })
   * ```
   */
  set<Value = Json>(key: string, value: Given<Value, Json, unknown>, options?: KvSetOptions): Promise<KvEntry<Value>>
  async set(key: string, value: unknown, options: KvSetOptions = {}): Promise<KvEntry> {
    const { ttlSeconds, ifVersion } = parseInput(kvSetOptionsSchema, options, 'options')
    const write = this.#parseWrite(key, value, ttlSeconds)
    const rows = [['kv', key]] as const
    if (ifVersion === undefined) {
      const written = await this.#context.cache.write(rows, (db = this.#db) => upsertEntry.first(db, write))
      return written as KvEntry // an upsert returns its row
    }
    const update = (db = this.#db) => updateEntryIfVersion.first(db, { ...write, ifVersion })
    const updated = await this.#context.cache.write(rows, update)
    if (updated === undefined) throw await this.#versionConflict(key, ifVersion)
    return updated
  }

  /**
   * Writes up to 1000 values, given as pairs of key and value, in one transaction and with the same time to live. Of two
   * values of a key the last counts. One round trip. Safe to repeat, though each call raises the versions.
   *
   * @throws {INVALID_INPUT} when a key, a value or an option is not valid, or there are more than 1000 pairs.
   *
   * @example
   * ```ts
   * await storage.kv.setMany(Object.entries({ a: 1, b: 2 }), { ttlSeconds: 3600 })
   * console.log((await storage.kv.keys()).items) // [ 'a', 'b' ]
   * ```
   */
  async setMany(
    values: Iterable<readonly [key: string, value: unknown]>,
    options: SetIfAbsentOptions = {},
  ): Promise<void> {
    const { ttlSeconds } = parseInput(setIfAbsentOptionsSchema, options, 'options')
    if (typeof Object(values)[Symbol.iterator] !== 'function')
      throw invalidInput([{ path: 'values', message: 'must be pairs of key and value, such as a Map' }])
    const given = new Map(
      parseInput(
        entriesSchema,
        Array.from(values, (pair) => [...pair]),
        'values',
      ),
    )
    const { now, expiresAt } = this.#times(ttlSeconds)
    // Sorted, so that two calls lock their rows in one order and cannot deadlock.
    const writes = [...given]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => ({ key, value, now, expiresAt }))
    if (writes.length === 0) return
    await this.#context.cache.write(rowsOf(given.keys()), (db = this.#db) => batch(db, upsertEntries.with(writes)))
  }

  /**
   * Writes a value if the key has none. Returns the value of the key afterwards, and whether this call wrote it. Safe
   * to repeat.
   *
   * @typeParam Value The expected type of the value. It is not checked.
   * @throws {INVALID_INPUT} when the key, the value or an option is not valid.
   *
   * @example
   * ```ts
   * await storage.kv.setIfAbsent('leader', 'a') // { value: 'a', inserted: true }
   * await storage.kv.setIfAbsent('leader', 'b') // { value: 'a', inserted: false }
   * ```
   */
  setIfAbsent<Value = Json>(
    key: string,
    value: Given<Value, Json, unknown>,
    options?: SetIfAbsentOptions,
  ): Promise<{ value: Value; inserted: boolean }>
  async setIfAbsent(
    key: string,
    value: unknown,
    options: SetIfAbsentOptions = {},
  ): Promise<{ value: Json; inserted: boolean }> {
    const { ttlSeconds } = parseInput(setIfAbsentOptionsSchema, options, 'options')
    const write = this.#parseWrite(key, value, ttlSeconds)
    for (;;) {
      // Invalidate even if the key exists: its writer may not have invalidated yet.
      const inserted = await this.#context.cache.write([['kv', key]], (db = this.#db) =>
        insertEntryIfAbsent.first(db, write),
      )
      if (inserted !== undefined) return { value: inserted.value, inserted: true }
      const existing = await selectEntry.first(this.#db, { key, now: write.now })
      if (existing !== undefined) return { value: existing.value, inserted: false }
      // The entry was deleted between the two statements: try again.
    }
  }

  /**
   * Returns true if the key has a value. Cached.
   *
   * @throws {INVALID_INPUT} when the key is not valid.
   *
   * @example
   * ```ts
   * console.log(await storage.kv.has('theme')) // false
   * ```
   */
  async has(key: string): Promise<boolean> {
    return (await this.getEntry(key)) !== undefined
  }

  /**
   * Removes a value. Returns true if the key had one. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the key is not valid.
   *
   * @example
   * ```ts
   * await storage.kv.set('theme', 'dark')
   * console.log(await storage.kv.delete('theme')) // true
   * ```
   */
  async delete(key: string): Promise<boolean> {
    parseInput(keySchema, key, 'key')
    const removed = await this.#context.cache.write([['kv', key]], (db = this.#db) => deleteEntry.first(db, { key }))
    return removed !== undefined && (removed.expiresAt === null || removed.expiresAt > this.#context.now())
  }

  /**
   * Removes the values of up to 1000 keys, in one transaction. Returns the number of keys that had one. One round trip. Safe
   * to repeat.
   *
   * @throws {INVALID_INPUT} when a key is not valid or there are more than 1000.
   *
   * @example
   * ```ts
   * await storage.kv.set('theme', 'dark')
   * console.log(await storage.kv.deleteMany(['theme', 'language'])) // 1
   * ```
   */
  async deleteMany(keys: readonly string[]): Promise<number> {
    const given = new Set(parseInput(keysSchema, keys, 'keys'))
    if (given.size === 0) return 0
    const calls = deleteEntries.with([...given].sort().map((key) => ({ key })))
    const removed = await this.#context.cache.write(rowsOf(given), (db = this.#db) => batch(db, calls))
    const now = this.#context.now()
    return removed.flat().filter(({ expiresAt }) => expiresAt === null || expiresAt > now).length
  }

  /**
   * Removes all values, or those whose keys begin with `prefix`, up to 1000 in a transaction. Returns the number removed.
   * Safe to repeat: a call that was interrupted goes on with what is left.
   *
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.kv.set('user:1:theme', 'dark')
   * console.log(await storage.kv.clear({ prefix: 'user:1:' })) // 1
   * ```
   */
  async clear(options: ClearKeysOptions = {}): Promise<number> {
    const { prefix } = parseInput(clearOptionsSchema, options, 'options')
    let removed = 0
    for (let cursor: string | undefined; ; ) {
      const { items, nextCursor } = await this.keys({ prefix, cursor, limit: MAX_KEYS })
      removed += await this.deleteMany(items)
      if (nextCursor === undefined) return removed
      cursor = nextCursor
    }
  }

  /**
   * Returns a page of the keys, in byte order. Values are not read.
   *
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.kv.set('user:1:theme', 'dark')
   * console.log(await storage.kv.keys({ prefix: 'user:1:' })) // { items: [ 'user:1:theme' ] }
   * ```
   */
  async keys(options: ListKeysOptions = {}): Promise<Page<string>> {
    const { prefix, order = 'asc', ...page } = parseInput(listOptionsSchema, options, 'options')
    const filters = { now: this.#context.now(), ...prefixRange(prefix) }
    return mapPage(await listKeys(this.#db, filters, page, order), ({ key }) => key)
  }

  /**
   * Returns a page of the entries, in the byte order of their keys.
   *
   * @typeParam Value The expected type of each value. It is not checked.
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.kv.set('user:1:theme', 'dark')
   * const { items } = await storage.kv.entries({ prefix: 'user:1:' })
   * for (const { key, value } of items) console.log(key, value) // user:1:theme dark
   * ```
   */
  entries<Value = Json>(options?: ListKeysOptions): Promise<Page<KvEntry<Value>>>
  async entries(options: ListKeysOptions = {}): Promise<Page<KvEntry>> {
    const { prefix, order = 'asc', ...page } = parseInput(listOptionsSchema, options, 'options')
    return listEntries(this.#db, { now: this.#context.now(), ...prefixRange(prefix) }, page, order)
  }

  /**
   * Removes entries that expired five minutes ago or earlier, in batches. Returns the number removed. Called by
   * maintenance.
   *
   * @internal
   */
  async sweepExpired(): Promise<number> {
    const now = sweepableBefore(await this.#context.confirmedNow(this.#db))
    for (let removed = 0; ; ) {
      const expired = await deleteExpiredBatch.all(this.#db, { now })
      removed += expired.length
      if (expired.length < EXPIRED_BATCH_SIZE) return removed
    }
  }

  #parseWrite(key: string, value: unknown, ttlSeconds: number | undefined): EntryWrite {
    return {
      key: parseInput(keySchema, key, 'key'),
      value: parseInput(jsonSchema, value, 'value'),
      ...this.#times(ttlSeconds),
    }
  }

  #times(ttlSeconds: number | undefined): Pick<EntryWrite, 'now' | 'expiresAt'> {
    const now = this.#context.now()
    return { now, expiresAt: ttlSeconds === undefined ? null : new Date(now.getTime() + ttlSeconds * 1000) }
  }

  async #versionConflict(key: string, expected: number): Promise<StorageError> {
    const current = await selectEntry.first(this.#db, { key, now: this.#context.now() })
    const actual = current?.version
    const message =
      actual === undefined
        ? `There is no such entry, so it is not at version ${expected}`
        : `The entry is at version ${actual}, not ${expected}: read it again`
    return new StorageError('VERSION_CONFLICT', message, { details: { key, expected, actual } })
  }
}

/** Returns the cache keys of entries. */
function rowsOf(keys: Iterable<string>): RowKey[] {
  return Array.from(keys, (key) => ['kv', key])
}
