import type { Db } from '../../database/db.ts'
import { mapPage, type Page } from '../../database/paging/page.ts'
import { prefixRange } from '../../database/paging/prefix-range.ts'
import { batch } from '../../database/statement.ts'
import type { Json } from '../../schema/values.ts'
import { keySchema, parseInput } from '../../validation/input.ts'
import type { RepositoryContext } from '../context.ts'
import { Namespace } from './namespace.ts'
import { listNamespaces } from './namespaces.ts'
import { listEntries, listKeys, selectEntries, selectEntry } from './statements.ts'
import {
  type FindEntriesOptions,
  findOptionsSchema,
  type KvEntry,
  keysSchema,
  type ListKeysOptions,
  type ListNamespacesOptions,
  type LocatedEntry,
  listOptionsSchema,
  namespacesOptionsSchema,
} from './types.ts'
import { conditionsOf } from './where.ts'

/** The calls of `Kv` that read. */
export class KvReads {
  /** @internal */
  protected readonly db: Db
  /** @internal */
  protected readonly context: RepositoryContext
  /** @internal */
  protected readonly place: Namespace

  /** @internal */
  constructor(db: Db, context: RepositoryContext, place = new Namespace()) {
    this.db = db
    this.context = context
    this.place = place
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
    const stored = this.place.stored(parseInput(keySchema, key, 'key'))
    const now = this.context.now()
    const read = (db = this.db) => selectEntry.first(db, { key: stored, now })
    const entry = await this.context.cache.read('kv', stored, read)
    return entry && named(key, entry)
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
    const now = this.context.now()
    const calls = selectEntries.with(keys.map((key) => ({ key: this.place.stored(key), now })))
    const entries = (await batch(this.db, calls)).flat()
    return new Map(entries.map(({ key, value }) => [this.place.given(key), value]))
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
    const { order, filters, page } = this.#listArguments(options)
    return mapPage(await listKeys(this.db, filters, page, order), ({ key }) => this.place.given(key))
  }

  /**
   * Returns a page of the entries, in the byte order of their keys.
   *
   * @typeParam Value The expected type of each value. It is not checked.
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.kv.set('task:1', { status: 'open', priority: 3 })
   * const urgent = { status: 'open', priority: { gte: 3 } }
   * const { items } = await storage.kv.entries({ prefix: 'task:', where: urgent })
   * for (const { key, value } of items) console.log(key, value) // task:1 { status: 'open', priority: 3 }
   * ```
   */
  entries<Value = Json>(options?: ListKeysOptions): Promise<Page<KvEntry<Value>>>
  async entries(options: ListKeysOptions = {}): Promise<Page<KvEntry>> {
    const { order, filters, page } = this.#listArguments(options)
    const found = await listEntries(this.db, filters, page, order)
    return mapPage(found, (entry) => named(this.place.given(entry.key), entry))
  }

  /**
   * Returns a page of the entries of this namespace and of all namespaces below it. An entry that is further down comes
   * after those that are further up.
   *
   * @typeParam Value The expected type of each value. It is not checked.
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.kv.namespace('users', 'ann', 'notes').set('today', { topic: 'tea' })
   * const { items } = await storage.kv.namespace('users').find({ where: { topic: 'tea' } })
   * for (const { namespace, key } of items) console.log(namespace, key) // [ 'ann', 'notes' ] today
   * ```
   */
  find<Value = Json>(options?: FindEntriesOptions): Promise<Page<LocatedEntry<Value>>>
  async find(options: FindEntriesOptions = {}): Promise<Page<LocatedEntry>> {
    const { where, order = 'asc', ...page } = parseInput(findOptionsSchema, options, 'options')
    const filters = { now: this.context.now(), ...this.place.range(), where: conditionsOf(where) }
    const found = await listEntries(this.db, filters, page, order)
    return mapPage(found, (entry) => ({ ...entry, ...this.place.locate(entry.key) }))
  }

  /**
   * Returns a page of the namespaces below this one, each as its labels. A namespace exists as long as it has an entry. With
   * `depth`, deeper namespaces are cut to so many labels, and each is returned once. The time does not depend on the number
   * of entries.
   *
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.kv.namespace('users', 'ann', 'notes').set('today', 'tea')
   * console.log((await storage.kv.namespaces()).items) // [ [ 'users', 'ann', 'notes' ] ]
   * console.log((await storage.kv.namespace('users').namespaces({ depth: 1 })).items) // [ [ 'ann' ] ]
   * ```
   */
  async namespaces(options: ListNamespacesOptions = {}): Promise<Page<string[]>> {
    const { depth, ...page } = parseInput(namespacesOptionsSchema, options, 'options')
    return listNamespaces(this.db, this.place, { ...page, depth, now: this.context.now() })
  }

  #listArguments(options: ListKeysOptions) {
    const { prefix, where, order = 'asc', ...page } = parseInput(listOptionsSchema, options, 'options')
    const range = prefixRange(this.place.prefix(prefix))
    return { order, page, filters: { now: this.context.now(), ...range, where: conditionsOf(where) } }
  }
}

/** Returns an entry under the key that its caller knows. */
export function named(key: string, entry: KvEntry): KvEntry {
  return entry.key === key ? entry : { ...entry, key }
}
