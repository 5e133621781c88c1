import { and, asc, eq, gte, lt, sql } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../database/db.ts'
import { pagedQuery } from '../database/paging/list-query.ts'
import { type Page, type PageOptions, pageSchema } from '../database/paging/page.ts'
import { prefixRange } from '../database/paging/prefix-range.ts'
import { batch, rowsStatement, statement } from '../database/statement.ts'
import type { Json } from '../schema/values.ts'
import {
  checkFunction,
  invalidInput,
  keySchema,
  limitSchema,
  MAX_INTEGER,
  parseInput,
  positionSchema,
  prefixSchema,
} from '../validation/input.ts'
import { jsonSchema } from '../validation/json.ts'

const itemsSchema = z.array(jsonSchema)
const listSchema = z.strictObject({
  prefix: prefixSchema.optional(),
  ...pageSchema.shape,
})

/** Makes room at the end of the list, which it creates if need be, and locks it. */
const extendList = statement(({ orm, tables: { lists } }, arg: { key: string; count: number }) =>
  orm
    .insert(lists)
    .values({ key: arg.key, length: arg.count })
    .onConflictDoUpdate({ target: lists.key, set: { length: sql`${lists.length} + excluded.length` } })
    .returning({ length: lists.length }),
)

/** `fromEnd` counts back from the list's length, which is that after the append. */
const insertItems = rowsStatement(
  ({ orm, tables: { lists, listItems } }, rows: { key: string; fromEnd: number; value: Json }[]) =>
    orm.insert(listItems).values(
      rows.map(({ key, fromEnd, value }) => ({
        key,
        position: sql`(select ${lists.length} from ${lists} where ${eq(lists.key, key)}) - cast(${fromEnd} as integer)`,
        value,
      })),
    ),
)

const selectLength = statement(({ orm, tables: { lists } }, arg: { key: string }) =>
  orm.select({ length: lists.length }).from(lists).where(eq(lists.key, arg.key)),
)

const selectItems = statement(({ orm, tables: { listItems: i } }, arg: { key: string; start: number; end: number }) =>
  orm
    .select({ value: i.value })
    .from(i)
    .where(and(eq(i.key, arg.key), gte(i.position, arg.start), lt(i.position, arg.end)))
    .orderBy(asc(i.position)),
)

const deleteList = statement(({ orm, tables: { lists } }, arg: { key: string }) =>
  orm.delete(lists).where(eq(lists.key, arg.key)).returning({ key: lists.key }),
)

const listKeys = pagedQuery({
  name: 'lists',
  select: ({ orm, tables }) => orm.select().from(tables.lists),
  filters: {
    from: ({ lists }, from: string) => gte(lists.key, from),
    before: ({ lists }, before: string) => lt(lists.key, before),
  },
  orderBy: [{ name: 'key', kind: 'text', column: ({ lists }) => lists.key }],
})

/** Ordered lists of JSON values by key. A list without items is no list. */
export class Lists {
  readonly #db: Db

  /** @internal */
  constructor(db: Db) {
    this.#db = db
  }

  /** Adds items at the end, atomically and in one round trip; the length after it. Not safe to repeat. Errors: INVALID_INPUT. */
  async append(key: string, ...items: unknown[]): Promise<number> {
    parseInput(keySchema, key, 'key')
    const values = parseInput(itemsSchema, items, 'items')
    if (values.length === 0) return this.length(key)
    const [extended] = await batch(this.#db, appendCalls(key, values))
    const [row] = extended as { length: number }[] // the first call's row
    return row?.length ?? 0
  }

  /** Up to `count` items (1 to 1000) from position `start`, the first being 0. */
  async range(key: string, start: number, count: number): Promise<Json[]> {
    parseInput(keySchema, key, 'key')
    const from = parseInput(positionSchema, start, 'start')
    return this.#items(this.#db, key, from, from + parseInput(limitSchema, count, 'count'))
  }

  /** How many items there are; 0 where there is no list. */
  async length(key: string): Promise<number> {
    parseInput(keySchema, key, 'key')
    return (await selectLength.first(this.#db, { key }))?.length ?? 0
  }

  /**
   * Replaces the items by what `change` makes of them, in one transaction that no append and no other update comes
   * between; `change` may be async. What it throws leaves the list as it was. Resolves to its `result`.
   * Errors: INVALID_INPUT.
   */
  async update<R>(
    key: string,
    change: (
      items: Json[],
    ) => { items: readonly unknown[]; result: R } | Promise<{ items: readonly unknown[]; result: R }>,
  ): Promise<R> {
    parseInput(keySchema, key, 'key')
    checkFunction(change, 'change')
    return this.#db.transaction(async (tx) => {
      await extendList.all(tx, { key, count: 0 })
      const changed = await change(await this.#items(tx, key, 0, MAX_INTEGER))
      if (Object(changed) !== changed)
        throw invalidInput([{ path: 'change', message: 'must return { items, result }' }])
      const { items, result } = changed
      const values = parseInput(itemsSchema, items, 'items')
      // The items go with the list; the row was held by this transaction, so nobody saw it gone.
      await batch(tx, [deleteList.with({ key }), ...(values.length === 0 ? [] : appendCalls(key, values))])
      return result
    })
  }

  /** Whether there was a list. Safe to repeat. */
  async delete(key: string): Promise<boolean> {
    parseInput(keySchema, key, 'key')
    return (await deleteList.first(this.#db, { key })) !== undefined
  }

  /** The keys of lists in byte order, those that begin with `prefix`. */
  async keys(options: { prefix?: string | undefined } & PageOptions = {}): Promise<Page<string>> {
    const { prefix, ...page } = parseInput(listSchema, options, 'options')
    const { items, ...rest } = await listKeys(this.#db, prefixRange(prefix), page, 'asc')
    return { items: items.map(({ key }) => key), ...rest }
  }

  async #items(db: Db, key: string, start: number, end: number): Promise<Json[]> {
    return (await selectItems.all(db, { key, start, end: Math.min(end, MAX_INTEGER) })).map(({ value }) => value)
  }
}

function appendCalls(key: string, values: readonly Json[]) {
  const rows = values.map((value, i) => ({ key, fromEnd: values.length - i, value }))
  return [extendList.with({ key, count: values.length }), ...insertItems.with(rows)]
}
