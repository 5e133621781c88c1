import { setImmediate as nextTurn } from 'node:timers/promises'
import type { SqliteConnection } from './connection.ts'

const INDEXES = ['message_terms', 'memory_terms']

/** How many pages of an index one step merges. */
const STEP_PAGES = 200

/** An index that was never used has two rows of its own. */
const ROWS_OF_UNUSED = 2

type OnWriter = <T>(work: (writer: SqliteConnection) => T) => Promise<T>

/**
 * Removes the tokens of deleted texts from the file. FTS5 only notes what was deleted, until a merge leaves it out; the pages of
 * the merges before are free, but keep what they held. `onWriter` runs with `secure_delete` on.
 */
export async function overwriteTerms(onWriter: OnWriter): Promise<void> {
  let isUsed = false
  for (const index of INDEXES) {
    if (await onWriter((writer) => isUnused(writer, index))) continue
    isUsed = true
    // Negative: all segments are to become one.
    for (let pages = -STEP_PAGES; await onWriter((writer) => merge(writer, index, pages)); pages = STEP_PAGES) {
      await nextTurn() // writers come between two steps
    }
  }
  if (isUsed) await onWriter(overwriteFreePages)
}

function isUnused(writer: SqliteConnection, index: string): boolean {
  const sql = `select count(*) from (select 1 from ${index}_data limit ${ROWS_OF_UNUSED + 1})`
  return Number(writer.run({ sql, params: [] })[0]?.[0]) <= ROWS_OF_UNUSED
}

/** Merges some pages. Returns false if there was nothing to merge: then nothing but the command itself is counted. */
function merge(writer: SqliteConnection, index: string, pages: number): boolean {
  const changes = () => Number(writer.run({ sql: 'select total_changes()', params: [] })[0]?.[0])
  const before = changes()
  writer.run({ sql: `insert into ${index} (${index}, rank) values ('merge', ?)`, params: [pages] })
  return changes() - before > 1
}

/** Takes every free page for a table of zeros, and drops the table. */
function overwriteFreePages(writer: SqliteConnection): void {
  const sql = 'select freelist_count, page_size from pragma_freelist_count(), pragma_page_size()'
  const [[count, size] = []] = writer.run({ sql, params: [] })
  const bytes = Number(count) * Number(size)
  if (bytes === 0) return
  writer.control('BEGIN IMMEDIATE')
  try {
    writer.exec('CREATE TABLE holdfast_zeros (zeros blob)')
    const insert = 'insert into holdfast_zeros values (zeroblob(?))'
    for (let left = bytes; left > 0; left -= MAX_BLOB) {
      writer.run({ sql: insert, params: [Math.min(left, MAX_BLOB)] })
    }
    writer.exec('DROP TABLE holdfast_zeros')
    writer.control('COMMIT')
  } catch (error) {
    if (writer.inTransaction) writer.control('ROLLBACK')
    throw error
  }
}

const MAX_BLOB = 2 ** 29
