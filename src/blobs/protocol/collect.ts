import { and, eq, exists, gt, lte, notExists, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { type Builder, statement } from '../../database/statement.ts'
import { isStorageError } from '../../errors.ts'
import type { Location } from '../bytes/backend.ts'
import { Removals } from '../bytes/removals.ts'
import { removeObjects, selectRemovals } from './removals.ts'
import type { BlobStore } from './store.ts'
import { lockedBatch, USAGE_ROWS } from './usage.ts'

type Store = Pick<BlobStore, 'bytes' | 'now' | 'onStep'>
type Place = Pick<Location, 'hash' | 'generation'>

const PAGE_SIZE = 1000

const endExpiredReservations = statement(({ orm, tables: { blobLeases: l } }, arg: { hash: string; now: Date }) =>
  orm.delete(l).where(and(eq(l.hash, arg.hash), lte(l.expiresAt, arg.now))),
)

/** Returns the condition that selects a content which no record and no reservation needs. */
function isUnneeded({ orm, tables: { blobContent: c, blobs: b, blobLeases: l } }: Builder, hash: string) {
  const records = orm.select({ id: b.id }).from(b).where(eq(b.hash, c.hash))
  const reservations = orm.select({ id: l.id }).from(l).where(eq(l.hash, c.hash))
  return and(eq(c.hash, hash), notExists(records), notExists(reservations))
}

const releaseUnneeded = statement((db, arg: { hash: string }) => {
  const { blobContent: c, blobRemovals: r } = db.tables
  return db.orm.insert(r).select(
    db.orm
      .select({ hash: c.hash, generation: c.generation, counted: sql`${c.size}`.as('counted') })
      .from(c)
      .where(isUnneeded(db, arg.hash)),
  )
})

const uncountUnneeded = statement((db, arg: { hash: string }) => {
  const { blobContent: c, blobUsage: u } = db.tables
  const unneeded = db.orm.select({ hash: c.hash }).from(c).where(isUnneeded(db, arg.hash))
  return db.orm
    .update(u)
    .set({ used: sql`${u.used} - 1` })
    .where(and(eq(u.id, USAGE_ROWS.contents), exists(unneeded)))
})

const removeUnneeded = statement((db, arg: { hash: string }) =>
  db.orm.delete(db.tables.blobContent).where(isUnneeded(db, arg.hash)),
)

/** Returns the calls that end the expired reservations of a content, and then make it a removal if nothing needs it. */
const releasing = (hash: string, now: Date) =>
  [
    endExpiredReservations.with({ hash, now }),
    releaseUnneeded.with({ hash }),
    uncountUnneeded.with({ hash }),
    removeUnneeded.with({ hash }),
  ] as const

/**
 * Removes a content, with its bytes, if no record and no reservation needs it. Returns true if an object was removed. Safe
 * to repeat.
 *
 * The content gives up its row in one commit, and its object is then a removal. A put from then on stores the content under
 * another generation. So the bytes can be removed without a lock, and however late: nobody will need this object again.
 * The second commit refunds them. If this instance dies or freezes between the two, any other goes on with the removal.
 */
export async function collectContent(db: Db, store: Store, hash: string): Promise<boolean> {
  await store.onStep?.('collect.lock')
  const [, , , , removals] = await lockedBatch(db, 'brief', [
    ...releasing(hash, store.now()),
    selectRemovals.with({ hash }),
  ])
  await removeObjects(db, store, removals)
  return removals.length > 0
}

/**
 * Selects what an object may be needed for: a content that has it, or a reservation, valid after `since`, whose put may have
 * just stored it.
 */
export const selectNeeds = statement(
  ({ orm, tables: { blobContent: c, blobLeases: l } }, arg: Place & { since: Date }) =>
    orm
      .select({ hash: c.hash })
      .from(c)
      .where(and(eq(c.hash, arg.hash), eq(c.generation, arg.generation)))
      .unionAll(
        orm
          .select({ hash: l.hash })
          .from(l)
          .where(and(eq(l.hash, arg.hash), gt(l.expiresAt, arg.since))),
      ),
)

/**
 * Removes an object if it is a stray: nobody needs it, now or later. Returns true if it was removed. Safe to repeat.
 *
 * Everything that may need the object is visible: a transaction that has put the content would hold the usage lock. The
 * expired reservations end, since a late put must not count on the object. The collector would not look at their content
 * any more, so that is released as well.
 */
export async function collectStray(db: Db, store: Store, stray: Location): Promise<boolean> {
  await store.onStep?.('collect.lock')
  const { hash, generation } = stray
  const now = store.now()
  const [, , , , needs, removals] = await lockedBatch(db, 'brief', [
    ...releasing(hash, now),
    selectNeeds.with({ hash, generation, since: now }),
    selectRemovals.with({ hash }),
  ])
  if (needs.length > 0) return false
  await removeObjects(db, store, [stray, ...removals.filter((removal) => removal.generation !== generation)])
  return true
}

/**
 * Collects items one after the other. If a collection fails, maintenance or verify makes up for it. A database that is out of
 * reach, or another change of blobs that goes on, ends it: each further item would wait as long.
 */
export async function collectEach<Item>(
  items: Iterable<Item>,
  collect: (item: Item) => Promise<unknown>,
): Promise<void> {
  for (const item of items) {
    try {
      await collect(item)
    } catch (error) {
      if (isStorageError(error) && error.retryable) return
    }
  }
}

const selectExpired = statement(({ orm, tables: { blobLeases: l } }, arg: { now: Date; after: string }) =>
  orm
    .selectDistinct({ hash: l.hash })
    .from(l)
    .where(and(lte(l.expiresAt, arg.now), sql`${l.hash} > ${arg.after}`))
    .orderBy(l.hash)
    .limit(PAGE_SIZE),
)

const selectRemovedHashes = statement(({ orm, tables: { blobRemovals: r } }, arg: { now: Date; after: string }) =>
  orm.selectDistinct({ hash: r.hash }).from(r).where(gt(r.hash, arg.after)).orderBy(r.hash).limit(PAGE_SIZE),
)

/**
 * Collects every content that has an expired reservation: a failed put or a removed record left it behind. Ends the
 * removals that a collector left behind. Returns the number of contents with something to remove. If some cannot be removed,
 * removes the others and then fails. Safe to repeat, and to run on several instances at once.
 */
export async function collectExpired(db: Db, store: Store): Promise<number> {
  let collected = 0
  const removals = new Removals()
  for (const select of [selectExpired, selectRemovedHashes]) {
    for (let after = ''; ; ) {
      const found = await select.all(db, { now: store.now(), after })
      for (const { hash } of found) {
        if (await removals.try(() => collectContent(db, store, hash))) collected += 1
      }
      const last = found.at(-1)
      if (last === undefined) break
      after = last.hash
    }
  }
  removals.end()
  return collected
}
