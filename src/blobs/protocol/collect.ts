import { and, eq, lte, notExists, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { statement } from '../../database/statement.ts'
import { firstLocation, type SetAside } from '../bytes/backend.ts'
import type { BlobStore } from './store.ts'
import { lockedBatch, subtractUsage } from './usage.ts'

type Store = Pick<BlobStore, 'bytes' | 'now' | 'onStep'>

const PAGE_SIZE = 1000

const endExpiredReservations = statement(({ orm, tables: { blobLeases: l } }, arg: { hash: string; now: Date }) =>
  orm.delete(l).where(and(eq(l.hash, arg.hash), lte(l.expiresAt, arg.now))),
)

const removeUnneededContent = statement(
  ({ orm, tables: { blobContent: c, blobs: b, blobLeases: l } }, arg: { hash: string }) => {
    const records = orm.select({ id: b.id }).from(b).where(eq(b.hash, c.hash))
    const reservations = orm.select({ id: l.id }).from(l).where(eq(l.hash, c.hash))
    return orm
      .delete(c)
      .where(and(eq(c.hash, arg.hash), notExists(records), notExists(reservations)))
      .returning({ size: c.size })
  },
)

export const selectContent = statement(({ orm, tables: { blobContent: c } }, arg: { hash: string }) =>
  orm.select({ hash: c.hash }).from(c).where(eq(c.hash, arg.hash)),
)

/**
 * Removes a content, with its bytes, if no record and no reservation needs it. Returns true if a row or bytes were
 * removed. Safe to repeat.
 *
 * The bytes are taken aside inside the transaction, which holds the usage lock. A put of the same content has then either
 * reserved it, and the reservation is seen here; or it reserves it after this commit, and moves its bytes into place
 * after that. Bytes without a row belong to a put that was rolled back: a put in a running transaction would hold the
 * usage lock.
 *
 * Only the commit shows that the lock was held to the end. If this process is frozen, or the connection is lost, the server
 * gives the lock away, and what is aside may be what a later put has stored: then the bytes go back. They can be read
 * all the time. A backend that cannot take bytes aside removes them inside the transaction, which the server lets idle.
 */
export async function collectContent(db: Db, store: Store, hash: string): Promise<boolean> {
  await store.onStep?.('collect.lock')
  const location = firstLocation({ hash, size: 0 })
  const taken: { aside?: SetAside | undefined } = {}
  const collected = await db
    .transaction(async (tx) => {
      const [, [removed], [kept]] = await lockedBatch(tx, store.bytes.setAside ? 'brief' : 'lasting', [
        endExpiredReservations.with({ hash, now: store.now() }),
        removeUnneededContent.with({ hash }),
        selectContent.with({ hash }),
      ])
      if (kept) return false
      await store.onStep?.('collect.unlink')
      taken.aside = await store.bytes.setAside?.(location)
      const gone = store.bytes.setAside ? taken.aside !== undefined : await store.bytes.remove(location)
      if (removed) await subtractUsage.all(tx, removed)
      await store.onStep?.('collect.commit')
      return gone || removed !== undefined
    })
    .catch(async (error: unknown) => {
      await taken.aside?.putBack().catch(() => {}) // the bytes can be read where they are
      throw error
    })
  await taken.aside?.drop()
  return collected
}

const selectExpired = statement(({ orm, tables: { blobLeases: l } }, arg: { now: Date; after: string }) =>
  orm
    .selectDistinct({ hash: l.hash })
    .from(l)
    .where(and(lte(l.expiresAt, arg.now), sql`${l.hash} > ${arg.after}`))
    .orderBy(l.hash)
    .limit(PAGE_SIZE),
)

/**
 * Collects every content that has an expired reservation: a failed put or a removed record left it behind. Returns the
 * number of contents removed. Safe to repeat, and to run on several instances at once.
 */
export async function collectExpired(db: Db, store: Store): Promise<number> {
  let collected = 0
  for (let after = ''; ; ) {
    const expired = await selectExpired.all(db, { now: store.now(), after })
    for (const { hash } of expired) if (await collectContent(db, store, hash)) collected += 1
    const last = expired.at(-1)
    if (last === undefined) return collected
    after = last.hash
  }
}
