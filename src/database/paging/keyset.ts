import { and, asc, desc, eq, gte, lte, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import type { Dialect } from '../db.ts'
import type { Order } from './page.ts'

interface Keyset {
  /** The columns that the list is ordered by, most significant first. Their values together are unique. */
  columns: readonly PgColumn[]
  order: Order
  /** The values of `columns` in the last row of the previous page. */
  after?: readonly unknown[]
  /** The first column of the index, if all rows of the list have one value in it. */
  partition?: { column: PgColumn; value: unknown }
}

/** Returns the condition and the ORDER BY with which a page is read from its place in an index. */
export function keyset(dialect: Dialect, { columns, order, after, partition }: Keyset) {
  const all = partition ? [partition.column, ...columns] : columns
  const conditions = [
    partition && partitionEquals(dialect, partition),
    after && afterRow(columns, after, order),
    // Implied by the conditions before. PostgreSQL starts its scan at this row comparison.
    after && partition && afterRow(all, [partition.value, ...after], order),
  ]
  return { condition: and(...conditions), orderBy: all.map(order === 'asc' ? asc : desc) }
}

/**
 * Makes the condition `column = value` in the form that each planner needs. PostgreSQL drops a constant column from ORDER
 * BY and may then scan another index, past the rows of all other values, so it gets `>= and <=`. SQLite would read a range
 * from its start; it can seek on the following columns only after an equality.
 */
function partitionEquals(dialect: Dialect, { column, value }: { column: PgColumn; value: unknown }): SQL | undefined {
  return dialect === 'postgres' ? and(gte(column, value), lte(column, value)) : eq(column, value)
}

/** Makes the condition that a row comes after the row with these values: `(a, b) > (x, y)`. */
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
 * Hides a filter from the planner, in a CASE. The planner must not choose another index for the filter, and must not expect
 * so few rows that it reads and sorts all of them.
 */
export function notIndexable(condition: SQL): SQL {
  return sql`case when ${condition} then true else false end`
}
