import { randomUUID } from 'node:crypto'
import type { Db } from '../../database/db.ts'
import { ofOwner } from '../../database/owner.ts'
import { statement } from '../../database/statement.ts'
import { LATEST } from '../../validation/instants.ts'
import { collectContent, collectExpired } from './collect.ts'
import { removeQuarantined } from './quarantined.ts'
import { removeRecord } from './remove.ts'
import type { BlobStore } from './store.ts'

const selectOldest = statement(({ orm, tables: { blobs: b } }, arg: { owner: string; limit: number }) =>
  orm.select({ id: b.id }).from(b).where(ofOwner(b, arg.owner)).orderBy(b.createdAt, b.id).limit(arg.limit),
)

/**
 * Removes up to `limit` records of an owner, whoever mentions them, and each content that no other record shares. Returns
 * the number of records that were found and are gone. If it is less than `limit`, none is left, and neither are the bytes
 * of an erasure that was interrupted, nor bytes in quarantine that no blob has. Safe to repeat, and to run on several
 * instances at once.
 *
 * `db` has no owner: whether a content is shared, all records say.
 */
export async function eraseBlobs(db: Db, store: BlobStore, owner: string, limit: number): Promise<number> {
  const records = await selectOldest.all(db, { owner, limit })
  const rule = { force: true, usedBefore: LATEST, expiredBy: LATEST }
  for (const { id } of records) {
    await store.onStep?.('erase.remove')
    const target = { id, ownerId: owner, lastUsedAt: null, reservation: randomUUID(), reservedUntil: store.now() }
    const removed = await removeRecord(db, { ...rule, ...target }, 'brief')
    // Not left to maintenance, unlike that of a deleted blob: who asks for an erasure is told if bytes are still there.
    if (removed) await collectContent(db, store, removed.hash)
  }
  if (records.length < limit) {
    await collectExpired(db, store)
    await removeQuarantined(db, store)
  }
  return records.length
}
