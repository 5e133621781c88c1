import { setTimeout as sleep } from 'node:timers/promises'
import { eq, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { statement } from '../../database/statement.ts'
import { MOST_ROWS, Pace } from '../../maintenance/pace.ts'
import { backfillMemories } from './backfill-memories.ts'
import { backfillMessages, withoutGone } from './backfill-messages.ts'
import { parseState, type SearchState, STATE } from './state.ts'
import { writersBefore } from './writers.ts'

/** The pause between two looks at the transactions that the walk waits for. */
const LOOK_MILLIS = 50

/** Locks the state until the transaction ends, so that only one process takes a step at a time. */
const lockState = statement(({ orm, tables: { properties: p } }, _: object) =>
  orm
    .update(p)
    .set({ value: sql`${p.value}` })
    .where(eq(p.name, sql.raw(`'${STATE}'`)))
    .returning({ value: p.value }),
)

const setState = statement(({ orm, tables: { properties: p } }, arg: { value: string }) =>
  orm
    .update(p)
    .set({ value: arg.value })
    .where(eq(p.name, sql.raw(`'${STATE}'`))),
)

/** What one transaction of the backfill did. */
export interface BackfillStep {
  /** How many texts were indexed. */
  indexed: number
  /** True if there is nothing left to do. */
  isDone: boolean
  /** True if it did nothing, since transactions run that began to write before the index was begun. */
  isWaiting?: boolean
}

/**
 * Indexes up to `limit` texts that were stored before the search was switched on. The same transaction stores how far it came,
 * and the next step begins there.
 */
export function backfillStep(db: Db, limit = MOST_ROWS): Promise<BackfillStep> {
  return db.transaction(async (tx) => {
    const [locked] = await lockState.all(tx, {})
    const state = parseState(locked?.value, db.search)
    if (state === undefined || state.phase === 'complete') return { indexed: 0, isDone: true }
    if (state.phase === 'messages' && state.messages === undefined) {
      const writers = await writersBefore(tx, state.writers)
      if (writers.length > 0) {
        await setState.all(tx, { value: JSON.stringify({ ...state, writers }) })
        return { indexed: 0, isDone: false, isWaiting: true }
      }
    }
    const { indexed, ...next } =
      state.phase === 'messages'
        ? await backfillMessages(tx, state.messages, limit)
        : await backfillMemories(tx, state.memories, limit)
    const after: SearchState = { tokenizer: state.tokenizer, tools: state.tools, ...next }
    await setState.all(tx, { value: JSON.stringify(after) })
    return { indexed, isDone: after.phase === 'complete' }
  })
}

/** Removes a session that is gone from the state, so that an erasure leaves no id of a session or an owner. Safe to repeat. */
export async function forgetGone(db: Db): Promise<void> {
  await db.transaction(async (tx) => {
    const [locked] = await lockState.all(tx, {})
    const state = parseState(locked?.value, db.search)
    if (state?.messages === undefined) return
    const messages = await withoutGone(tx, state.messages)
    await setState.all(tx, { value: JSON.stringify({ ...state, messages }) })
  })
}

interface BackfillOptions {
  signal?: AbortSignal | undefined
  onStep?: (indexed: number) => void
  /** How long transactions are waited for that began to write before the index was begun. Default: until they end. */
  waitMillis?: number
}

/**
 * Takes steps until everything is indexed, or the signal is aborted, and leaves the database to writers between two steps.
 * Returns the number of texts indexed.
 */
export async function backfill(
  db: Db,
  { signal, onStep, waitMillis = Number.POSITIVE_INFINITY }: BackfillOptions = {},
): Promise<number> {
  const pace = new Pace(db.dialect)
  const begun = performance.now()
  let total = 0
  for (;;) {
    if (signal?.aborted) return total
    const { indexed, isDone, isWaiting } = await pace.step(() => backfillStep(db, pace.rows))
    total += indexed
    onStep?.(indexed)
    if (isDone || (isWaiting && performance.now() - begun > waitMillis)) return total
    if (isWaiting) await sleep(LOOK_MILLIS)
  }
}
