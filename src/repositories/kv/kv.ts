import type { RowKey } from '../../cache/row-cache.ts'
import type { Db } from '../../database/db.ts'
import { sweepableBefore } from '../../database/expiry.ts'
import { type PrefixRange, prefixRange } from '../../database/paging/prefix-range.ts'
import { batch } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import type { Given, Json } from '../../schema/values.ts'
import { invalidInput, keySchema, parseInput } from '../../validation/input.ts'
import { jsonSchema } from '../../validation/json.ts'
import { inSession } from '../sessions/in-session.ts'
import { labelsSchema } from './namespace.ts'
import { KvReads, named } from './reads.ts'
import {
  deleteEntries,
  deleteEntry,
  deleteExpiredBatch,
  type EntryWrite,
  EXPIRED_BATCH_SIZE,
  insertEntryIfAbsent,
  listKeys,
  selectEntry,
  updateEntryIfVersion,
  upsertEntries,
  upsertEntry,
} from './statements.ts'
import {
  type ClearKeysOptions,
  clearOptionsSchema,
  entriesSchema,
  type KvEntry,
  type KvSetOptions,
  keysSchema,
  kvSetOptionsSchema,
  MAX_KEYS,
  type SetIfAbsentOptions,
  setIfAbsentOptionsSchema,
} from './types.ts'

/** The program's own values by key: any JSON, with an optional time to live. */
export class Kv extends KvReads {
  /**
   * Returns the keys of a namespace, which has keys of its own: the same key in two namespaces names two entries. The labels
   * lead down from this namespace, and may be any text: nothing has to be escaped. A namespace needs no creation. The
   * namespace with its labels, the key, and a byte for each label have at most 1024 bytes together.
   *
   * @throws {INVALID_INPUT} when a label is not text of 1 to 1024 bytes, or there is none.
   *
   * @example
   * ```ts
   * const notes = storage.kv.namespace('users', 'ann', 'notes')
   * await notes.set('today', 'buy tea')
   * console.log((await notes.keys()).items) // [ 'today' ]
   * ```
   */
  namespace(...labels: string[]): Kv {
    return new Kv(this.db, this.context, this.place.below(parseInput(labelsSchema, labels, 'labels')))
  }

