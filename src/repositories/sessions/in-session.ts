import type { Db } from '../../database/db.ts'
import { OwnedDb } from '../../database/owned-db.ts'
import { ownerOfNames } from '../../database/owner.ts'
import { StorageError } from '../../errors.ts'
import { lockSession } from './statements.ts'

/**
 * Runs `write`, whose rows go when the session goes, in a transaction that holds the session: nobody removes it meanwhile.
 * What has a name belongs to nobody on a handle without an owner, and then the session must be nobody's as well.
 *
 * @throws {NOT_FOUND} when the owner has no such session, or it has expired
 */
export function inSession<T>(
  db: Db,
  { sessionId, now }: { sessionId: string; now: Date },
  write: (tx: Db) => Promise<T>,
): Promise<T> {
  return new OwnedDb(db, ownerOfNames(db)).transaction(async (tx) => {
    if ((await lockSession.first(tx, { id: sessionId, now })) === undefined) throw noSuchSession(sessionId)
    return write(tx)
  })
}

export function noSuchSession(id: string): StorageError<'NOT_FOUND'> {
  return new StorageError('NOT_FOUND', 'There is no such session', { details: { id } })
}
