import { and, eq, type GetColumnData, getTableName, inArray, type SQL, sql } from 'drizzle-orm'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import { isOwn } from './owner.ts'
import { columnsOf } from './primary-key.ts'
import type { Builder } from './statement.ts'

/**
 * Makes the join of the rows of a table that a condition holds for, to be read once for each row before it. OFFSET keeps
 * PostgreSQL from a join over the whole table, which it would choose if it took the rows before for many. The columns need
 * `namedColumns`.
 */
export function joinEach({ dialect }: Pick<Builder, 'dialect'>, table: PgTable, condition: SQL | undefined): SQL {
  return dialect === 'sqlite'
    ? sql`cross join ${table} on ${condition}`
    : sql`cross join lateral (select * from ${table} where ${condition} offset 0) ${sql.raw(getTableName(table))}`
}

/** The rows of a table that meet `scope`, to be found by a column. */
interface Lookup {
  table: PgTable
  column: PgColumn
  scope: SQL | undefined
}

/**
 * Returns a source of rows and a condition for a query, of the rows that meet `scope` and have one of the values in `column`. The
 * two name one row at most.
 *
 * PostgreSQL looks up each value. It plans a statement once, for a scope of usual size, and would
 * read all rows of the scope to compare them with the list. In a conversation of 15,000 messages among short ones that takes 30
 * times as long. The columns of such a source need `namedColumns`.
 */
export function lookedUp(
  db: Pick<Builder, 'dialect'>,
  { table, column, scope }: Lookup,
  values: readonly string[],
): { source: SQL; condition: SQL | undefined } {
  if (db.dialect === 'sqlite') return { source: sql`${table}`, condition: and(scope, inArray(column, [...values])) }
  const wanted = sql.join(
    values.map((value) => sql`(cast(${value} as text))`),
    sql`, `,
  )
  const each = joinEach(db, table, and(scope, eq(column, sql`wanted.wanted_value`)))
  return { source: sql`(values ${wanted}) as wanted (wanted_value) ${each}`, condition: undefined }
}

/**
 * Returns the condition that a row is one of those that `lookedUp` finds, for a statement that removes or counts them.
 *
 * PostgreSQL compares the primary key and the column: by either alone, it may take the index of the other one, and
 * read the whole scope for each row.
 */
export function isLookedUp(
  db: Pick<Builder, 'dialect' | 'kit' | 'owner'>,
  lookup: Lookup & { table: { ownerId: PgColumn } },
  values: readonly string[],
): SQL | undefined {
  const { source, condition } = lookedUp(db, lookup, values)
  if (db.dialect === 'sqlite') return condition
  const { key } = columnsOf(db.kit, lookup.table)
  const columns = sql.join(
    [...key, lookup.column].map((column) => sql`${column}`),
    sql`, `,
  )
  const isFound = sql`(${columns}) in (select ${columns} from ${source})`
  return and(isOwn(db, lookup.table), isFound)
}

/** Columns as expressions of the same values. */
type Named<Columns extends Record<string, PgColumn>> = { [Name in keyof Columns]: SQL<GetColumnData<Columns[Name]>> }

/** Returns columns for a query whose source is SQL, which drizzle cannot find them in. */
export function namedColumns<Columns extends Record<string, PgColumn>>(columns: Columns): Named<Columns> {
  const named = Object.entries(columns).map(([name, column]) => [name, sql`${column}`.mapWith(column)] as const)
  return Object.fromEntries(named) as Named<Columns> // has the names of `columns`
}
