import { ownedKeys } from '../cache/owned-row-cache.ts'
import type { RowKey } from '../cache/row-cache.ts'
import type { BulkRow, BulkTable } from '../database/bulk/table.ts'
import { cachedRowsOf } from '../repositories/sessions/removal.ts'
import type { ArchivedTable } from './tables.ts'

/** The tables whose rows are cached, each with the cache keys that a new row changes. */
const CACHED: Partial<Record<ArchivedTable, (cell: (name: string) => string) => RowKey[]>> = {
  sessions: (cell) => cachedRowsOf(cell('id')),
  kv: (cell) => [['kv', cell('key')]],
  prompts: (cell) => [['prompts', cell('name')]],
  toolState: (cell) => [['toolState', JSON.stringify([cell('tool'), cell('key')])]],
  approvalStates: (cell) => [['approvalStates', cell('scope')]],
  toolPreferences: (cell) => [['toolPreferences', cell('scope')]],
}

/** Returns the cache keys that change if these rows are written: a cache may know that they are absent. */
export function cachedRows(name: ArchivedTable, { columns }: BulkTable, rows: readonly BulkRow[]): RowKey[] {
  const keysOf = CACHED[name]
  if (keysOf === undefined) return []
  const places = new Map(columns.map((column, place) => [column.name, place]))
  return rows.flatMap((row) => {
    const cell = (column: string) => String(row[places.get(column) ?? -1])
    return ownedKeys(cell('ownerId'), keysOf(cell))
  })
}
