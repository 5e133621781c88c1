import { and, eq } from 'drizzle-orm'
import type { RowKey } from '../cache/row-cache.ts'
import type { Db } from '../database/db.ts'
import { ownerOfNames } from '../database/owner.ts'
import { pagedQuery } from '../database/paging/list-query.ts'
import { mapPage, type Page, type PageOptions } from '../database/paging/page.ts'
import { prefixFilters, prefixPageSchema, prefixRange } from '../database/paging/prefix-range.ts'
import { type Builder, statement } from '../database/statement.ts'
import type { Tables } from '../schema/tables.ts'
import type { Given, Json } from '../schema/values.ts'
import { idSchema, keySchema, parseInput } from '../validation/input.ts'
import { jsonSchema } from '../validation/json.ts'
import type { RepositoryContext } from './context.ts'

/** A value that a tool stored under a key. */
export interface ToolStateEntry<Value = Json> {
  tool: string
  key: string
  value: Value
  updatedAt: Date
}

export interface ListToolStateKeysOptions extends PageOptions {
  /** Only keys that begin with this text. Default: all keys of the tool. */
  prefix?: string | undefined
}

/** Identifies an entry. */
interface EntryKey {
  tool: string
  key: string
}

/** Lists the columns of a `ToolStateEntry`. */
const entryColumns = ({ toolState: s }: Tables) => ({
  tool: s.tool,
  key: s.key,
  value: s.value,
  updatedAt: s.updatedAt,
})

const isOwn = (db: Builder) => eq(db.tables.toolState.ownerId, ownerOfNames(db))

function isEntry(db: Builder, { tool, key }: EntryKey) {
  const { toolState: s } = db.tables
  return and(isOwn(db), eq(s.tool, tool), eq(s.key, key))
}

const upsertEntry = statement((db, { tool, key, value, updatedAt }: ToolStateEntry) => {
  const { toolState: s } = db.tables
  return db.orm
    .insert(s)
    .values({ ownerId: ownerOfNames(db), tool, key, value, updatedAt })
    .onConflictDoUpdate({ target: [s.ownerId, s.tool, s.key], set: { value, updatedAt } })
    .returning(entryColumns(db.tables))
})

const selectEntry = statement((db, arg: EntryKey) =>
  db.orm.select(entryColumns(db.tables)).from(db.tables.toolState).where(isEntry(db, arg)),
)

const deleteEntry = statement((db, arg: EntryKey) => {
  const { toolState: s } = db.tables
  return db.orm.delete(s).where(isEntry(db, arg)).returning({ key: s.key })
})

const listKeys = pagedQuery({
  name: 'toolState',
  select: ({ orm, tables: { toolState: s } }) => orm.select({ key: s.key }).from(s),
  visible: isOwn,
  filters: {
    tool: ({ toolState }, tool: string) => eq(toolState.tool, tool),
    ...prefixFilters(({ toolState }) => toolState.key),
  },
  orderBy: [{ name: 'key', kind: 'text', column: ({ toolState }) => toolState.key }],
})

/** Tool state: JSON by key that tools keep between their calls. Each tool has its own namespace. */
export class ToolState {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /**
   * Returns the value of a key, or undefined if the key does not exist. Cached.
   *
   * @typeParam Value The expected type of the value. It is not checked.
   * @throws {INVALID_INPUT} when the tool or the key is not valid.
   *
   * @example
   * ```ts
   * await storage.toolState.set('calendar', 'lastSync', '2026-05-01')
   * console.log(await storage.toolState.get('calendar', 'lastSync')) // 2026-05-01
   * ```
   */
  get<Value = Json>(tool: string, key: string): Promise<Value | undefined>
  async get(tool: string, key: string): Promise<Json | undefined> {
    const entryKey = parseEntryKey(tool, key)
    const load = (db = this.#db) => selectEntry.first(db, entryKey)
    return (await this.#context.cache.read(...cachedRowOf(entryKey), load))?.value
  }

  /**
   * Creates or replaces the value of a key. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the tool or the key is not valid, or the value is not JSON.
   *
   * @example
   * ```ts
   * const { updatedAt } = await storage.toolState.set('calendar', 'lastSync', '2026-05-01')
   * ```
   */
  set<Value = Json>(tool: string, key: string, value: Given<Value, Json, unknown>): Promise<ToolStateEntry<Value>>
  async set(tool: string, key: string, value: unknown): Promise<ToolStateEntry> {
    const entryKey = parseEntryKey(tool, key)
    const entry = { ...entryKey, value: parseInput(jsonSchema, value, 'value'), updatedAt: this.#context.now() }
    const written = await this.#context.cache.write([cachedRowOf(entryKey)], (db = this.#db) =>
      upsertEntry.first(db, entry),
    )
    return written as ToolStateEntry // an upsert always returns its row
  }

  /**
   * Removes a key. Returns true if the key existed. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the tool or the key is not valid.
   *
   * @example
   * ```ts
   * await storage.toolState.set('calendar', 'lastSync', '2026-05-01')
   * console.log(await storage.toolState.delete('calendar', 'lastSync')) // true
   * ```
   */
  async delete(tool: string, key: string): Promise<boolean> {
    const entryKey = parseEntryKey(tool, key)
    const deleted = await this.#context.cache.write([cachedRowOf(entryKey)], (db = this.#db) =>
      deleteEntry.first(db, entryKey),
    )
    return deleted !== undefined
  }

  /**
   * Returns a page of a tool's keys in byte order. A prefix is plain text: `user:1` also matches `user:10`. Keys below
   * `user:1` alone have the prefix `user:1:`.
   *
   * @throws {INVALID_INPUT} when the tool or an option is not valid.
   *
   * @example
   * ```ts
   * await storage.toolState.set('calendar', 'user:1:token', 'abc')
   * await storage.toolState.set('calendar', 'user:10:token', 'def')
   * console.log((await storage.toolState.keys('calendar', { prefix: 'user:1:' })).items) // [ 'user:1:token' ]
   * ```
   */
  async keys(tool: string, options: ListToolStateKeysOptions = {}): Promise<Page<string>> {
    parseInput(idSchema, tool, 'tool')
    const { prefix, ...page } = parseInput(prefixPageSchema, options, 'options')
    return mapPage(await listKeys(this.#db, { tool, ...prefixRange(prefix) }, page, 'asc'), ({ key }) => key)
  }
}

function parseEntryKey(tool: string, key: string): EntryKey {
  return { tool: parseInput(idSchema, tool, 'tool'), key: parseInput(keySchema, key, 'key') }
}

/** Returns the cache key of an entry. The encoding is unambiguous: no two entries share a cache key. */
function cachedRowOf({ tool, key }: EntryKey): RowKey {
  return ['toolState', JSON.stringify([tool, key])]
}
