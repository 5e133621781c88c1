import { type BulkRow, type BulkTable, type Cell, keyOf } from '../database/bulk/table.ts'
import { StorageError } from '../errors.ts'
import { type ArchivedTable, PARENTS } from './tables.ts'
import type { RefusedRow, TableOutcome } from './types.ts'

/** How many refusals a report lists. */
const LISTED = 1000
/** How many refused rows that others belong to are remembered. */
const MOST_PARENTS = 100_000

interface State {
  tables: Record<string, TableOutcome>
  refusals: RefusedRow[]
}

/** What becomes of rows on their way into a storage. */
export class Outcomes {
  #state: State = { tables: {}, refusals: [] }
  /** By table, the keys of refused rows that others belong to. */
  readonly #refusedParents = new Map<ArchivedTable, Set<string>>()
  /** By table, the keys of rows whose counters are wrong, since a row that they count was refused. */
  readonly #incomplete = new Map<ArchivedTable, Map<string, Cell[]>>()
  /** The tables with lines that cannot be read, so that nobody knows what they belong to. */
  readonly #unreadable = new Set<ArchivedTable>()
  readonly #done = new Set<string>()
  readonly #isFromFile: boolean

  constructor({ isFromFile }: { isFromFile: boolean }) {
    this.#isFromFile = isFromFile
  }

  get tables(): Record<string, TableOutcome> {
    return this.#state.tables
  }

  get refusals(): RefusedRow[] {
    return this.#state.refusals
  }

  get hasRefusals(): boolean {
    return Object.values(this.tables).some(({ refused }) => refused > 0)
  }

  /** Goes on with the counts of an earlier call. */
  continueFrom(tables: Record<string, TableOutcome>): void {
    this.#state.tables = structuredClone(tables)
  }

  /** Returns a copy of the counts, for `restore` after a transaction that was rolled back. */
  state(): State {
    return copyOf(this.#state)
  }

  /** Returns to a state. Safe to repeat. */
  restore(state: State): void {
    this.#state = copyOf(state)
    this.#done.clear()
  }

  count(table: ArchivedTable, what: keyof TableOutcome, rows: number): void {
    if (rows === 0) return
    const outcome = this.#state.tables[table] ?? { inserted: 0, unchanged: 0, refused: 0 }
    outcome[what] += rows
    this.#state.tables[table] = outcome
  }

  /** Counts a row that was not written. What belongs to it will be refused as well. */
  refuse(
    name: ArchivedTable,
    table: BulkTable,
    { row, line }: { row: BulkRow; line?: number | undefined },
    reason: string,
  ) {
    const key = keyOf(table, row)
    this.#refuseWith(name, key as (string | number)[], line, reason) // no key has other types
    if (isParent(name)) {
      const keys = this.#refusedParents.get(name) ?? new Set()
      this.#refusedParents.set(name, keys.add(JSON.stringify(key)))
      if (keys.size > MOST_PARENTS) throw otherData(name)
    }
    const parent = PARENTS[name]
    if (parent === undefined) return
    const parentKey = cellsOf(table, parent.columns, row)
    if (parentKey.includes(null)) return
    const wrong = this.#incomplete.get(parent.table) ?? new Map<string, Cell[]>()
    this.#incomplete.set(parent.table, wrong.set(JSON.stringify(parentKey), parentKey))
  }

  /** Counts a line that cannot be read. */
  refuseLine(name: ArchivedTable, line: number, reason: string): void {
    this.#unreadable.add(name)
    this.#refuseWith(name, [], line, reason)
  }

  #refuseWith(table: ArchivedTable, key: (string | number)[], line: number | undefined, reason: string): void {
    this.count(table, 'refused', 1)
    if (this.refusals.length >= LISTED) return
    const place = this.#isFromFile && line !== undefined ? { file: `${table}.jsonl`, line } : {}
    this.refusals.push({ table, ...place, key, reason })
  }

  /** Makes the function that returns true for a row that belongs to a refused row. */
  orphansOf(name: ArchivedTable, table: BulkTable): (row: BulkRow) => boolean {
    const parent = PARENTS[name]
    const refused = parent && this.#refusedParents.get(parent.table)
    if (parent === undefined || refused === undefined) return () => false
    return (row) => refused.has(JSON.stringify(cellsOf(table, parent.columns, row)))
  }

  /** Returns the keys of rows that were written and count rows that were refused. */
  incomplete(table: ArchivedTable): Cell[][] {
    const refused = this.#refusedParents.get(table)
    const wrong = this.#incomplete.get(table) ?? new Map<string, Cell[]>()
    return Array.from(wrong).flatMap(([name, key]) => (refused?.has(name) ? [] : [key]))
  }

  hasUnreadable(table: ArchivedTable): boolean {
    return this.#unreadable.has(table)
  }

  /** Runs `work` if no call with this name has done so. */
  async once(name: string, work: () => Promise<unknown>): Promise<void> {
    if (this.#done.has(name)) return
    await work()
    this.#done.add(name)
  }
}

function copyOf({ tables, refusals }: State): State {
  return { tables: structuredClone(tables), refusals: [...refusals] }
}

const isParent = (name: ArchivedTable) => Object.values(PARENTS).some(({ table }) => table === name)

function cellsOf({ columns }: BulkTable, names: readonly string[], row: BulkRow): Cell[] {
  return names.map((name) => row[columns.findIndex((column) => column.name === name)] ?? null)
}

function otherData(table: ArchivedTable): StorageError {
  const message = `More than ${MOST_PARENTS} rows of ${table} are others in the storage: it holds other data, so write to an empty one`
  return new StorageError('INVALID_STATE', message)
}
