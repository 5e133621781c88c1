import { and, eq, gte, inArray, lt, lte, type SQL, sql } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../database/db.ts'
import { notExpired } from '../database/expiry.ts'
import { pagedQuery } from '../database/paging/list-query.ts'
import { type Page, type PageOptions, pageSchema } from '../database/paging/page.ts'
import { prefixRange } from '../database/paging/prefix-range.ts'
import { batch, rowsStatement, statement } from '../database/statement.ts'
import { StorageError } from '../errors.ts'
import type { Json } from '../schema/values.ts'
import { keySchema, parseInput, prefixSchema, ttlSecondsSchema, versionSchema } from '../validation/input.ts'
import { jsonSchema } from '../validation/json.ts'
import type { RepositoryContext } from './context.ts'

export interface KvEntry {
  key: string
  value: Json
  /** Counts the writes of this key, from 1. */
  version: number
  createdAt: Date
  updatedAt: Date
  /** From then on the entry is absent. */
  expiresAt: Date | null
}

export const kvSetOptionsSchema = z.strictObject({
  ttlSeconds: ttlSecondsSchema.optional(),
  ifVersion: versionSchema.optional(),
})
export type KvSetOptions = z.input<typeof kvSetOptionsSchema>
const setIfAbsentOptionsSchema = kvSetOptionsSchema.omit({ ifVersion: true })

const listSchema = z.strictObject({
  prefix: prefixSchema.optional(),
  ...pageSchema.shape,
})
const keysSchema = z.array(keySchema).max(1000)

const selectEntry = statement(({ orm, tables: { kv } }, arg: { key: string; now: Date }) =>
  orm
    .select()
    .from(kv)
    .where(and(eq(kv.key, arg.key), notExpired(kv, arg.now))),
)

const selectEntries = rowsStatement(({ orm, tables: { kv } }, rows: { key: string; now: Date }[]) =>
  orm
    .select()
    .from(kv)
    .where(
      and(
        inArray(
          kv.key,
          rows.map(({ key }) => key),
        ),
        rows[0] && notExpired(kv, rows[0].now),
      ),
    ),
)

interface Write {
  key: string
  value: Json
  now: Date
  expiresAt: Date | null
}

/** An entry that has expired counts as absent: the write starts it anew. */
const upsertEntry = statement(({ orm, tables: { kv } }, arg: Write) => {
  const fresh = (kept: SQL, anew: SQL) => sql`case when ${notExpired(kv, arg.now)} then ${kept} else ${anew} end`
  return orm
    .insert(kv)
    .values(newEntry(arg))
    .onConflictDoUpdate({
      target: kv.key,
      set: {
        value: arg.value,
        version: fresh(sql`${kv.version} + 1`, sql`1`),
        createdAt: fresh(sql`${kv.createdAt}`, sql`excluded.created_at`),
        updatedAt: arg.now,
        expiresAt: arg.expiresAt,
      },
    })
    .returning()
})

const updateEntry = statement(({ orm, tables: { kv } }, arg: Write & { ifVersion: number }) =>
  orm
    .update(kv)
    .set({ value: arg.value, version: sql`${kv.version} + 1`, updatedAt: arg.now, expiresAt: arg.expiresAt })
    .where(and(eq(kv.key, arg.key), eq(kv.version, arg.ifVersion), notExpired(kv, arg.now)))
    .returning(),
)

const insertEntry = statement(({ orm, tables: { kv } }, arg: Write) =>
  orm
    .insert(kv)
    .values(newEntry(arg))
    .onConflictDoUpdate({ target: kv.key, set: newEntry(arg), setWhere: lte(kv.expiresAt, arg.now) })
    .returning(),
)

function newEntry({ key, value, now, expiresAt }: Write) {
  return { key, value, version: 1, createdAt: now, updatedAt: now, expiresAt }
}

const deleteEntry = statement(({ orm, tables: { kv } }, arg: { key: string }) =>
  orm.delete(kv).where(eq(kv.key, arg.key)).returning({ expiresAt: kv.expiresAt }),
)

const deleteExpired = statement(({ orm, tables: { kv } }, arg: { now: Date }) => {
  const expired = lte(kv.expiresAt, arg.now)
  // Ordered, and with a limit that it sees, so that PostgreSQL takes the index and not the first rows that it finds.
  const some = orm.select({ key: kv.key }).from(kv).where(expired).orderBy(kv.expiresAt).limit(EXPIRED_AT_ONCE)
  return orm
    .delete(kv)
    .where(and(expired, inArray(kv.key, some)))
    .returning({ key: kv.key })
})

const listEntries = pagedQuery({
  name: 'kv',
  select: ({ orm, tables }) => orm.select().from(tables.kv),
  filters: {
    now: ({ kv }, now: Date) => notExpired(kv, now),
    from: ({ kv }, from: string) => gte(kv.key, from),
    before: ({ kv }, before: string) => lt(kv.key, before),
  },
  orderBy: [{ name: 'key', kind: 'text', column: ({ kv }) => kv.key }],
})

/** How many expired entries are removed at a time. */
const EXPIRED_AT_ONCE = 1000

