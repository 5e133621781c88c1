import { and, eq, inArray, ne, notExists, sql } from 'drizzle-orm'
import { INLINE } from '../../blobs/attachments/offload.ts'
import type { Db } from '../../database/db.ts'
import { OwnedDb } from '../../database/owned-db.ts'
import { giveEntries } from '../search/message-entries.ts'
import { EntriesAdded, keysOfSession, makeRoom } from './giving-keys.ts'
import { TABLES_OF_SESSION } from './removal.ts'

/** How the metadata of a blob begins that was data in a message. */
const DATA = `{"${INLINE}":%`

interface Gift {
  id: string
  from: string
  to: string
}

interface Announced {
  /** The keys of the entries that go with the session. */
  keys: readonly string[]
  now: Date
}

/**
 * Runs `update` on a session of the owner `from`, and gives the session and everything that belongs to it to the owner
 * `to`, in one transaction. Returns what `update` returns: no row if there is no such session, and nothing is given then.
 * `db` is a handle without an owner. If the session has an entry whose key is not among `keys`, nothing is done, and the call
 * ends with EntriesAdded.
 *
 * @throws {ALREADY_EXISTS} when the new owner has an entry or a list with a key of the session's
 */
export function giveSession<Row>(
  db: Db,
  { id, from, to, keys, now }: Gift & Announced,
  update: (tx: Db) => Promise<Row[]>,
): Promise<Row[]> {
  return db.transaction(async (tx) => {
    const updated = await update(new OwnedDb(tx, from))
    if (updated.length === 0) return updated
    const { sessions } = tx.tables
    const ofSession = TABLES_OF_SESSION.map((tableOf) => tableOf(tx.tables))
    await makeRoom(tx, { id, from, to, now })
    // Foreign keys take messages, mentions, queued items, entries and lists along.
    for (const [table, sessionId] of [[sessions, sessions.id] as const, ...ofSession]) {
      await tx.orm
        .update(table)
        .set({ ownerId: to })
        .where(and(eq(sessionId, id), eq(table.ownerId, from)))
    }
    const given = await keysOfSession(tx, { id, owner: to })
    if (!given.every((key) => keys.includes(key))) throw new EntriesAdded()
    await giveAttachments(tx, { id, from, to })
    await giveEntries(new OwnedDb(tx, to), id)
    return updated
  })
}

/**
 * Gives the blobs along that are data in the messages of the session, unless a message of an owner other than `to` names them.
 * The session need not be the one that the data came with: a fork names the blobs of its original.
 */
async function giveAttachments({ orm, tables: { blobs: b, blobRefs: r } }: Db, { id, from, to }: Gift): Promise<void> {
  const named = orm
    .select({ id: r.blobId })
    .from(r)
    .where(and(eq(r.sessionId, id), eq(r.ownerId, to)))
  const namedByOthers = orm
    .select({ id: r.blobId })
    .from(r)
    .where(and(eq(r.blobId, b.id), ne(r.ownerId, to)))
  const isData = sql`cast(${b.metadata} as text) like ${DATA}`
  await orm
    .update(b)
    .set({ ownerId: to })
    .where(and(inArray(b.id, named), eq(b.ownerId, from), isData, notExists(namedByOthers)))
}
