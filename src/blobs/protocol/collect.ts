import { and, eq, lte, notExists, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { batch, statement } from '../../database/statement.ts'
import type { BlobStore } from './store.ts'
import { lockUsage, subtractUsage } from './usage.ts'

const endExpired = statement(({ orm, tables: { blobLeases: l } }, arg: { hash: string; now: Date }) =>
  orm.delete(l).where(and(eq(l.hash, arg.hash), lte(l.expiresAt, arg.now))),
)

const removeContent = statement(
  ({ orm, tables: { blobContent: c, blobs: b, blobLeases: l } }, arg: { hash: string }) => {
    const records = orm.select({ id: b.id }).from(b).where(eq(b.hash, c.hash))
    const leases = orm.select({ id: l.id }).from(l).where(eq(l.hash, c.hash))
    return orm
      .delete(c)
      .where(and(eq(c.hash, arg.hash), notExists(records), notExists(leases)))
      .returning({ size: c.size })
  },
)

const selectContent = statement(({ orm, tables: { blobContent: c } }, arg: { hash: string }) =>
  orm.select({ hash: c.hash }).from(c).where(eq(c.hash, arg.hash)),
)

/**
 * Removes a content that no record and no lease needs, its bytes with it; whether there were any.
 *
 * The bytes go inside the transaction, which holds the usage: a put of the same content has either reserve it, and then
 * there is a lease here, or claims it after the commit, and moves its bytes into place after that. Bytes without a row
 * are of a put that was rolled back, since one under way in a transaction would hold the usage. If the commit fails,
 * there is a row without bytes and without records: nobody misses them, and the next collection, or put, sets it right.
 */
export async function collectContent(db: Db, store: BlobStore, hash: string): Promise<boolean> {
  await store.onStep?.('collect.hold')
  return db.transaction(async (tx) => {
    const [, , [removed], [kept]] = await batch(tx, [
      lockUsage.with({}),
      endExpired.with({ hash, now: store.now() }),
      removeContent.with({ hash }),
      selectContent.with({ hash }),
    ])
    if (kept) return false
    await store.onStep?.('collect.unlink')
    const unlinked = await store.bytes.remove(hash)
    if (removed) await subtractUsage.all(tx, removed)
    await store.onStep?.('collect.settle')
    return unlinked || removed !== undefined
  })
}

const selectExpired = statement(({ orm, tables: { blobLeases: l } }, arg: { now: Date; after: string }) =>
  orm
    .selectDistinct({ hash: l.hash })
    .from(l)
    .where(and(lte(l.expiresAt, arg.now), sql`${l.hash} > ${arg.after}`))
    .orderBy(l.hash)
    .limit(1000),
)

/**
 * Collects every content that a put gave up or that a record left: an expired lease says which. How many there were.
 * Safe to repeat, and to do on several instances at once.
 */
export async function collectExpired(db: Db, store: BlobStore): Promise<number> {
  let collected = 0
  for (let after = ''; ; ) {
    const expired = await selectExpired.all(db, { now: store.now(), after })
    for (const { hash } of expired) if (await collectContent(db, store, hash)) collected += 1
    const last = expired.at(-1)
    if (last === undefined) return collected
    after = last.hash
  }
}
