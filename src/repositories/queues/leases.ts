import { randomUUID } from 'node:crypto'
import { and, asc, eq, gt, inArray, isNotNull, lte, sql } from 'drizzle-orm'
import * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { batchOfSession, deciding, openingOf } from '../../database/decided-db.ts'
import { type Builder, batch, type Call, rowsStatement, statement } from '../../database/statement.ts'
import type { Tables } from '../../schema/tables.ts'
import { idSchema, MAX_INTEGER, positionSchema } from '../../validation/input.ts'
import { isInQueue, isQueue, lockQueue, type QueueKey, queuePresence } from './statements.ts'
import { MAX_LEASE_SECONDS, type ReceiptResult, type TakenItem, type TakeQueueOptions } from './types.ts'

/** The content of a receipt: the item's place, and the lease that the item must have. */
interface Receipt extends QueueKey {
  position: number
  /** Unguessable, and another for each take, so that a receipt ends with its lease and cannot be made up. */
  lease: string
}

const selectFirst = statement((db: Builder, arg: QueueKey) => {
  const { queueItems: i } = db.tables
  return db.orm
    .select({ leasedUntil: i.leasedUntil })
    .from(i)
    .where(isInQueue(db, arg))
    .orderBy(asc(i.position))
    .limit(1)
})

type Lease = QueueKey & { limit: number; now: Date; latest: Date; lease: string; leasedUntil: Date }

/** Leases the first items, up to the first item that is leased. Needs the lock, to see what others have leased. */
const leaseItems = statement((db: Builder, arg: Lease) => {
  const { queueItems: i } = db.tables
  const front = db.orm
    .$with('front')
    .as(
      db.orm
        .select({ position: i.position, leasedUntil: i.leasedUntil })
        .from(i)
        .where(isInQueue(db, arg))
        .orderBy(asc(i.position))
        .limit(arg.limit),
    )
  const positions = db.orm.select({ position: front.position }).from(front)
  const firstLeased = db.orm
    .select({ position: sql`min(${front.position})` })
    .from(front)
    .where(and(gt(front.leasedUntil, arg.now), lte(front.leasedUntil, arg.latest)))
  return db.orm
    .with(front)
    .update(i)
    .set({ lease: arg.lease, leasedUntil: arg.leasedUntil, attempts: sql`${i.attempts} + 1` })
    .where(
      and(
        isInQueue(db, arg),
        inArray(i.position, positions),
        sql`${i.position} < coalesce((${firstLeased}), ${sql.raw(`${MAX_INTEGER + 1}`)})`,
      ),
    )
    .returning({ position: i.position, item: i.item, attempt: i.attempts })
})

/** Counts the positions of the items as gaps, before the items are removed. Needs the lock. */
const countHeldAsGaps = rowsStatement((db: Builder, rows: Receipt[]) => {
  const { queues: q, queueItems: i } = db.tables
  const held = db.orm.select({ count: sql`count(*)` }).from(i).where(isHeld(db, rows))
  return db.orm
    .update(q)
    .set({ gaps: sql`${q.gaps} + (${held})` })
    .where(isQueue(db, firstOf(rows)))
})

const deleteHeld = rowsStatement((db: Builder, rows: Receipt[]) =>
  db.orm.delete(db.tables.queueItems).where(isHeld(db, rows)).returning(receiptColumns(db.tables)),
)

/** The lease stays in its column, for the result. It is void without a time. */
const releaseHeld = rowsStatement((db: Builder, rows: Receipt[]) =>
  db.orm
    .update(db.tables.queueItems)
    .set({ leasedUntil: null })
    .where(isHeld(db, rows))
    .returning(receiptColumns(db.tables)),
)

const extendHeld = rowsStatement((db: Builder, rows: (Receipt & { leasedUntil: Date })[]) =>
  db.orm
    .update(db.tables.queueItems)
    .set({ leasedUntil: firstOf(rows).leasedUntil })
    .where(isHeld(db, rows))
    .returning(receiptColumns(db.tables)),
)

/** Makes the condition that an item has the lease of its receipt. All rows are of one queue and one lease. */
function isHeld(db: Builder, rows: Receipt[]) {
  const { queueItems: i } = db.tables
  const positions = rows.map(({ position }) => position)
  const first = firstOf(rows)
  return and(isInQueue(db, first), inArray(i.position, positions), eq(i.lease, first.lease), isNotNull(i.leasedUntil))
}

function receiptColumns({ queueItems: i }: Tables) {
  return { sessionId: i.sessionId, queue: i.queue, position: i.position, lease: i.lease }
}

function firstOf<T>(rows: readonly T[]): T {
  return rows[0] as T // a statement has at least one row
}

