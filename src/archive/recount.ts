import type { Db } from '../database/db.ts'
import { COUNTERS, type Counter } from '../repositories/counters.ts'
import type { Outcomes } from './outcomes.ts'

const ENTRIES = Object.entries(COUNTERS) as [keyof typeof COUNTERS, Counter][] // the entries of a constant

/**
 * Corrects the counters of rows that were written although some of what they count was refused: the number of a session's
 * messages, the length of a list, the gaps of a queue. Safe to repeat.
 */
export async function recount(db: Db, outcomes: Outcomes): Promise<void> {
  for (const [table, counter] of ENTRIES) {
    for (const key of outcomes.incomplete(table)) await counter.recount(db, key.map(String))
    // Nobody knows where an unreadable row belongs, so all counters are looked at.
    if (!outcomes.hasUnreadable(counter.of)) continue
    for (const key of await counter.wrong(db)) await counter.recount(db, key)
  }
}
