import { and, eq } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { OwnedDb } from '../../database/owned-db.ts'
import { giveEntries } from '../search/message-entries.ts'
import { TABLES_OF_SESSION } from './removal.ts'

interface Gift {
  id: string
  from: string
  to: string
}

/**
 * Runs `update` on a session of the owner `from`, and gives the session and everything that belongs to it to the owner
 * `to`, in one transaction. Returns what `update` returns: no row if there is no such session, and nothing is given then.
 * `db` is a handle without an owner.
 */
export function giveSession<Row>(db: Db, { id, from, to }: Gift, update: (tx: Db) => Promise<Row[]>): Promise<Row[]> {
  return db.transaction(async (tx) => {
    const updated = await update(new OwnedDb(tx, from))
    if (updated.length === 0) return updated
    const { sessions } = tx.tables
    const ofSession = TABLES_OF_SESSION.map((tableOf) => tableOf(tx.tables))
    // Foreign keys take messages, mentions and queued items along.
    for (const [table, sessionId] of [[sessions, sessions.id] as const, ...ofSession]) {
      await tx.orm
        .update(table)
        .set({ ownerId: to })
        .where(and(eq(sessionId, id), eq(table.ownerId, from)))
    }
    await giveEntries(new OwnedDb(tx, to), id)
    return updated
  })
}
