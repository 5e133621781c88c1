import { getTableColumns, getTableName } from 'drizzle-orm'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import type { Tables } from '../../schema/tables.ts'
import type { DialectKit } from '../db.ts'
import { columnsOf } from '../primary-key.ts'

/**
 * A value of a row as both dialects have it: text and JSON text as a string, an instant as milliseconds since 1970. What is
 * read with one dialect can be written with the other.
 */
export type Cell = string | number | boolean | Uint8Array | null

/** The cells of a row, in the order of the table's columns. */
export type BulkRow = Cell[]

export type CellKind = 'text' | 'number' | 'boolean' | 'instant' | 'json' | 'bytes'

export interface BulkColumn {
  /** The property that drizzle gives the column, such as `sessionId`. */
  readonly name: string
  readonly column: PgColumn
  readonly kind: CellKind
  readonly isKey: boolean
}

/** A table whose rows are read and written as a whole. */
export interface BulkTable {
  readonly name: keyof Tables
  readonly table: PgTable
  /** The name in SQL. */
  readonly sqlName: string
  readonly columns: readonly BulkColumn[]
  /** The places of the primary key's columns in a row, in the order of the key. */
  readonly key: readonly number[]
  /** True if the database numbers the rows: the number has to be overridden. */
  readonly isNumbered: boolean
}

/** Describes a table of a dialect. */
export function bulkTable(kit: DialectKit, name: keyof Tables): BulkTable {
  const table = kit.tables[name]
  // By name: PostgreSQL's half of drizzle gives the definition of a key other objects than the columns of its table.
  const key = columnsOf(kit, table).key.map(({ name: column }) => column)
  const columns = Object.entries(getTableColumns(table)).map(([property, column]) => ({
    name: property,
    // Every table is one of PostgreSQL's to the types; see schema/sqlite.ts.
    column: column as PgColumn,
    kind: kindOf(column as PgColumn),
    isKey: key.includes(column.name),
  }))
  return {
    name,
    table,
    sqlName: getTableName(table),
    columns,
    key: key.map((part) => columns.findIndex(({ column }) => column.name === part)),
    isNumbered: columns.some(({ column }) => column.generatedIdentity !== undefined),
  }
}

/** Returns the values of a row's primary key. */
export function keyOf({ key }: BulkTable, row: BulkRow): Cell[] {
  return key.map((place) => row[place] ?? null)
}

function kindOf(column: PgColumn): CellKind {
  const kinds: Record<string, CellKind> = {
    SQLiteBoolean: 'boolean',
    SQLiteTimestamp: 'instant',
    SQLiteInteger: 'number',
    SQLiteText: 'text',
  }
  const kind = kinds[column.columnType]
  if (kind !== undefined) return kind
  const type = column.getSQLType()
  if (type === 'bytea' || type === 'blob') return 'bytes'
  if (type === 'integer' || type === 'bigint') return 'number'
  if (type === 'boolean') return 'boolean'
  if (type.startsWith('timestamp')) return 'instant'
  return type.startsWith('text COLLATE') ? 'text' : 'json'
}
