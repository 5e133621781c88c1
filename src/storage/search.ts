import { count, eq } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import { backfill, backfillStep } from '../repositories/search/backfill.ts'
import { currentGeneration } from '../repositories/search/generation.ts'
import { checkSearch } from '../repositories/search/page.ts'
import { beginIndex, openIndex } from '../repositories/search/state.ts'
import { checkSignal } from '../validation/signal.ts'
import { parseLongRun } from './long-run.ts'
import type { RebuildSearchOptions } from './options.ts'
import type { SearchStats } from './reports.ts'

/** The steps that index an empty database: there are no messages, and there are no memories. */
const STEPS_OF_EMPTY = 2

/** Opens the index if the search is switched on. If the database is empty, nothing is left to the backfill. */
export async function openSearch(database: Database): Promise<void> {
  const isNew = await openIndex(database)
  for (let step = 0; isNew && step < STEPS_OF_EMPTY; step++) {
    const { indexed, isDone } = await backfillStep(database)
    if (isDone || indexed > 0) return
  }
}

/** How long a round of maintenance waits for transactions that write. The next round goes on. */
const ROUND_WAIT_MILLIS = 1000

/** Runs the step of maintenance: indexes what is not indexed yet. */
export async function maintainSearch(database: Database, signal: AbortSignal): Promise<number> {
  await backfill(database, { signal, waitMillis: ROUND_WAIT_MILLIS })
  return 0
}

/** Indexes everything anew. See `Storage.rebuildSearch`. */
export async function rebuildSearch(database: Database, options: RebuildSearchOptions): Promise<number> {
  const { signal, onProgress } = parseLongRun(options)
  checkSearch(database)
  await beginIndex(database)
  let indexed = 0
  await backfill(database, {
    signal,
    onStep: (more) => {
      indexed += more
      onProgress?.({ indexed })
    },
  })
  checkSignal(signal, 'The rebuild was aborted by its signal: maintenance goes on with what is left')
  return indexed
}

/** Counts what is not indexed, given the rows of each table. */
export async function searchStats(database: Database, rows: Readonly<Record<string, number>>): Promise<SearchStats> {
  const { messageSearch, memorySearch } = database.tables
  let pending = (rows.messages ?? 0) + (rows.memories ?? 0)
  for (const table of [messageSearch, memorySearch]) {
    const isCurrent = eq(table.generation, currentGeneration(database))
    const [counted] = await database.orm.select({ entries: count() }).from(table).where(isCurrent)
    pending -= counted?.entries ?? 0
  }
  return { pending: Math.max(0, pending) }
}
