import { and, eq, exists, lte, notExists, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { type Builder, batch, statement } from '../../database/statement.ts'
import type { JsonObject } from '../../schema/values.ts'
import type { Content } from '../bytes/backend.ts'
import { amountOf, COUNTERS, lockUsage, ofContents } from './usage.ts'

const contentOf = ({ orm, tables: { blobContent: c } }: Builder, hash: string) =>
  orm.select({ hash: c.hash }).from(c).where(eq(c.hash, hash))

const leaseOf = ({ orm, tables: { blobLeases: l } }: Builder, lease: string) =>
  orm.select({ id: l.id }).from(l).where(eq(l.id, lease))

/** Adds a content to the counters, or takes it off them, while it has no row. */
const countContent = (sign: '+' | '-') =>
  statement((db, arg: Content) => {
    const { blobUsage: u } = db.tables
    return db.orm
      .update(u)
      .set({ used: sql`${u.used} ${sql.raw(sign)} ${amountOf(db.tables, arg.size)}` })
      .where(and(ofContents(db.tables), notExists(contentOf(db, arg.hash))))
  })
const countIn = countContent('+')
const countOut = countContent('-')

/** A content that is new gets its row where it fits, having been counted. */
const addContent = statement((db, arg: Content & { maxTotalSize: number }) => {
  const { blobContent: c, blobUsage: u } = db.tables
  return db.orm
    .insert(c)
    .select(
      db.orm
        .select({
          hash: sql`${arg.hash}`.as('hash'),
          size: sql`${arg.size}`.as('size'),
          state: sql`'pending'`.as('state'),
        })
        .from(u)
        .where(and(eq(u.id, COUNTERS.bytes), lte(u.used, arg.maxTotalSize))),
    )
    .onConflictDoNothing()
})

const addLease = statement(
  ({ orm, tables: { blobLeases: l, blobContent: c } }, arg: Reservation & { expiresAt: Date }) =>
    orm
      .insert(l)
      .select(
        orm
          .select({
            id: sql`${arg.id}`.as('id'),
            hash: c.hash,
            expiresAt: sql`${sql.param(arg.expiresAt, l.expiresAt)}`.as('expires_at'),
          })
          .from(c)
          .where(eq(c.hash, arg.hash)),
      )
      .returning({ id: l.id }),
)

/** A put under way. */
export interface Reservation {
  id: string
  hash: string
}

interface ReserveContent extends Content {
  lease: string
  expiresAt: Date
  maxTotalSize: number
}

/** Transaction A, in one round trip: the content has a row and is counted, and a lease keeps it; false where it does not fit. */
export async function reserveContent(
  db: Db,
  { lease, expiresAt, maxTotalSize, hash, size }: ReserveContent,
): Promise<boolean> {
  const content = { hash, size }
  const [, , , leased] = await batch(db, [
    lockUsage.with({}),
    countIn.with(content),
    addContent.with({ ...content, maxTotalSize }),
    addLease.with({ id: lease, hash, expiresAt }),
    countOut.with(content), // it did not fit
  ])
  return leased.length > 0
}

export interface NewRecord {
  id: string
  name: string | null
  mimeType: string
  source: string | null
  metadata: JsonObject
  createdAt: Date
  expiresAt: Date | null
}

const setLive = statement((db, arg: Reservation) => {
  const { blobContent: c } = db.tables
  return db.orm
    .update(c)
    .set({ state: 'live' })
    .where(and(eq(c.hash, arg.hash), exists(leaseOf(db, arg.id))))
})

const addRecord = statement(({ orm, tables: { blobs: b, blobLeases: l } }, arg: NewRecord & { lease: string }) =>
  orm
    .insert(b)
    .select(
      orm
        .select({
          id: sql`${arg.id}`.as('id'),
          hash: l.hash,
          name: sql`${sql.param(arg.name, b.name)}`.as('name'),
          mimeType: sql`${arg.mimeType}`.as('mime_type'),
          source: sql`${sql.param(arg.source, b.source)}`.as('source'),
          metadata: sql`${sql.param(arg.metadata, b.metadata)}`.as('metadata'),
          createdAt: sql`${sql.param(arg.createdAt, b.createdAt)}`.as('created_at'),
          lastUsedAt: sql`${sql.param(arg.createdAt, b.lastUsedAt)}`.as('last_used_at'),
          expiresAt: sql`${sql.param(arg.expiresAt, b.expiresAt)}`.as('expires_at'),
        })
        .from(l)
        .where(eq(l.id, arg.lease)),
    )
    .returning({ id: b.id }),
)

const countRecordIn = statement((db, arg: { lease: string }) => {
  const { blobUsage: u } = db.tables
  return db.orm
    .update(u)
    .set({ used: sql`${u.used} + 1` })
    .where(and(eq(u.id, COUNTERS.records), exists(leaseOf(db, arg.lease))))
})

const endLease = statement(({ orm, tables: { blobLeases: l } }, arg: { lease: string }) =>
  orm.delete(l).where(eq(l.id, arg.lease)),
)

/** Transaction B, in one round trip: the content is live and has one more record; false where the lease is gone. */
export async function insertRecord(db: Db, lease: Reservation, record: NewRecord): Promise<boolean> {
  const [, , added] = await batch(db, [
    lockUsage.with({}),
    setLive.with(lease),
    addRecord.with({ ...record, lease: lease.id }),
    countRecordIn.with({ lease: lease.id }),
    endLease.with({ lease: lease.id }),
  ])
  return added.length > 0
}

const expireLease = statement(({ orm, tables: { blobLeases: l } }, arg: { lease: string; now: Date }) =>
  orm.update(l).set({ expiresAt: arg.now }).where(eq(l.id, arg.lease)),
)

/** Gives a put up: its lease has run out, and so tells the collector where to look. */
export async function expireReservation(db: Db, { id }: Reservation, now: Date): Promise<void> {
  await expireLease.all(db, { lease: id, now })
}
