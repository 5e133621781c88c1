import * as z from 'zod'
import type { Db } from '../../database/db.ts'
import { sweepableBefore } from '../../database/expiry.ts'
import { mapPage, type Page } from '../../database/paging/page.ts'
import { prefixPageSchema, prefixRange } from '../../database/paging/prefix-range.ts'
import { batch } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import type { Given, Json } from '../../schema/values.ts'
import { keySchema, parseInput } from '../../validation/input.ts'
import { jsonSchema } from '../../validation/json.ts'
import type { RepositoryContext } from '../context.ts'
import {
  deleteEntry,
  deleteExpiredBatch,
  type EntryWrite,
  EXPIRED_BATCH_SIZE,
  insertEntryIfAbsent,
  listEntries,
  selectEntries,
  selectEntry,
  updateEntryIfVersion,
  upsertEntry,
} from './statements.ts'
import {
  type KvEntry,
  type KvSetOptions,
  kvSetOptionsSchema,
  type ListKeysOptions,
  type SetIfAbsentOptions,
} from './types.ts'

const setIfAbsentOptionsSchema = kvSetOptionsSchema.omit({ ifVersion: true })
const keysSchema = z.array(keySchema).max(1000)

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
   * Returns a page of the keys, in byte order.
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
    return mapPage(await this.entries(options), ({ key }) => key)
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
    const { prefix, ...page } = parseInput(prefixPageSchema, options, 'options')
    return listEntries(this.#db, { now: this.#context.now(), ...prefixRange(prefix) }, page, 'asc')
  }

  /**
   * Removes entries that expired five minutes ago or earlier, in batches. Returns the number removed. Called by
   * maintenance.
   *
   * @internal
   */
  async sweepExpired(): Promise<number> {
    for (let removed = 0; ; ) {
      const expired = await deleteExpiredBatch.all(this.#db, { now: sweepableBefore(this.#context.now()) })
      removed += expired.length
      if (expired.length < EXPIRED_BATCH_SIZE) return removed
    }
  }

  #parseWrite(key: string, value: unknown, ttlSeconds: number | undefined): EntryWrite {
    const now = this.#context.now()
    const expiresAt = ttlSeconds === undefined ? null : new Date(now.getTime() + ttlSeconds * 1000)
    return { key: parseInput(keySchema, key, 'key'), value: parseInput(jsonSchema, value, 'value'), now, expiresAt }
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
