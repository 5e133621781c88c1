import { and, type SQL } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import type { Tables } from '../../schema/tables.ts'
import { instantSchema, invalidInput, isStorable } from '../../validation/input.ts'
import type { Db } from '../db.ts'
import { type Builder, type Built, type Statement, statement } from '../statement.ts'
import { keyset } from './keyset.ts'
import { DEFAULT_LIMIT, type Order, type Page, type PageOptions } from './page.ts'

type KeyKind = 'instant' | 'text' | 'integer'

/** How to list: what is selected, by what it may be filtered, and the unique key it is ordered by. */
interface Listing<Filters extends object, Item extends object> {
  /** Marks its cursors: those of another list are refused. */
  name: string
  select(db: Builder): Selectable<Item>
  /** Where all items of a list have one value of a column that an index begins with; it is given with the filters. */
  partition?: (tables: Tables) => PgColumn
  /** A value may be a list, such as that of an IN. */
  filters: { [K in keyof Filters]-?: (tables: Tables, value: NonNullable<Filters[K]>) => SQL }
  /** The order, most significant first; the last makes it unique. The item's properties of the same names feed the cursor. */
  orderBy: readonly { name: keyof Item & string; kind: KeyKind; column: (tables: Tables) => PgColumn }[]
}

/** What drizzle's select is before `where`, seen from here. */
interface Selectable<Item> {
  where(condition: SQL | undefined): { orderBy(...keys: SQL[]): { limit(count: number): Built<Item> } }
}

/**
 * Keyset paging for one listing: the next page starts after the last item's key, so its cost does not grow with its
 * depth and a page is not shifted by what is inserted before it. One statement is compiled for each combination of
 * filters, and of the lengths of their lists, that is asked for.
 */
export function pagedQuery<Filters extends object, Item extends object>(listing: Listing<Filters, Item>) {
  const statements = new Map<string, Statement<Record<string, unknown>, Item>>()

  return async (
    db: Db,
    { partition, ...filters }: Partial<Filters> & { partition?: string },
    { limit = DEFAULT_LIMIT, cursor }: PageOptions,
    order: Order,
  ): Promise<Page<Item>> => {
    const given = Object.entries(filters).filter(([, value]) => value !== undefined)
    const after = cursor === undefined ? undefined : decodeCursor(listing, cursor)
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
      query = compile(listing, names, order, after !== undefined)
      statements.set(shape, query)
    }
    const rows = await query.all(db, { ...Object.fromEntries(given), ...after, partition, limit: limit + 1 })
    const items = rows.slice(0, limit)
    const last = items.at(-1)
    return rows.length > limit && last ? { items, nextCursor: cursorOf(listing, last) } : { items }
  }
}

const CURSOR = 'cursor_'

/** `names` are those of the filters, each with the names of its placeholders: several where its value is a list. */
function compile<Filters extends object, Item extends object>(
  { select, partition, filters, orderBy }: Listing<Filters, Item>,
  names: (readonly [filter: keyof Filters, placeholders: string | string[]])[],
  order: Order,
  hasCursor: boolean,
): Statement<Record<string, unknown>, Item> {
  return statement((db, arg: Record<string, unknown>) => {
    const conditions = names.map(([filter, name]) => {
      const placeholder = Array.isArray(name) ? name.map((item) => arg[item]) : arg[name]
      return filters[filter](db.tables, placeholder as NonNullable<Filters[typeof filter]>) // passes for the value
    })
    const page = keyset(db.dialect, {
      columns: orderBy.map(({ column }) => column(db.tables)),
      order,
      after: hasCursor ? orderBy.map(({ name }) => arg[CURSOR + name]) : undefined,
      partition: partition && { column: partition(db.tables), value: arg.partition },
    })
    return select(db)
      .where(and(...conditions, page.condition))
      .orderBy(...page.orderBy)
      .limit(arg.limit as number)
  })
}

type Marked<Item extends object> = Pick<Listing<object, Item>, 'name' | 'orderBy'>

/** The cursor of what follows an item. */
export function cursorOf<Item extends object>({ name, orderBy }: Marked<Item>, item: Item): string {
  const values = orderBy.map(({ name }) => {
    const value: unknown = item[name]
    return value instanceof Date ? value.getTime() : value
  })
  return Buffer.from(JSON.stringify([name, ...values])).toString('base64url')
}

function decodeCursor<Item extends object>({ name, orderBy }: Marked<Item>, cursor: string): Record<string, unknown> {
  const [mark, ...values] = parseArray(Buffer.from(cursor, 'base64url').toString()) ?? []
  const decoded = orderBy.map(({ name: key, kind }, i) => [CURSOR + key, keyValue(kind, values[i])] as const)
  if (mark !== name || values.length !== orderBy.length || decoded.some(([, value]) => value === undefined)) {
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
