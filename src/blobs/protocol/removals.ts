import { and, eq, exists, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { type Builder, statement } from '../../database/statement.ts'
import type { Location } from '../bytes/backend.ts'
import type { BlobStore } from './store.ts'
import { lockedBatch, USAGE_ROWS } from './usage.ts'

type Place = Pick<Location, 'hash' | 'generation'>

/** How many removals are refunded in one commit. */
const BATCH_SIZE = 100

const isRemoval = ({ tables: { blobRemovals: r } }: Builder, { hash, generation }: Place) =>
  and(eq(r.hash, hash), eq(r.generation, generation))

const refund = statement((db, arg: Place) => {
  const { blobRemovals: r, blobUsage: u } = db.tables
  const removal = db.orm.select({ counted: r.counted }).from(r).where(isRemoval(db, arg))
  return db.orm
    .update(u)
    .set({ used: sql`${u.used} - (${removal})` })
    .where(and(eq(u.id, USAGE_ROWS.bytes), exists(removal)))
})

const endRemoval = statement((db, arg: Place) => db.orm.delete(db.tables.blobRemovals).where(isRemoval(db, arg)))

/** Selects the objects of a content that are about to be removed. */
export const selectRemovals = statement(({ orm, tables: { blobRemovals: r } }, arg: { hash: string }) =>
  orm.select({ hash: r.hash, generation: r.generation, size: r.counted }).from(r).where(eq(r.hash, arg.hash)),
)

/**
 * Removes objects that nobody will need again, and then refunds them. Holds no lock while it waits for the backend. If it
 * fails, the removals stay, and maintenance tries again. Safe to repeat, and to run on several instances at once.
 */
export async function removeObjects(
  db: Db,
  { bytes, onStep }: Pick<BlobStore, 'bytes' | 'onStep'>,
  locations: readonly Location[],
): Promise<void> {
  for (let start = 0; start < locations.length; start += BATCH_SIZE) {
    const some = locations.slice(start, start + BATCH_SIZE)
    await onStep?.('collect.unlink')
    if (bytes.removeMany && some.length > 1) await bytes.removeMany(some)
    else for (const location of some) await bytes.remove(location)
    await onStep?.('collect.commit')
    await lockedBatch(
      db,
      'brief',
      some.flatMap(({ hash, generation }) => [
        refund.with({ hash, generation }),
        endRemoval.with({ hash, generation }),
      ]),
    )
  }
}