  /**
   * Writes a value, and returns its entry. With `sessionId` the entry goes when that session goes. Safe to repeat without
   * `ifVersion`, though each call raises the version.
   *
   * @throws {NOT_FOUND} when the owner has no session `sessionId`.
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
    const { ifVersion, ...kept } = parseInput(kvSetOptionsSchema, options, 'options')
    const write = this.#parseWrite(key, value, kept)
    if (ifVersion === undefined) {
      const written = await this.#write([write], (db) => upsertEntry.first(db, write))
      return named(key, written as KvEntry) // an upsert returns its row
    }
    const updated = await this.#write([write], (db) => updateEntryIfVersion.first(db, { ...write, ifVersion }))
    if (updated === undefined) throw await this.#versionConflict(key, write.key, ifVersion)
    return named(key, updated)
  }

  /**
   * Writes up to 1000 values, given as pairs of key and value, in one transaction and with the same time to live. Of two
   * values of a key the last counts. One round trip. Safe to repeat, though each call raises the versions.
   *
   * @throws {NOT_FOUND} when the owner has no session `sessionId`.
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
    const kept = parseInput(setIfAbsentOptionsSchema, options, 'options')
    if (typeof Object(values)[Symbol.iterator] !== 'function')
      throw invalidInput([{ path: 'values', message: 'must be pairs of key and value, such as a Map' }])
    const given = new Map(
      parseInput(
        entriesSchema,
        Array.from(values, (pair) => (Array.isArray(pair) ? [...pair] : pair)),
        'values',
      ),
    )
    const keeping = this.#keeping(kept)
    // Sorted, so that two calls lock their rows in one order and cannot deadlock.
    const writes = Array.from(given, ([key, value]) => ({ key: this.place.stored(key), value, ...keeping }))
    if (writes.length === 0) return
    writes.sort((a, b) => (a.key < b.key ? -1 : 1))
    await this.#write(writes, (db) => batch(db, upsertEntries.with(writes)))
  }

  /**
   * Writes a value if the key has none. Returns the value of the key afterwards, and whether this call wrote it. Safe
   * to repeat.
   *
   * @typeParam Value The expected type of the value. It is not checked.
   * @throws {NOT_FOUND} when the owner has no session `sessionId`.
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
    const write = this.#parseWrite(key, value, parseInput(setIfAbsentOptionsSchema, options, 'options'))
    for (;;) {
      // Invalidate even if the key exists: its writer may not have invalidated yet.
      const inserted = await this.#write([write], (db) => insertEntryIfAbsent.first(db, write))
      if (inserted !== undefined) return { value: inserted.value, inserted: true }
      const existing = await selectEntry.first(this.db, { key: write.key, now: write.now })
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
    const stored = this.place.stored(parseInput(keySchema, key, 'key'))
    const now = this.context.now()
    const remove = (db = this.db) => deleteEntry.first(db, { key: stored, now })
    const removed = await this.context.cache.write(rowsOf([stored]), remove)
    return removed !== undefined && (removed.expiresAt === null || removed.expiresAt > now)
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
    return this.#deleteStored(parseInput(keysSchema, keys, 'keys').map((key) => this.place.stored(key)))
  }

  /**
   * Removes all values, those of the namespaces below included, or those whose keys begin with `prefix`. Removes up to 1000 in
   * a transaction. Returns the number removed. Safe to repeat: a call that was interrupted goes on with what is left.
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
    const range: PrefixRange = prefix === undefined ? this.place.range() : prefixRange(this.place.prefix(prefix))
    let removed = 0
    for (let cursor: string | undefined; ; ) {
      const filters = { now: this.context.now(), ...range }
      const { items, nextCursor } = await listKeys(this.db, filters, { cursor, limit: MAX_KEYS }, 'asc')
      removed += await this.#deleteStored(items.map(({ key }) => key))
      if (nextCursor === undefined) return removed
      cursor = nextCursor
    }
  }

  /**
   * Removes entries that expired five minutes ago or earlier, in batches. Returns the number removed. Called by
   * maintenance.
   *
   * @internal
   */
  async sweepExpired(): Promise<number> {
    const now = sweepableBefore(await this.context.confirmedNow(this.db))
    for (let removed = 0; ; ) {
      const expired = await deleteExpiredBatch.all(this.db, { now })
      removed += expired.length
      if (expired.length < EXPIRED_BATCH_SIZE) return removed
    }
  }

  async #deleteStored(keys: readonly string[]): Promise<number> {
    const stored = [...new Set(keys)].sort()
    if (stored.length === 0) return 0
    const now = this.context.now()
    const arg = { keys: JSON.stringify(stored), now }
    const removed = await this.context.cache.write(rowsOf(stored), (db = this.db) => deleteEntries.all(db, arg))
    return removed.filter(({ expiresAt }) => expiresAt === null || expiresAt > now).length
  }

  #parseWrite(key: string, value: unknown, options: SetIfAbsentOptions): EntryWrite {
    return {
      key: this.place.stored(parseInput(keySchema, key, 'key')),
      value: parseInput(jsonSchema, value, 'value'),
      ...this.#keeping(options),
    }
  }

  /** Returns how long entries are kept. */
  #keeping({ ttlSeconds, sessionId }: SetIfAbsentOptions): Omit<EntryWrite, 'key' | 'value'> {
    const now = this.context.now()
    const expiresAt = ttlSeconds === undefined ? null : new Date(now.getTime() + ttlSeconds * 1000)
    return { sessionId: sessionId ?? null, now, expiresAt }
  }

  /** Runs a write of entries that all go with the same session, or with none. */
  #write<T>(entries: readonly EntryWrite[], work: (db: Db) => Promise<T>): Promise<T> {
    const [{ sessionId, now } = this.#keeping({})] = entries
    return this.context.cache.write(rowsOf(entries.map(({ key }) => key)), (db = this.db) =>
      sessionId === null ? work(db) : inSession(db, { sessionId, now }, work),
    )
  }

  async #versionConflict(key: string, stored: string, expected: number): Promise<StorageError> {
    const current = await selectEntry.first(this.db, { key: stored, now: this.context.now() })
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
