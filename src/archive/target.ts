import { changeRecordCount, lockedBatch } from '../blobs/protocol/usage.ts'
import { insertRows } from '../database/bulk/insert-rows.ts'
import { passNumber } from '../database/bulk/numbering.ts'
import { readRowsByKey } from '../database/bulk/read-rows.ts'
import { type BulkRow, type BulkTable, type Cell, keyOf } from '../database/bulk/table.ts'
import type { Db } from '../database/db.ts'
import { isStorageError } from '../errors.ts'
import { beginIndex } from '../repositories/search/state.ts'
import { cachedRows } from './cached-rows.ts'
import { lineWriter } from './lines.ts'
import type { Outcomes } from './outcomes.ts'
import type { Mark, ProgressMark } from './progress-mark.ts'
import { isRowRefused } from './refusal.ts'
import type { ArchiveLayers } from './run.ts'
import { type ArchivedTable, archivedTable, OF_BLOBS } from './tables.ts'

/** A row on its way into a storage. */
export interface Incoming {
  row: BulkRow
  /** The number of the line that the row comes from. */
  line?: number | undefined
}

/** How far the source is with a table. */
type Done = Pick<Mark, 'rows' | 'after'>

/** How many rows are compared by one statement. */
const COMPARED_ROWS = 500

const DIFFERS = 'the storage has another row with this key'
const TAKEN = 'the storage has another row with the same value of a unique column'
const PARENT_REFUSED = 'the row that it belongs to was refused'

/** Writes rows into a storage in batches, each with the mark of how far they have come. Never overwrites a row. */
export class Target {
  readonly #layers: ArchiveLayers
  readonly #outcomes: Outcomes
  readonly #mark: ProgressMark | undefined
  /** The tables that have had some of the rows. The rows of all others are taken for new, which is faster. */
  readonly #known = new Set<ArchivedTable>()

  /** Without a mark, rows are compared and none is written. */
  constructor(layers: ArchiveLayers, outcomes: Outcomes, mark: ProgressMark | undefined) {
    this.#layers = layers
    this.#outcomes = outcomes
    this.#mark = mark
  }

  /** Describes a table in the database that has it. */
  table(name: ArchivedTable): BulkTable {
    return archivedTable(this.#dbOf(name).kit, name)
  }

  /** Writes a batch of a table. `done` is how far the source is with it. */
  async write(name: ArchivedTable, incoming: readonly Incoming[], done: Done): Promise<void> {
    const table = this.table(name)
    const isOrphan = this.#outcomes.orphansOf(name, table)
    const orphans = incoming.filter(({ row }) => isOrphan(row))
    await this.#compare(name, table, orphans, PARENT_REFUSED)
    const rows = orphans.length === 0 ? incoming : incoming.filter(({ row }) => !isOrphan(row))
    if (this.#mark === undefined) return this.#compare(name, table, rows)
    try {
      await this.#insertNew(name, table, rows, done)
    } catch (error) {
      if (!isRowRefused(error)) throw error
      for (const each of rows) {
        await this.#insert(name, table, [each], done).catch((reason: unknown) => {
          if (!isRowRefused(reason)) throw reason
          this.#outcomes.refuse(name, table, each, isStorageError(reason) ? reason.message : String(reason))
        })
      }
    }
  }

