import { and, eq, exists, lte, ne, notExists, or, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { NOBODY } from '../../database/owner.ts'
import { type Builder, statement } from '../../database/statement.ts'
import type { JsonObject } from '../../schema/values.ts'
import type { Content, Location } from '../bytes/backend.ts'
import { selectRemovals } from './removals.ts'
import { contentCounters, type LockUse, lockedBatch, USAGE_ROWS, usageOfContent } from './usage.ts'

/** A row of `blob_leases`: until it expires, the collector leaves the content alone. */
export interface Reservation {
  id: string
  hash: string
}

/** The object that a content has at the moment. */
export interface StoredContent {
  generation: string
  /** True if the object was stored whole at some time. */
  isLive: boolean
}

/** What a put has found, and where its bytes are now. */
export interface Placement {
  /** The generation of the content when it was reserved. */
  found: string
  /** The generation of an object that the put has stored, or has found to be sound. */
  placed: string
}

interface ReserveOptions {
  /** The size of the content, in bytes. */
  size: number
  /** For whose record the content is reserved. */
  ownerId: string
  expiresAt: Date
  maxTotalSize: number
  /** The generation of the content if it is new. */
  generation: string
}

/** A record before it is inserted. */
export interface NewRecord {
  id: string
  ownerId: string
  name: string | null
  mimeType: string
  source: string | null
  metadata: JsonObject
  createdAt: Date
  lastUsedAt: Date
  expiresAt: Date | null
}

const contentRow = ({ orm, tables: { blobContent: c } }: Builder, hash: string) =>
  orm.select({ hash: c.hash }).from(c).where(eq(c.hash, hash))

const reservationRow = ({ orm, tables: { blobLeases: l } }: Builder, id: string) =>
  orm.select({ id: l.id }).from(l).where(eq(l.id, id))

/** Adds a content to the usage, or subtracts it, if the content has no row. */
const changeUsageIfNew = (sign: '+' | '-') =>
  statement((db, arg: Content) => {
    const { blobUsage: u } = db.tables
    return db.orm
      .update(u)
      .set({ used: sql`${u.used} ${sql.raw(sign)} ${usageOfContent(db.tables, arg.size)}` })
      .where(and(contentCounters(db.tables), notExists(contentRow(db, arg.hash))))
  })
const addUsageIfNew = changeUsageIfNew('+')
const subtractUsageIfNew = changeUsageIfNew('-')

/** Inserts a pending content, unless it exists or the usage, which already includes it, exceeds the quota. */
const insertContentIfFits = statement((db, arg: Content & { maxTotalSize: number; generation: string }) => {
  const { blobContent: c, blobUsage: u } = db.tables
  return db.orm
    .insert(c)
    .select(
      db.orm
        .select({
          hash: sql`${arg.hash}`.as('hash'),
          size: sql`${arg.size}`.as('size'),
          state: sql`'pending'`.as('state'),
          generation: sql`${arg.generation}`.as('generation'),
        })
        .from(u)
        .where(and(eq(u.id, USAGE_ROWS.bytes), lte(u.used, arg.maxTotalSize))),
    )
    .onConflictDoNothing()
})

type NewReservation = Reservation & { ownerId: string; expiresAt: Date; maxTotalSize: number }

/**
 * Returns the condition that a content fits for an owner: it is the owner's already, or new, or would fit if it were new.
 * Otherwise a full store would tell an owner which bytes others have. Nobody's puts may know.
 */
function fitsFor({ orm, tables }: Builder, { hash, ownerId, maxTotalSize }: NewReservation): SQL | undefined {
  const { blobContent: c, blobs: b, blobLeases: l, blobUsage: u } = tables
  const records = orm.select({ id: b.id }).from(b).where(eq(b.hash, hash))
  const ownRecords = orm
    .select({ id: b.id })
    .from(b)
    .where(and(eq(b.hash, hash), eq(b.ownerId, ownerId)))
  const reservations = orm.select({ id: l.id }).from(l).where(eq(l.hash, hash))
  const room = orm
    .select({ id: u.id })
    .from(u)
    .where(and(eq(u.id, USAGE_ROWS.bytes), sql`${u.used} + ${c.size} <= ${maxTotalSize}`))
  const isNobodys = sql`${ownerId} = ${sql.raw(`'${NOBODY}'`)}`
  return or(isNobodys, exists(room), exists(ownRecords), and(notExists(records), notExists(reservations)))
}

/** Inserts the reservation if its content has a row, and fits for the owner. */
const insertReservation = statement((db, arg: NewReservation) => {
  const { blobLeases: l, blobContent: c } = db.tables
  return db.orm
    .insert(l)
    .select(
      db.orm
        .select({
          id: sql`${arg.id}`.as('id'),
          hash: c.hash,
          expiresAt: sql`${sql.param(arg.expiresAt, l.expiresAt)}`.as('expires_at'),
        })
        .from(c)
        .where(and(eq(c.hash, arg.hash), fitsFor(db, arg))),
    )
    .returning({ id: l.id })
})

const selectStored = statement(({ orm, tables: { blobContent: c } }, arg: { hash: string }) =>
  orm.select({ generation: c.generation, state: c.state }).from(c).where(eq(c.hash, arg.hash)),
)

/**
 * Makes sure that a content has a row and is counted, and reserves it, in one round trip. Returns what the row says, or
 * undefined if the content does not fit into the quota.
 */
export async function reserveContent(
  db: Db,
  { id, hash }: Reservation,
  { size, ownerId, expiresAt, maxTotalSize, generation }: ReserveOptions,
  lock: LockUse,
): Promise<StoredContent | undefined> {
  const content = { hash, size }
  const [, , reserved, , [stored]] = await lockedBatch(db, lock, [
    addUsageIfNew.with(content),
    insertContentIfFits.with({ ...content, maxTotalSize, generation }),
    insertReservation.with({ id, hash, ownerId, expiresAt, maxTotalSize }),
    subtractUsageIfNew.with(content), // the content still has no row: it did not fit
    selectStored.with({ hash }),
  ])
  if (reserved.length === 0 || stored === undefined) return undefined
  return { generation: stored.generation, isLive: stored.state === 'live' }
}

/** Returns true if nobody but the put can know the generation under which it has stored its bytes. */
const isFresh = ({ found, placed }: Placement) => sql`${found} <> ${placed}`

/**
 * Makes a removal of the object that loses: that of the content, if the put has stored another one, or else that of the
 * put, if the content was given another one meanwhile.
 */
const releaseLoser = statement((db, arg: Reservation & Placement) => {
  const { blobContent: c, blobRemovals: r } = db.tables
  const loser = sql`case when ${isFresh(arg)} then ${c.generation} else ${arg.placed} end`
  return db.orm
    .insert(r)
    .select(
      db.orm
        .select({ hash: c.hash, generation: loser.as('generation'), counted: sql`0`.as('counted') })
        .from(c)
        .where(and(eq(c.hash, arg.hash), ne(c.generation, arg.placed), exists(reservationRow(db, arg.id)))),
    )
    .onConflictDoNothing()
})

/** Makes a reserved content live, in the object that the put has stored for it. */
const placeContent = statement((db, arg: Reservation & Placement) => {
  const { blobContent: c } = db.tables
  return db.orm
    .update(c)
    .set({ state: 'live', generation: sql`case when ${isFresh(arg)} then ${arg.placed} else ${c.generation} end` })
    .where(and(eq(c.hash, arg.hash), exists(reservationRow(db, arg.id))))
    .returning({ hash: c.hash })
})

/**
 * Returns the calls that give a reserved content the object which a put has stored for it. The last one returns the content, if
 * it is still reserved.
 */
export const placing = (reservation: Reservation, placement: Placement) =>
  [releaseLoser.with({ ...reservation, ...placement }), placeContent.with({ ...reservation, ...placement })] as const

const insertReservedRecord = statement(
  ({ orm, tables: { blobs: b, blobLeases: l } }, arg: NewRecord & { reservation: string }) =>
    orm
      .insert(b)
      .select(
        orm
          .select({
            id: sql`${arg.id}`.as('id'),
            ownerId: sql`${arg.ownerId}`.as('owner_id'),
            hash: l.hash,
            name: sql`${sql.param(arg.name, b.name)}`.as('name'),
            mimeType: sql`${arg.mimeType}`.as('mime_type'),
            source: sql`${sql.param(arg.source, b.source)}`.as('source'),
            metadata: sql`${sql.param(arg.metadata, b.metadata)}`.as('metadata'),
            createdAt: sql`${sql.param(arg.createdAt, b.createdAt)}`.as('created_at'),
            lastUsedAt: sql`${sql.param(arg.lastUsedAt, b.lastUsedAt)}`.as('last_used_at'),
            expiresAt: sql`${sql.param(arg.expiresAt, b.expiresAt)}`.as('expires_at'),
          })
          .from(l)
          .where(eq(l.id, arg.reservation)),
      )
      .returning({ id: b.id }),
)

const countReservedRecord = statement((db, arg: { reservation: string }) => {
  const { blobUsage: u } = db.tables
  return db.orm
    .update(u)
    .set({ used: sql`${u.used} + 1` })
    .where(and(eq(u.id, USAGE_ROWS.records), exists(reservationRow(db, arg.reservation))))
})

const endReservation = statement(({ orm, tables: { blobLeases: l } }, arg: { reservation: string }) =>
  orm.delete(l).where(eq(l.id, arg.reservation)),
)

/**
 * Makes the reserved content live, inserts its record and ends the reservation, in one round trip. Returns the objects of the
 * content that are about to be removed, or undefined if the collector has removed the expired reservation.
 */
export async function insertRecord(
  db: Db,
  reservation: Reservation,
  record: NewRecord,
  lock: LockUse,
  placement: Placement,
): Promise<Location[] | undefined> {
  const [, , inserted, removals] = await lockedBatch(db, lock, [
    ...placing(reservation, placement),
    insertReservedRecord.with({ ...record, reservation: reservation.id }),
    selectRemovals.with({ hash: reservation.hash }),
    countReservedRecord.with({ reservation: reservation.id }),
    endReservation.with({ reservation: reservation.id }),
  ])
  return inserted.length > 0 ? removals : undefined
}

const setExpiry = statement(({ orm, tables: { blobLeases: l } }, arg: { reservation: string; now: Date }) =>
  orm.update(l).set({ expiresAt: arg.now }).where(eq(l.id, arg.reservation)),
)

/** Lets a reservation expire now. Expired reservations tell the collector which contents to look at. */
export async function expireReservation(db: Db, { id }: Reservation, now: Date): Promise<void> {
  await setExpiry.all(db, { reservation: id, now })
}
