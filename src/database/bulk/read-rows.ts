import { and, asc, eq, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import type { Dialect, DialectKit, Executor } from '../db.ts'
import { compiledBy } from '../orm.ts'
import { keyset } from '../paging/keyset.ts'
import type { CompiledQuery, Row } from '../query.ts'
import type { BulkColumn, BulkRow, BulkTable, Cell } from './table.ts'

/** How many rows one statement reads. */
const PAGE_ROWS = 500
/** A row with more than this is read by a statement of its own, so that the others of a page are never larger than 16 MiB. */
const ROW_BYTES = 32 * 1024
/** A page ends after this much of rows that were read alone. */
const PAGE_BYTES = 8 * 1024 * 1024

/** The field of a row's size, the last one. No column has this name: a column `size` would lose its value to the field. */
const SIZE = 'size of the row'

interface ReadOptions {
  /** Which rows to read. Default: all. */
  where?: SQL | undefined
  /** The primary key of the last row that is not wanted. Default: from the first row on. */
  after?: readonly Cell[] | undefined
}

/** Yields the rows of a table in pages, in the order of the primary key. */
export async function* readRows(
  kit: DialectKit,
  executor: Executor,
  table: BulkTable,
  { where, after }: ReadOptions = {},
): AsyncGenerator<BulkRow[]> {
  const { first, next, one, decode } = readersOf(kit, executor, table, where)
  const run = (query: CompiledQuery, key: readonly Cell[]) =>
    executor.run({ sql: query.sql, params: query.encode(argumentsOf(key), undefined), writes: false })
  const { length } = table.columns
  for (let key = after; ; ) {
    const found = await run(key === undefined ? first : next, key ?? [])
    let rows: BulkRow[] = []
    let large = 0
    for (const raw of found) {
      const row = decode(raw)
      const size = Number(raw[length])
      if (size <= ROW_BYTES) {
        rows.push(row)
        continue
      }
      const [whole] = await run(
        one,
        table.key.map((place) => row[place] ?? null),
      )
      if (whole !== undefined) rows.push(decode(whole))
      large += size
      if (large < PAGE_BYTES) continue
      yield rows
      rows = []
      large = 0
    }
    if (rows.length > 0) yield rows
    const last = found.at(-1)
    if (last === undefined || found.length < PAGE_ROWS) return
    const decoded = decode(last)
    key = table.key.map((place) => decoded[place] ?? null)
  }
}

/** Makes the statements that read a table. They are built once for all pages. */
function readersOf(kit: DialectKit, executor: Executor, table: BulkTable, where: SQL | undefined) {
  const { dialect } = kit
  const orm = kit.ormFor(executor)
  const keyColumns = table.key.map((place) => columnAt(table, place))
  const size = sizeOf(dialect, table.columns)
  const isSmall = sql`${size} <= ${sql.raw(String(ROW_BYTES))}`
  const whole = fieldsOf(dialect, table.columns, (cell) => cell)
  const small = fieldsOf(dialect, table.columns, (cell) => sql`case when ${isSmall} then ${cell} end`)
  const pageAfter = (values: readonly unknown[] | undefined) => {
    const { condition } = keyset(dialect, { columns: keyColumns, order: 'asc', ...(values && { after: values }) })
    return compiledBy(
      orm
        .select({ ...small, [SIZE]: size })
        .from(table.table)
        .where(and(where, condition))
        .orderBy(...keyColumns.map((column) => asc(column)))
        .limit(PAGE_ROWS)
        .prepare(''),
    )
  }
  const isRow = and(...keyColumns.map((column, i) => eq(column, sql.placeholder(`k${i}`))))
  return {
    first: pageAfter(undefined),
    next: pageAfter(keyColumns.map((_, i) => sql.placeholder(`k${i}`))),
    one: compiledBy(orm.select(whole).from(table.table).where(isRow).prepare('')),
    decode: decoderOf(table),
  }
}

/**
 * Returns the rows with these primary keys, in no order.
 *
 * @param keys At most some thousands, since all of them are parameters of one statement.
 */
export async function readRowsByKey(
  kit: DialectKit,
  executor: Executor,
  table: BulkTable,
  keys: readonly (readonly Cell[])[],
): Promise<BulkRow[]> {
  if (keys.length === 0) return []
  const { dialect } = kit
  const keyColumns = table.key.map((place) => table.columns[place] as BulkColumn) // the places are those of columns
  const list = (chunks: readonly unknown[]) =>
    sql.join(
      chunks.map((chunk) => sql`${chunk}`),
      sql`, `,
    )
  const values = keys.map((key) => {
    const typed = key.map((value, i) => typedValue(dialect, keyColumns[i]?.kind, value))
    return sql`(${list(typed)})`
  })
  const isWanted = sql`(${list(keyColumns.map(({ column }) => column))}) in (values ${sql.join(values, sql`, `)})`
  const orm = kit.ormFor(executor)
  const fields = fieldsOf(dialect, table.columns, (cell) => cell)
  const query = compiledBy(orm.select(fields).from(table.table).where(isWanted).prepare(''))
  const found = await executor.run({ sql: query.sql, params: query.encode({}, undefined), writes: false })
  const rows: BulkRow[] = []
  const decode = decoderOf(table)
  for (const raw of found) rows.push(decode(raw))
  return rows
}

/** Writes a value of a key. PostgreSQL takes a parameter in VALUES for text, unless its type is named. */
function typedValue(dialect: Dialect, kind: BulkColumn['kind'] | undefined, value: Cell): SQL {
  return dialect === 'postgres' && kind === 'number' ? sql`cast(${value} as bigint)` : sql`${value}`
}

function argumentsOf(key: readonly Cell[]): Record<string, unknown> {
  return Object.fromEntries(key.map((value, i) => [`k${i}`, value]))
}

function columnAt({ columns }: BulkTable, place: number): PgColumn {
  return (columns[place] as BulkColumn).column // the places of a key are those of columns
}

/** Returns the selected fields: small columns as they are, the others as `wrap` makes them. */
function fieldsOf(
  dialect: Dialect,
  columns: readonly BulkColumn[],
  wrap: (cell: SQL) => SQL,
): Record<string, SQL | PgColumn> {
  const fields: Record<string, SQL | PgColumn> = {}
  for (const column of columns) {
    // PostgreSQL's driver would parse JSON, and what is written again might differ.
    const cell =
      dialect === 'postgres' && column.kind === 'json' ? sql`cast(${column.column} as text)` : sql`${column.column}`
    fields[column.name] = mayBeLarge(column) ? wrap(cell) : column.column
  }
  return fields
}

/** Returns the bytes of a row's large columns. SQLite knows them without reading the values if no cast hides the column. */
function sizeOf(dialect: Dialect, columns: readonly BulkColumn[]): SQL {
  const sizes = columns.filter(mayBeLarge).map(({ column, kind }) => {
    const text = dialect === 'postgres' && kind === 'json' ? sql`cast(${column} as text)` : sql`${column}`
    return sql`coalesce(octet_length(${text}), 0)`
  })
  return sizes.length === 0 ? sql`0` : sql.join(sizes, sql` + `)
}

const mayBeLarge = ({ kind, isKey }: BulkColumn) => !isKey && (kind === 'json' || kind === 'bytes' || kind === 'text')

/** Makes the function that turns what a driver returns into cells. */
function decoderOf({ columns }: BulkTable): (raw: Row) => BulkRow {
  const decoders = columns.map(({ kind }) => DECODERS[kind])
  return (raw) => {
    const row: BulkRow = []
    for (let i = 0; i < decoders.length; i++) {
      const value = raw[i]
      const decode = decoders[i] as (typeof decoders)[number] // i is in range
      row.push(value === null || value === undefined ? null : decode(value))
    }
    return row
  }
}

const DECODERS: Record<BulkColumn['kind'], (value: unknown) => Cell> = {
  text: (value) => value as string, // as the drivers return a column of text
  number: Number,
  boolean: Boolean,
  instant: (value) => (value instanceof Date ? value.getTime() : Number(value)),
  json: (value) => (value === 'null' ? null : (value as string)), // both are null to every reader
  bytes: (value) => (typeof value === 'string' ? Buffer.from(value.slice(2), 'hex') : (value as Uint8Array)), // see columns.ts
}
