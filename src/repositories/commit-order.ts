import type { Db } from '../database/db.ts'
import type { Call } from '../database/statement.ts'

// PostgreSQL gives out a seq before the transaction commits, so an event can become visible after events with greater seqs.
// Each transaction that appends holds a shared advisory lock whose second key is a lower bound of its seqs. A follower reads
// these locks and stops below them. No writer waits for another one, as it would for one lock that all of them share.

/**
 * Takes the lock, before the first seq of a transaction is given out. One lock is enough for a transaction, and the server
 * has room for few thousand: a local setting, which a rollback resets as it releases the lock, remembers that it is held.
 * The mask keeps the key an integer; a smaller bound only makes followers wait.
 */
const TAKE_LOCK = `
  select pg_advisory_xact_lock_shared(
    'events'::regclass::oid::int4, (coalesce((select max(seq) from events), 0) & 2147483647)::int4
  ), set_config('holdfast.appends_events', '1', true)
  where current_setting('holdfast.appends_events', true) is distinct from '1'`

/**
 * The snapshot of a statement is older than the locks that it reads. What commits in between is covered by the greatest
 * visible seq: whoever takes the lock later gets greater seqs.
 */
const SETTLED_SEQ = `
  select least((select max(seq) from events), (
    select min(objid::bigint) from pg_locks
    where locktype = 'advisory' and objsubid = 2 and classid = 'events'::regclass and pid <> pg_backend_pid()
      and database = (select oid from pg_database where datname = current_database())))`

/** Returns the calls that must precede the insert of events in its batch. SQLite has one writer, so it needs none. */
export function beforeAppend({ dialect }: Db): Call<undefined>[] {
  if (dialect === 'sqlite') return []
  const query = { sql: TAKE_LOCK, params: [], writes: true }
  return [{ query: () => query, decode: () => undefined }]
}

/** Returns the seq up to which no event can still become visible, or undefined if that holds for all of them. */
export async function settledSeq(db: Db): Promise<number | undefined> {
  if (db.dialect === 'sqlite') return undefined
  const [row] = await db.run({ sql: SETTLED_SEQ, params: [], writes: false })
  return Number(row?.[0] ?? 0)
}
