import type { Db, DialectKit, Executor } from '../db.ts'
import type { Row } from '../query.ts'
import type { BulkTable } from './table.ts'

/** Returns the last number that the database gave to a row of the table, which may be gone: 0 if there was none. */
export async function lastNumber(kit: DialectKit, executor: Executor, table: BulkTable): Promise<number> {
  const read = (sql: string) => executor.run({ sql, params: [], writes: false })
  const column = `"${keyColumnOf(table)}"`
  const [greatest] = await read(`select coalesce(max(${column}), 0) from "${table.sqlName}"`)
  const [given] = await read(
    kit.dialect === 'sqlite'
      ? `select seq from sqlite_sequence where name = '${table.sqlName}'`
      : // Without the privilege the greatest number has to do.
        `select case when has_sequence_privilege(${sequenceOf(table)}, 'SELECT') then pg_sequence_last_value(${sequenceOf(table)}::regclass) end`,
  )
  return Math.max(numberOf(greatest), numberOf(given))
}

/**
 * Makes the database give greater numbers than `number` to new rows of the table. `tx` must be a transaction. On PostgreSQL
 * nobody else writes to the table until it ends: a number that is given meanwhile might be given twice.
 *
 * @throws {PRIVILEGE_MISSING} when the PostgreSQL user may not change the sequence
 */
export async function passNumber(tx: Db, table: BulkTable, number: number): Promise<void> {
  const { sqlName } = table
  const run = (sql: string, params: unknown[] = []) => tx.run({ sql, params, writes: true })
  if (tx.dialect === 'sqlite') {
    const [known] = await run(`select seq from sqlite_sequence where name = '${sqlName}'`)
    if (known === undefined) await run('insert into sqlite_sequence (name, seq) values (?, ?)', [sqlName, number])
    else await run('update sqlite_sequence set seq = max(seq, ?) where name = ?', [number, sqlName])
    return
  }
  if (number < (await lastNumber(tx.kit, tx, table))) return
  await run(`lock table "${sqlName}" in share row exclusive mode`)
  const sequence = sequenceOf(table)
  const isBehind = `coalesce(pg_sequence_last_value(${sequence}::regclass), 0) < $1::bigint`
  await run(`select case when ${isBehind} then setval(${sequence}::regclass, $1::bigint) end`, [number])
}

function keyColumnOf({ columns, key }: BulkTable): string {
  return columns[key[0] ?? 0]?.column.name ?? ''
}

function sequenceOf(table: BulkTable): string {
  return `pg_get_serial_sequence('"${table.sqlName}"', '${keyColumnOf(table)}')`
}

function numberOf(row: Row | undefined): number {
  return Number(row?.[0] ?? 0)
}
