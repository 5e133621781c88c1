import { eq, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { batch, type Call, statement } from '../../database/statement.ts'
import { isComplete, STATE } from './state.ts'

const selectState = statement(({ orm, tables: { properties: p } }, _: object) =>
  orm
    .select({ value: p.value })
    .from(p)
    .where(eq(p.name, sql.raw(`'${STATE}'`))),
)

// Our connections plan without bitmaps, and a GIN index has nothing else. A sequential scan would decompress every long text:
// the planner does not count that. Both last until the end of the transaction, which may be the program's.
const planWithIndex = command(`select set_config('holdfast.bitmaps', current_setting('enable_bitmapscan'), true),
  set_config('enable_bitmapscan', 'on', true), set_config('enable_seqscan', 'off', true)`)
const planAsBefore = command(`select set_config('enable_bitmapscan', current_setting('holdfast.bitmaps'), true),
  set_config('enable_seqscan', 'on', true)`)

/** Makes a call of which nothing is read. */
function command(text: string): Call<undefined> {
  return { query: () => ({ sql: text, params: [], writes: false }), decode: () => undefined }
}

/** Runs the statement of a search, in one round trip. Returns its rows, and whether texts are not indexed yet. */
export async function runSearch<R>(db: Db, select: Call<R>): Promise<{ rows: R[]; isIncomplete: boolean }> {
  const reads = [selectState.with({}), select] as const
  const [[state], rows] =
    db.dialect === 'sqlite'
      ? await batch(db, reads)
      : await batch(db, [planWithIndex, ...reads, planAsBefore]).then(([, ...results]) => results)
  return { rows, isIncomplete: !isComplete(state?.value, db.search) }
}
