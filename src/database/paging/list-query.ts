import { and, type SQL } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import type { Tables } from '../../schema/tables.ts'
import { instantSchema, invalidInput, isStorable } from '../../validation/input.ts'
import type { Db } from '../db.ts'
import { type Builder, type Built, type Statement, statement } from '../statement.ts'
import { keyset } from './keyset.ts'
import { DEFAULT_LIMIT, type Order, type Page, type PageOptions } from './page.ts'

type KeyKind = 'instant' | 'text' | 'integer'

/** What a list selects, how it may be filtered, and the unique key that it is ordered by. */
interface ListQuery<Filters extends object, Item extends object> {
  /** Part of every cursor, so that a cursor of another list is refused. */
  name: string
  select(db: Builder): Selectable<Item>
  /** The condition of the rows that the handle may see: see `isVisible` and `ownerOfNames`. */
  visible: (db: Builder) => SQL | undefined
  /** The first column of the index, if all items of a list have one value in it. The value is passed with the filters. */
  partition?: (tables: Tables) => PgColumn
  /** The condition of each filter. A value may be a list, for an IN. */
  filters: { [K in keyof Filters]-?: (tables: Tables, value: NonNullable<Filters[K]>, db: Builder) => SQL }
  /**
   * The columns that the list is ordered by, most significant first. The last one makes the order unique. `name` is the
   * item's property whose value goes into the cursor.
   */
  orderBy: readonly { name: keyof Item & string; kind: KeyKind; column: (tables: Tables) => PgColumn }[]
}

/** A drizzle SELECT before its `where`. */
interface Selectable<Item> {
  where(condition: SQL | undefined): { orderBy(...keys: SQL[]): { limit(count: number): Built<Item> } }
}

/**
 * Makes a function that reads one page of a list, with keyset paging: the next page starts after the key of the last item.
 * So a page costs the same at any depth, and rows inserted before it do not shift it. One statement is compiled for each
 * combination of filters, and of the lengths of their lists, that occurs.
 */
export function pagedQuery<Filters extends object, Item extends object>(list: ListQuery<Filters, Item>) {
  const statements = new Map<string, Statement<Record<string, unknown>, Item>>()

  return async (
    db: Db,
    { partition, ...filters }: Partial<Filters> & { partition?: string },
    { limit = DEFAULT_LIMIT, cursor }: PageOptions,
    order: Order,
  ): Promise<Page<Item>> => {
    const given = Object.entries(filters).filter(([, value]) => value !== undefined)
    const after = cursor === undefined ? undefined : decodeCursor(list, cursor)
    const names = given.map(([name, value]) => {
      const placeholders = Array.isArray(value) ? value.map((_, i) => `${name}.${i}`) : name
      return [name as keyof Filters, placeholders] as const // the entries of Filters
    })
    const shape = [
      order,
      after === undefined ? 'first' : 'next',
      ...names.flatMap(([, placeholder]) => placeholder),
    ].join()
    let query = statements.get(shape)
    if (query === undefined) {
      query = compile(list, names, order, after !== undefined)
      statements.set(shape, query)
    }
    const rows = await query.all(db, { ...Object.fromEntries(given), ...after, partition, limit: limit + 1 })
    const items = rows.slice(0, limit)
    const last = items.at(-1)
    return rows.length > limit && last ? { items, nextCursor: cursorOf(list, last) } : { items }
  }
}

/** Prefix of the placeholders for the values of a cursor. */
export const CURSOR = 'cursor_'

/** Compiles the query. `names` are the given filters, each with its placeholder, or placeholders if its value is a list. */
function compile<Filters extends object, Item extends object>(
  { select, visible, partition, filters, orderBy }: ListQuery<Filters, Item>,
  names: (readonly [filter: keyof Filters, placeholders: string | string[]])[],
  order: Order,
  hasCursor: boolean,
): Statement<Record<string, unknown>, Item> {
  return statement((db, arg: Record<string, unknown>) => {
    const conditions = names.map(([filter, name]) => {
      const placeholder = Array.isArray(name) ? name.map((item) => arg[item]) : arg[name]
      return filters[filter](db.tables, placeholder as NonNullable<Filters[typeof filter]>, db) // typed as the value
    })
    const page = keyset(db.dialect, {
      columns: orderBy.map(({ column }) => column(db.tables)),
      order,
      after: hasCursor ? orderBy.map(({ name }) => arg[CURSOR + name]) : undefined,
      partition: partition && { column: partition(db.tables), value: arg.partition },
    })
    return select(db)
      .where(and(visible(db), ...conditions, page.condition))
      .orderBy(...page.orderBy)
      .limit(arg.limit as number)
  })
}

export type CursorFormat<Item extends object> = Pick<ListQuery<object, Item>, 'name' | 'orderBy'>

/** Returns the cursor of the page that follows an item. */
export function cursorOf<Item extends object>({ name, orderBy }: CursorFormat<Item>, item: Item): string {
  const values = orderBy.map(({ name }) => {
    const value: unknown = item[name]
    return value instanceof Date ? value.getTime() : value
  })
  return Buffer.from(JSON.stringify([name, ...values])).toString('base64url')
}

/**
 * Returns the values of a cursor, by placeholder.
 *
 * @throws {INVALID_INPUT} when it is not a cursor of this list
 */
export function decodeCursor<Item extends object>(
  { name, orderBy }: CursorFormat<Item>,
  cursor: string,
): Record<string, unknown> {
  const [list, ...values] = parseArray(Buffer.from(cursor, 'base64url').toString()) ?? []
  const decoded = orderBy.map(({ name: key, kind }, i) => [CURSOR + key, keyValue(kind, values[i])] as const)
  if (list !== name || values.length !== orderBy.length || decoded.some(([, value]) => value === undefined)) {
    throw invalidInput([{ path: 'options.cursor', message: 'must be the nextCursor of a page of the same list' }])
  }
  return Object.fromEntries(decoded)
}

function parseArray(text: string): unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

function keyValue(kind: KeyKind, value: unknown): unknown {
  switch (kind) {
    case 'text':
      return typeof value === 'string' && isStorable(value) ? value : undefined
    case 'integer':
      return Number.isSafeInteger(value) ? value : undefined
    case 'instant':
      return typeof value === 'number' ? instantSchema.safeParse(new Date(value)).data : undefined
  }
}