/** Leases the first items of a queue, up to the first item that is leased. */
export async function takeItems(
  db: Db,
  key: QueueKey,
  { limit = 1, leaseSeconds }: TakeQueueOptions,
  now: () => Date,
): Promise<TakenItem[]> {
  const asked = now()
  const latest = latestEnd(asked)
  // A look before the lock: a taker that polls writes nothing while there is nothing to take.
  const first = await selectFirst.first(db, key)
  if (first === undefined) return []
  if (first.leasedUntil !== null && first.leasedUntil > asked && first.leasedUntil <= latest) return []
  const lease = randomUUID()
  const [, taken] = await batchOfSession(db, key, [
    lockQueue.with(key),
    leaseItems.with({ ...key, limit, now: asked, latest, lease, leasedUntil: secondsAfter(asked, leaseSeconds) }),
  ])
  const items = taken
    .sort((a, b) => a.position - b.position)
    .map(({ position, item, attempt }) => ({ item, receipt: textOf({ ...key, position, lease }), attempt }))
  if (items.length === 0 || !isLate(asked, now(), leaseSeconds)) return items
  const receipts = taken.map(({ position }) => ({ ...key, position, lease }))
  const held = new Set((await extendItems(db, receipts, leaseSeconds, now)).held)
  return items.filter(({ receipt }) => held.has(receipt))
}

/** Removes the items of receipts. */
export function ackItems(db: Db, receipts: readonly Receipt[]): Promise<ReceiptResult> {
  return changeHeld(db, receipts, (rows) => [...countHeldAsGaps.with(rows), ...deleteHeld.with(rows)])
}

/** Ends the leases of receipts. */
export function releaseItems(db: Db, receipts: readonly Receipt[]): Promise<ReceiptResult> {
  return changeHeld(db, receipts, (rows) => releaseHeld.with(rows))
}

/** Lets the leases of receipts end `leaseSeconds` from now. */
export async function extendItems(
  db: Db,
  receipts: readonly Receipt[],
  leaseSeconds: number,
  now: () => Date,
): Promise<ReceiptResult> {
  const extendFrom = (start: Date) => {
    const leasedUntil = secondsAfter(start, leaseSeconds)
    return changeHeld(db, receipts, (rows) => extendHeld.with(rows.map((row) => ({ ...row, leasedUntil }))))
  }
  const asked = now()
  const result = await extendFrom(asked)
  return isLate(asked, now(), leaseSeconds) ? extendFrom(now()) : result
}

/**
 * Returns true if a call has waited so long, for a connection or a lock, that a tenth of its lease has gone. A lease is counted
 * from before the call, and might even end before its taker knows of it.
 */
function isLate(asked: Date, answered: Date, leaseSeconds: number): boolean {
  return answered.getTime() - asked.getTime() > leaseSeconds * 100
}

/** Runs the calls for the receipts of each lease, in one batch, and tells which items they found. */
async function changeHeld(
  db: Db,
  receipts: readonly Receipt[],
  callsFor: (receipts: Receipt[]) => Call<Receipt | object>[],
): Promise<ReceiptResult> {
  const leases = new Map<string, Map<string, Receipt>>()
  for (const receipt of receipts) {
    const { sessionId, queue, lease } = receipt
    const key = JSON.stringify([sessionId, queue, lease])
    const ofLease = leases.get(key) ?? new Map<string, Receipt>()
    leases.set(key, ofLease.set(textOf(receipt), receipt)) // a receipt that is given twice counts once
  }
  // Every caller locks the queues in the same order, so that no two callers wait for each other.
  const calls = [...leases]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([, ofLease]) => {
      const rows = [...ofLease.values()]
      const key = firstOf(rows)
      return [...openingOf(db, key, queuePresence.with(key)), ...callsFor(rows)]
    })
  const found = calls.length === 0 ? [] : (await batch(deciding(db), calls)).flat()
  const held = new Set(found.filter(isReceipt).map(textOf))
  const texts = receipts.map(textOf)
  return { held: texts.filter((text) => held.has(text)), lost: texts.filter((text) => !held.has(text)) }
}

/** Returns true if a row is that of an item, not of the calls before. */
function isReceipt(row: object): row is Receipt {
  return 'lease' in row
}

const contentSchema = z.tuple([idSchema, idSchema, positionSchema, idSchema])

const receiptSchema = z.pipe(
  z.unknown(),
  z.transform((text, context): Receipt => {
    const receipt = typeof text === 'string' ? parse(text) : undefined
    if (receipt !== undefined && textOf(receipt) === text) return receipt
    context.issues.push({ code: 'custom', message: 'must be a receipt that queues.take() returned', input: text })
    return z.NEVER
  }),
)

/** Checks up to 1000 receipts, and takes them apart. */
export const receiptsSchema = z.array(receiptSchema).check(z.maxLength(1000))

function textOf({ sessionId, queue, position, lease }: Receipt): string {
  return Buffer.from(JSON.stringify([sessionId, queue, position, lease])).toString('base64url')
}

function parse(text: string): Receipt | undefined {
  try {
    const content = contentSchema.safeParse(JSON.parse(Buffer.from(text, 'base64url').toString())).data
    if (content === undefined) return undefined
    const [sessionId, queue, position, lease] = content
    return { sessionId, queue, position, lease }
  } catch {
    return undefined // not JSON
  }
}

/** Returns when a lease may end at most. One that ends later was given while a clock was far ahead, and counts as over. */
function latestEnd(now: Date): Date {
  return secondsAfter(now, 2 * MAX_LEASE_SECONDS)
}

function secondsAfter(now: Date, seconds: number): Date {
  return new Date(now.getTime() + seconds * 1000)
}
