import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import type { DialectKit } from './db.ts'

/** Returns the columns of a table, and those of its primary key in their order. */
export function columnsOf(kit: DialectKit, table: PgTable): { key: readonly PgColumn[]; columns: readonly PgColumn[] } {
  const { columns, primaryKeys } = kit.configOf(table)
  const [composite] = primaryKeys
  return { key: composite?.columns ?? columns.filter(({ primary }) => primary), columns }
}
