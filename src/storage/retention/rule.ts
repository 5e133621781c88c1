import type { RowCache } from '../../cache/row-cache.ts'
import type { Db } from '../../database/db.ts'
import type { Pace } from '../../maintenance/pace.ts'

/** What a rule works with. */
export interface RuleContext {
  /** A handle without an owner: retention concerns everybody's rows. */
  db: Db
  rowCache: RowCache
  pace: Pace
  /** Counts, and removes nothing. */
  dryRun: boolean
  /** Sessions that were idle since then have been removed before, or would have been, unless something needs them. */
  idleBefore: Date | undefined
  /** An execution that is running and was started at this time or before was left behind by a crash. */
  runningSince: Date
}

/** The number of rows that one transaction has removed from a table. 0 if it has only looked. */
export interface Removed {
  table: string
  rows: number
}

/** Removes what was last in use at `before` or earlier. Yields after each transaction, so that the caller can stop there. */
export type Rule = (context: RuleContext, before: Date) => AsyncGenerator<Removed>
