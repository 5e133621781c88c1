import type { Db, Dialect } from '../db.ts'
import type { BulkRow, BulkTable, Cell, CellKind } from './table.ts'

/** How many rows one statement of SQLite takes. */
const SQLITE_ROWS = 64

/**
 * Inserts whole rows into a table, except those that are there already. Returns the number inserted. `tx` must be a
 * transaction. With `areNew` a row that is there already fails the transaction: PostgreSQL then looks into each unique index once
 * instead of twice.
 *
 * On PostgreSQL each column is one parameter, an array: a parameter for each value would take the server longer to read than to
 * store.
 */
export async function insertRows(
  tx: Db,
  table: BulkTable,
  rows: readonly BulkRow[],
  { areNew = false }: { areNew?: boolean } = {},
): Promise<number> {
  if (rows.length === 0) return 0
  if (tx.dialect === 'postgres') {
    const params = table.columns.map(({ kind }, place) => arrayOf(kind, rows, place))
    const [counted] = await tx.run({ sql: statementOf(table, 'postgres', 0, areNew), params, writes: true })
    return areNew ? rows.length : Number(counted?.[0])
  }
  let inserted = 0
  for (let start = 0; start < rows.length; ) {
    const width = rows.length - start >= SQLITE_ROWS ? SQLITE_ROWS : 1
    const params: Cell[] = []
    for (let i = start; i < start + width; i++) params.push(...(rows[i] as BulkRow)) // i is in range
    await tx.run({ sql: statementOf(table, 'sqlite', width, areNew), params, writes: true })
    start += width
    if (areNew) continue
    const [changed] = await tx.run({ sql: 'select changes()', params: [], writes: false })
    inserted += Number(changed?.[0])
  }
  return areNew ? rows.length : inserted
}

const statements = new Map<string, string>()

/** Returns the SQL for a number of rows. On PostgreSQL one statement takes any number. */
function statementOf(table: BulkTable, dialect: Dialect, width: number, areNew: boolean): string {
  const name = `${dialect} ${table.name} ${width} ${areNew}`
  let sql = statements.get(name)
  if (sql === undefined) {
    const insert = dialect === 'postgres' ? postgresInsert(table) : sqliteInsert(table, width)
    sql = areNew ? insert : tolerant(insert, dialect)
    statements.set(name, sql)
  }
  return sql
}

function sqliteInsert({ sqlName, columns }: BulkTable, width: number): string {
  const names = columns.map(({ column }) => `"${column.name}"`)
  const values = `(${columns.map(() => '?').join()})`
  const rows = Array.from({ length: width }, () => values).join()
  return `insert into "${sqlName}" (${names}) values ${rows}`
}

function postgresInsert({ sqlName, columns, isNumbered }: BulkTable): string {
  const names = columns.map(({ column }) => `"${column.name}"`).join()
  const arrays = columns.map(({ column }, i) => `$${i + 1}::${typeOf(column.getSQLType())}[]`).join()
  const overriding = isNumbered ? 'overriding system value ' : ''
  return `insert into "${sqlName}" (${names}) ${overriding}select * from unnest(${arrays})`
}

/** Makes an insert that leaves out the rows that are there already. PostgreSQL's then counts the others. */
function tolerant(insert: string, dialect: Dialect): string {
  if (dialect === 'sqlite') return `${insert} on conflict do nothing`
  return `with inserted as (${insert} on conflict do nothing returning 1) select count(*) from inserted`
}

/** Returns a column's type without its collation, which is no part of the type of an array. */
function typeOf(sqlType: string): string {
  return sqlType.startsWith('text') ? 'text' : sqlType
}

/** Writes a column of rows as an array of PostgreSQL. */
function arrayOf(kind: CellKind, rows: readonly BulkRow[], place: number): string {
  const write = ELEMENTS[kind]
  let array = ''
  for (const row of rows) {
    const cell = row[place]
    array += array === '' ? '' : ','
    array += cell === null || cell === undefined ? 'NULL' : write(cell)
  }
  return `{${array}}`
}

const ELEMENTS: Record<CellKind, (cell: Exclude<Cell, null>) => string> = {
  text: quoted,
  json: quoted,
  number: String,
  boolean: String,
  instant: (cell) => `"${new Date(Number(cell)).toISOString()}"`,
  bytes: (cell) => {
    const { buffer, byteOffset, byteLength } = cell as Uint8Array // by its kind
    return `"\\\\x${Buffer.from(buffer, byteOffset, byteLength).toString('hex')}"`
  },
}

function quoted(cell: Exclude<Cell, null>): string {
  const text = String(cell)
  return `"${/[\\"]/.test(text) ? text.replaceAll(/[\\"]/g, '\\$&') : text}"`
}
