import { and, count, eq, exists, gt, type SQL, sql } from 'drizzle-orm'
import type { BlobRows } from '../blobs/open.ts'
import { lastNumber } from '../database/bulk/numbering.ts'
import { readRows } from '../database/bulk/read-rows.ts'
import type { BulkRow, BulkTable, Cell } from '../database/bulk/table.ts'
import type { Database } from '../database/database.ts'
import type { DialectKit, Executor } from '../database/db.ts'
import { type ArchivedTable, archivedTable, OF_BLOBS } from './tables.ts'

interface Reads {
  kit: DialectKit
  executor: Executor
}

/** The rows of a storage at one moment. */
export class ArchiveSource {
  readonly #main: Reads
  /** Undefined if the records have a database of their own, which was never opened. */
  readonly #records: Reads | undefined

  constructor(main: Reads, records: Reads | undefined) {
    this.#main = main
    this.#records = records
  }

  /** Returns what a condition on the table is made for, or undefined if the table has no rows. */
  readsOf(name: ArchivedTable): Reads | undefined {
    return OF_BLOBS.includes(name) ? this.#records : this.#main
  }

  table(name: ArchivedTable): BulkTable {
    return archivedTable((this.readsOf(name) ?? this.#main).kit, name)
  }

  /** Yields the rows of a table in pages, in the order of the primary key. */
  async *rows(
    name: ArchivedTable,
    { where, after }: { where?: SQL | undefined; after?: readonly Cell[] | undefined } = {},
  ) {
    const reads = this.readsOf(name)
    if (reads === undefined) return
    const options = { where: selected(reads, name, where), after }
    yield* readRows(reads.kit, reads.executor, archivedTable(reads.kit, name), options) as AsyncGenerator<BulkRow[]>
  }

  /** Returns the last number that the log of events has given. */
  lastEventSeq(): Promise<number> {
    return lastNumber(this.#main.kit, this.#main.executor, this.table('events'))
  }

  async count(name: ArchivedTable, where?: SQL): Promise<number> {
    const reads = this.readsOf(name)
    if (reads === undefined) return 0
    const orm = reads.kit.ormFor(reads.executor)
    const [counted] = await orm
      .select({ rows: count() })
      .from(reads.kit.tables[name])
      .where(selected(reads, name, where))
    return counted?.rows ?? 0
  }
}

/**
 * Returns the condition of the rows that are read: of contents, only those that are whole and that a blob has. All others are of
 * puts that are under way or were killed, or wait for the collector.
 */
function selected({ kit, executor }: Reads, name: ArchivedTable, where: SQL | undefined): SQL | undefined {
  if (name !== 'blobContent') return where
  const { blobContent: c, blobs: b } = kit.tables
  const records = kit.ormFor(executor).select({ one: sql`1` }).from(b).where(eq(b.hash, c.hash))
  return and(eq(c.state, 'live'), exists(records), gt(c.hash, ''), where)
}

/**
 * Runs `body` with the rows of a storage as they are now. If the records of blobs have a database of their own, its moment is
 * later: each blob that a message mentions is there, unless it was deleted.
 */
export function withSource<T>(
  { database, blobs }: { database: Database; blobs: BlobRows },
  body: (source: ArchiveSource) => Promise<T>,
): Promise<T> {
  return database.snapshot(async (executor) => {
    const main = { kit: database.kit, executor }
    const { own } = blobs
    if (own === undefined) return body(new ArchiveSource(main, main))
    if (own.unused) return body(new ArchiveSource(main, undefined))
    const records = await own.open()
    return records.snapshot((snapshot) => body(new ArchiveSource(main, { kit: records.kit, executor: snapshot })))
  })
}