  /** Writes rows that are probably new, or else leaves out those that are there. */
  async #insertNew(name: ArchivedTable, table: BulkTable, incoming: readonly Incoming[], done: Done): Promise<void> {
    if (!this.#known.has(name)) {
      try {
        return await this.#insert(name, table, incoming, done)
      } catch (error) {
        if (!isRowRefused(error)) throw error
        this.#known.add(name)
      }
    }
    await this.#insert(name, table, incoming, done)
  }

  async #insert(name: ArchivedTable, table: BulkTable, incoming: readonly Incoming[], done: Done): Promise<void> {
    const { rowCache, blobs, database } = this.#layers
    const before = this.#outcomes.state()
    const uncount = (error: unknown): never => {
      this.#outcomes.restore(before)
      throw error
    }
    // It runs again if PostgreSQL rolls it back in favour of another transaction.
    const work = (db: Db) => db.transaction((tx) => this.#insertIn(tx, name, table, incoming, done).catch(uncount))
    const cached = cachedRows(
      name,
      table,
      incoming.map(({ row }) => row),
    )
    const written =
      cached.length > 0
        ? rowCache.write(cached, (db = database) => work(db))
        : work(this.#isElsewhere(name) ? blobs.db : database)
    await written.catch(uncount)
    if (this.#isElsewhere(name)) await this.#mark?.write(database, this.#markOf(name, done))
  }

  async #insertIn(
    tx: Db,
    name: ArchivedTable,
    table: BulkTable,
    incoming: readonly Incoming[],
    done: Done,
  ): Promise<void> {
    const rows = incoming.map(({ row }) => row)
    if (name === 'blobs') await lockedBatch(tx, 'brief', [])
    if (table.isNumbered) await passNumber(tx, table, Number(rows.at(-1)?.[table.key[0] ?? 0] ?? 0))
    const inserted = await insertRows(tx, table, rows, { areNew: !this.#known.has(name) })
    if (name === 'blobs') await changeRecordCount.all(tx, { change: inserted })
    // A text that is not in the index must not be missing from a search that says it is complete.
    if (inserted > 0 && tx.search && isSearched(name)) await this.#outcomes.once('search', () => beginIndex(tx))
    if (inserted === rows.length) this.#outcomes.count(name, 'inserted', inserted)
    else await this.#compare(name, table, incoming, undefined, { tx, inserted })
    if (!this.#isElsewhere(name)) await this.#mark?.write(tx, this.#markOf(name, done))
  }

  /**
   * Compares rows with those that the storage has. `inserted` of them were written just now. With `reason`, a row that the
   * storage lacks is refused.
   */
  async #compare(
    name: ArchivedTable,
    table: BulkTable,
    incoming: readonly Incoming[],
    reason?: string,
    { tx = this.#dbOf(name), inserted = 0 }: { tx?: Db; inserted?: number } = {},
  ): Promise<void> {
    const isWritten = tx !== this.#dbOf(name)
    const lineOf = lineWriter(table)
    let same = 0
    for (let start = 0; start < incoming.length; start += COMPARED_ROWS) {
      const some = incoming.slice(start, start + COMPARED_ROWS)
      const found = new Map<string, string>()
      const keys = some.map(({ row }) => keyOf(table, row))
      for (const row of await readRowsByKey(tx.kit, tx, table, keys)) found.set(nameOf(keyOf(table, row)), lineOf(row))
      for (const each of some) {
        const known = found.get(nameOf(keyOf(table, each.row)))
        if (known === lineOf(each.row)) same++
        else if (known !== undefined) this.#outcomes.refuse(name, table, each, DIFFERS)
        else if (reason !== undefined) this.#outcomes.refuse(name, table, each, reason)
        else if (isWritten) this.#outcomes.refuse(name, table, each, TAKEN)
        else this.#outcomes.count(name, 'inserted', 1)
      }
    }
    this.#outcomes.count(name, 'inserted', inserted)
    this.#outcomes.count(name, 'unchanged', same - inserted)
  }

  #markOf(table: ArchivedTable, { rows, after }: Done): Mark {
    return { table, rows, after, outcomes: this.#outcomes.tables }
  }

  /** Returns true if the table is in a database of its own, which does not share the transaction of the mark. */
  #isElsewhere(name: ArchivedTable): boolean {
    return this.#layers.blobs.own !== undefined && OF_BLOBS.includes(name)
  }

  #dbOf(name: ArchivedTable): Db {
    return this.#isElsewhere(name) ? this.#layers.blobs.db : this.#layers.database
  }
}

const isSearched = (name: ArchivedTable) => name === 'messages' || name === 'memories'

const nameOf = (key: readonly Cell[]) => JSON.stringify(key)
