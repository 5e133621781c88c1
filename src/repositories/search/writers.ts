import type { Db } from '../../database/db.ts'

/**
 * Transactions that write texts, and those whose snapshot stays the same until they end: the name that PostgreSQL gives a
 * transaction while it runs.
 */
const RUNNING = `select distinct virtualtransaction from pg_locks
  where database = (select oid from pg_database where datname = current_database())
    and pid is distinct from pg_backend_pid()
    and (mode = 'SIReadLock'
      or mode = 'RowExclusiveLock' and granted and relation in (to_regclass('messages'), to_regclass('memories')))`

/**
 * Returns the transactions that may have written entries of the generation before, and are not visible yet: of those in `known`
 * what is still running, or all that run. Call after the generation was begun. SQLite has one writer at a time, so it has none.
 */
export async function writersBefore(tx: Db, known: readonly string[] | undefined): Promise<string[]> {
  if (tx.dialect === 'sqlite') return []
  const rows = await tx.run({ sql: RUNNING, params: [], writes: false })
  const running = rows.map(([name]) => String(name))
  return known === undefined ? running : running.filter((name) => known.includes(name))
}
