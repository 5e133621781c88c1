import { setTimeout as sleep } from 'node:timers/promises'
import type { Db } from './db.ts'
import type { Query } from './query.ts'

/** The seqs of all owners, even for the handle of one: the log has one sequence, and no one's events are returned. */
const GREATEST_SEQ = query('select max(seq) from events')

/**
 * Selects the transactions of others that may have appended. Each holds this lock from before its first seq is given out
 * until its events are visible, whichever program writes. A prepared transaction has no pid.
 */
const WRITERS = query(
  `select virtualtransaction from pg_locks
   where relation = 'events'::regclass and mode = 'RowExclusiveLock' and pid is distinct from pg_backend_pid()
     and database = (select datid from pg_stat_get_activity(pg_backend_pid()))`,
)

const FIRST_WAIT_MILLIS = 1
const MAX_WAIT_MILLIS = 100

/**
 * Knows up to which seq the log of events is settled: no event up to there can still become visible. PostgreSQL gives out a
 * seq before the transaction commits, so events become visible in another order. SQLite has one writer: its log is settled.
 */
export class SettledEvents {
  readonly #db: Db
  #through = 0

  constructor(db: Db) {
    this.#db = db
  }

  get through(): number {
    return this.#db.dialect === 'sqlite' ? Number.MAX_SAFE_INTEGER : this.#through
  }

  /** Waits until all events that are visible now, and `seq`, are settled. Ends early if the signal is aborted. */
  async settle(seq: number, signal: AbortSignal | undefined): Promise<void> {
    // In this order: whoever has a smaller seq than the greatest one holds the lock when the second query runs, or has ended.
    const [[greatest] = [], rows = []] = await this.#db.batch([GREATEST_SEQ, WRITERS])
    let writers = rows.map(([writer]) => writer)
    for (let millis = FIRST_WAIT_MILLIS; writers.length > 0; millis = Math.min(millis * 2, MAX_WAIT_MILLIS)) {
      await pause(millis, signal)
      if (signal?.aborted) return
      const still = new Set((await this.#db.run(WRITERS)).map(([writer]) => writer))
      writers = writers.filter((writer) => still.has(writer))
    }
    this.#through = Math.max(this.#through, seq, Number(greatest?.[0] ?? 0))
  }
}

/** Waits, or ends early if the signal is aborted. */
export async function pause(millis: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(millis, undefined, { signal }).catch(() => {})
}

function query(sql: string): Query {
  return { sql, params: [], writes: false }
}