/** The program's own values by key: any JSON, with an optional expiry. */
export class Kv {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /**
   * Returns the value of a key, or undefined if the key has none. Cached.
   *
   * @example
   * ```ts
   * await storage.kv.set('theme', { dark: true })
   * console.log(await storage.kv.get('theme')) // { dark: true }
   * ```
   */
  async get(key: string): Promise<Json | undefined> {
    return (await this.getEntry(key))?.value
  }

  /** The value with its version and times, or undefined. Cached. */
  async getEntry(key: string): Promise<KvEntry | undefined> {
    parseInput(keySchema, key, 'key')
    const now = this.#context.now()
    return this.#context.cache.read('kv', key, (db = this.#db) => selectEntry.first(db, { key, now }))
  }

  /** The values of those keys (up to 1000) that are there. Not cached. */
  async getMany(keys: readonly string[]): Promise<Map<string, Json>> {
    parseInput(keysSchema, keys, 'keys')
    const now = this.#context.now()
    const calls = selectEntries.with(keys.map((key) => ({ key, now })))
    const entries = (await batch(this.#db, calls)).flat()
    return new Map(entries.map(({ key, value }) => [key, value]))
  }

  /**
   * Writes a value, for `ttlSeconds` or for good. `ifVersion` refuses where someone else came first, or where there is
   * nothing. Errors: VERSION_CONFLICT, INVALID_INPUT. Safe to repeat without `ifVersion`, though the version rises.
   */
  async set(key: string, value: unknown, options: KvSetOptions = {}): Promise<KvEntry> {
    const { ttlSeconds, ifVersion } = parseInput(kvSetOptionsSchema, options, 'options')
    const write = this.#write(key, value, ttlSeconds)
    const entry = await this.#context.cache.write([['kv', key]], () =>
      ifVersion === undefined
        ? upsertEntry.first(this.#db, write)
        : updateEntry.first(this.#db, { ...write, ifVersion }),
    )
    if (entry === undefined) throw await this.#conflict(key, ifVersion)
    return entry
  }

  /** Writes a value where there is none; the value that is there afterwards, and whether it is this one. Safe to repeat. */
  async setIfAbsent(
    key: string,
    value: unknown,
    options: { ttlSeconds?: number | undefined } = {},
  ): Promise<{ value: Json; inserted: boolean }> {
    const { ttlSeconds } = parseInput(setIfAbsentOptionsSchema, options, 'options')
    const write = this.#write(key, value, ttlSeconds)
    for (;;) {
      // Also where another's is there: whoever wrote it may not have come to tell the cache yet.
      const inserted = await this.#context.cache.write([['kv', key]], () => insertEntry.first(this.#db, write))
      if (inserted !== undefined) return { value: inserted.value, inserted: true }
      const there = await selectEntry.first(this.#db, { key, now: write.now })
      if (there !== undefined) return { value: there.value, inserted: false }
      // It was deleted in between: try again.
    }
  }

  /** Whether there was a value. Safe to repeat. */
  async delete(key: string): Promise<boolean> {
    parseInput(keySchema, key, 'key')
    const removed = await this.#context.cache.write([['kv', key]], () => deleteEntry.first(this.#db, { key }))
    return removed !== undefined && (removed.expiresAt === null || removed.expiresAt > this.#context.now())
  }

  /** Keys in byte order, those that begin with `prefix`. */
  async keys(options: { prefix?: string | undefined } & PageOptions = {}): Promise<Page<string>> {
    const { items, ...page } = await this.entries(options)
    return { items: items.map(({ key }) => key), ...page }
  }

  /** Entries in the byte order of their keys, those that begin with `prefix`. */
  async entries(options: { prefix?: string | undefined } & PageOptions = {}): Promise<Page<KvEntry>> {
    const { prefix, ...page } = parseInput(listSchema, options, 'options')
    return listEntries(this.#db, { now: this.#context.now(), ...prefixRange(prefix) }, page, 'asc')
  }

  /** Removes expired entries, some at a time; how many. For maintenance. @internal */
  async sweepExpired(): Promise<number> {
    for (let removed = 0; ; ) {
      const expired = await deleteExpired.all(this.#db, { now: this.#context.now() })
      removed += expired.length
      if (expired.length < EXPIRED_AT_ONCE) return removed
    }
  }

  #write(key: string, value: unknown, ttlSeconds: number | undefined): Write {
    const now = this.#context.now()
    const expiresAt = ttlSeconds === undefined ? null : new Date(now.getTime() + ttlSeconds * 1000)
    return { key: parseInput(keySchema, key, 'key'), value: parseInput(jsonSchema, value, 'value'), now, expiresAt }
  }

  async #conflict(key: string, expected: number | undefined): Promise<StorageError> {
    const there = await selectEntry.first(this.#db, { key, now: this.#context.now() })
    const actual = there?.version
    const state = actual === undefined ? 'is not there' : `is at version ${actual}`
    return new StorageError('VERSION_CONFLICT', `The entry ${state}, not at version ${expected}: read it again`, {
      details: { key, expected, actual },
    })
  }
}
