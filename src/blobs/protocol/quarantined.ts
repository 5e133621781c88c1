import { inArray } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { batch, rowsStatement } from '../../database/statement.ts'
import { isResting, LONGEST_REST_MILLIS } from '../../maintenance/lease.ts'
import type { Quarantined } from '../bytes/backend.ts'
import { Removals } from '../bytes/removals.ts'
import type { BlobStore } from './store.ts'
import { STALE_MILLIS } from './verify-steps.ts'

const SLICE_SIZE = 512

const selectHashes = rowsStatement(({ orm, tables: { blobContent: c } }, rows: { hash: string }[]) =>
  orm
    .select({ hash: c.hash })
    .from(c)
    .where(
      inArray(
        c.hash,
        rows.map(({ hash }) => hash),
      ),
    ),
)

/**
 * Removes bytes in quarantine that were moved there before `movedBefore`, or at any time without it, and whose content no
 * blob has any more. Returns the number removed. Safe to repeat: whatever interrupts it, the next call goes on.
 *
 * Nothing else says whose the bytes were: `verify` removes the records of lost bytes. So the rest of an erased owner is
 * removed together with what nobody has.
 */
export async function removeQuarantined(db: Db, { bytes }: BlobStore, movedBefore?: Date): Promise<number> {
  let removed = 0
  const removals = new Removals()
  let slice: Quarantined[] = []
  const removeSlice = async () => {
    const needed = new Set((await batch(db, selectHashes.with(slice))).flat().map(({ hash }) => hash))
    for (const { hash, remove } of slice) {
      if (needed.has(hash)) continue
      if (await removals.try(() => remove().then(() => true))) removed += 1
    }
    slice = []
  }
  for await (const found of bytes.quarantined?.() ?? []) {
    if (movedBefore !== undefined && found.movedAt >= movedBefore) continue
    if (slice.push(found) === SLICE_SIZE) await removeSlice()
  }
  if (slice.length > 0) await removeSlice()
  removals.end()
  return removed
}

/** Makes a step that once an hour removes what has been in quarantine for a day and no blob has. Returns the number removed. */
export function quarantineSweep(db: Db, store: BlobStore): () => Promise<number> {
  let next = 0
  return async () => {
    const now = store.now().getTime()
    if (isResting(now, next)) return 0
    const removed = await removeQuarantined(db, store, new Date(now - STALE_MILLIS))
    next = now + LONGEST_REST_MILLIS
    return removed
  }
}
