import { and, asc, desc, eq, gte, lte, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import type { Dialect } from '../db.ts'

type Order = 'asc' | 'desc'

interface Keyset {
  /** What the list is ordered by, most significant first; together unique. */
  columns: readonly PgColumn[]
  order: Order
  /** The values of these columns that the page comes after. */
  after?: readonly unknown[]
  /** Where all rows of the list have one value of a column that the index begins with. */
  partition?: { column: PgColumn; value: unknown }
}

/** The condition and the order that put a page at its place in an index. */
export function keyset(dialect: Dialect, { columns, order, after, partition }: Keyset) {
  const all = partition ? [partition.column, ...columns] : columns
  const conditions = [
    partition && partitionEquals(dialect, partition),
    after && afterRow(columns, after, order),
    // Says the same as the one before; PostgreSQL starts its scan here.
    after && partition && afterRow(all, [partition.value, ...after], order),
  ]
  return { condition: and(...conditions), orderBy: all.map(order === 'asc' ? asc : desc) }
}

/**
 * `column = value`. PostgreSQL takes no account of what is equal in an order, and may then walk another index, past the
 * rows of all other values; a range keeps it to the one that begins with the column. SQLite would read a range from its
 * start, to whatever depth; only from what is equal it goes on to the next column.
 */
function partitionEquals(dialect: Dialect, { column, value }: { column: PgColumn; value: unknown }): SQL | undefined {
  return dialect === 'postgres' ? and(gte(column, value), lte(column, value)) : eq(column, value)
}

function afterRow(columns: readonly PgColumn[], values: readonly unknown[], order: Order): SQL {
  const comparison = sql.raw(order === 'asc' ? '>' : '<')
  const list = (chunks: readonly unknown[]) =>
    sql.join(
      chunks.map((chunk) => sql`${chunk}`),
      sql`, `,
    )
  return sql`(${list(columns)}) ${comparison} (${list(values)})`
}

/**
 * A further condition on a list. A planner can choose no other index for it, and does not expect so few rows that it
 * would rather read and sort all of them.
 */
export function notIndexable(condition: SQL): SQL {
  return sql`case when ${condition} then true else false end`
}
