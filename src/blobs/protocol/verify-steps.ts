import { createHash } from 'node:crypto'
import { and, eq, gt, notExists } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import type { Content, Location } from '../bytes/backend.ts'
import type { Removals } from '../bytes/removals.ts'
import type { VerifyStep } from '../types.ts'
import { collectContent, collectStray, selectNeeds } from './collect.ts'
import { removeLost, removeLostRecords, selectLost, uncountLost, uncountLostRecords } from './lost.ts'
import { locationOf } from './records.ts'
import { countAll, recountUsage } from './recount.ts'
import { selectRemovals } from './removals.ts'
import type { BlobStore } from './store.ts'
import { lockedBatch, lockedReads, USAGE_ROWS } from './usage.ts'

/** What repairs, of which some may always fail. Undefined if a check only looks. */
type Repair = Removals | undefined

/**
 * A check of one kind of problem. Yields once for each item that it has checked: the item's name if it is wrong (and,
 * with `repair`, repaired), else undefined.
 */
export type Check = (db: Db, store: BlobStore, repair: Repair) => AsyncGenerator<string | undefined>

/** No put takes so long: bytes that were staged earlier are leftovers. */
export const STALE_MILLIS = 86_400_000

const PAGE_SIZE = 500

/** In this order, because the repair of one check may cause what the next one finds. */
export const CHECKS: Record<VerifyStep, Check> = { staged, damaged, missing, unreferenced, strays, usage }

/** Finds staged bytes that no put will commit. */
async function* staged(_: Db, store: BlobStore, repair: Repair): AsyncGenerator<string> {
  const before = new Date(store.now().getTime() - STALE_MILLIS)
  const found = repair
    ? await repair.try(() => store.bytes.sweepStaged(before))
    : await store.bytes.sweepStaged(before, { dryRun: true })
  for (let i = 0; i < (found ?? 0); i++) yield 'tmp'
}

/** Finds bytes whose length or hash differs from their record. */
async function* damaged(db: Db, { bytes }: BlobStore, repair: Repair): AsyncGenerator<string | undefined> {
  for await (const location of liveContents(db)) {
    const wrong = !(await isIntact(location, bytes.open(location)))
    if (wrong && repair) yield (await repair.try(() => bytes.quarantine(location))) ? location.hash : undefined
    else yield wrong ? location.hash : undefined
  }
}

/** Finds records whose bytes do not exist. */
async function* missing(db: Db, store: BlobStore, repair: Repair): AsyncGenerator<string | undefined> {
  for await (const location of liveContents(db)) {
    const isGone = (await store.bytes.size(location)) === undefined
    const lost = isGone && (await confirmLost(db, store, location, repair !== undefined))
    yield lost ? location.hash : undefined
  }
}

/** Finds contents that no record and no put needs, and objects that a collector has not removed yet. */
async function* unreferenced(db: Db, store: BlobStore, repair: Repair): AsyncGenerator<string> {
  for (const select of [selectUnreferenced, selectRemoved]) {
    for await (const { hash } of allContents(select, db, store.now())) {
      if (!repair || (await repair.try(() => collectContent(db, store, hash)))) yield hash
    }
  }
}

/** Finds bytes that have no row. */
async function* strays(db: Db, store: BlobStore, repair: Repair): AsyncGenerator<string | undefined> {
  for await (const location of store.bytes.list()) {
    const { hash, generation } = location
    if ((await locationOf(db, hash))?.generation === generation) yield undefined
    else if (repair) yield (await repair.try(() => collectStray(db, store, location))) ? hash : undefined
    else yield (await confirmStray(db, store, location)) ? hash : undefined
  }
}

/** Finds counters that differ from the number and size of the rows. */
async function* usage(db: Db, _: BlobStore, repair: Repair): AsyncGenerator<string | undefined> {
  const [counters] = repair
    ? await lockedBatch(db, 'brief', [countAll.with({}), recountUsage.with({})])
    : [await countAll.all(db, {})]
  for (const name of NAMES) {
    const counter = counters.find(({ id }) => id === USAGE_ROWS[name])
    yield counter?.stored === counter?.counted ? undefined : name
  }
}

const NAMES = Object.keys(USAGE_ROWS) as (keyof typeof USAGE_ROWS)[] // the keys of a constant

async function isIntact({ hash }: Content, chunks: AsyncIterable<Uint8Array>): Promise<boolean> {
  const running = createHash('sha256')
  try {
    for await (const chunk of chunks) running.update(chunk)
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    if (error.code === 'BLOB_NOT_FOUND') return true // the next check finds it
    if (error.code === 'BLOB_CORRUPTED') return false
    throw error
  }
  return running.digest('hex') === hash
}

/**
 * Checks, under the usage lock, that a content whose object is not there has no other one, and no put is about to store it.
 * The object itself never comes back. Returns true if the content is lost, and with `repair` removes its records and its
 * row.
 */
async function confirmLost(db: Db, store: BlobStore, location: Location, repair: boolean): Promise<boolean> {
  const lost = { ...location, now: store.now() }
  if (!repair) return (await lockedReads(db, [selectLost.with(lost)]))[0].length > 0
  const [, , , removed] = await lockedBatch(db, 'brief', [
    uncountLostRecords.with(lost),
    uncountLost.with(lost),
    removeLostRecords.with(lost),
    removeLost.with(lost),
  ])
  return removed.length > 0
}

/**
 * Checks, under the usage lock, that an object is a stray, no removal that has not ended, and still there. Ends no reservation
 * that has expired, since its put may still go on.
 */
async function confirmStray(db: Db, store: BlobStore, location: Location): Promise<boolean> {
  const { hash, generation } = location
  const [needs, removals] = await lockedReads(db, [
    selectNeeds.with({ hash, generation, since: store.now() }),
    selectRemovals.with({ hash }),
  ])
  if (needs.length > 0 || removals.some((removal) => removal.generation === generation)) return false
  return (await store.bytes.size(location)) !== undefined
}

type PageQuery = { after: string; now: Date }

const selectLive = statement(({ orm, tables: { blobContent: c } }, arg: PageQuery) =>
  orm
    .select({ hash: c.hash, size: c.size, generation: c.generation })
    .from(c)
    .where(and(gt(c.hash, arg.after), eq(c.state, 'live')))
    .orderBy(c.hash)
    .limit(PAGE_SIZE),
)

const selectUnreferenced = statement(({ orm, tables: { blobContent: c, blobs: b, blobLeases: l } }, arg: PageQuery) => {
  const records = orm.select({ id: b.id }).from(b).where(eq(b.hash, c.hash))
  const reservations = orm
    .select({ id: l.id })
    .from(l)
    .where(and(eq(l.hash, c.hash), gt(l.expiresAt, arg.now)))
  return orm
    .select({ hash: c.hash, size: c.size, generation: c.generation })
    .from(c)
    .where(and(gt(c.hash, arg.after), notExists(records), notExists(reservations)))
    .orderBy(c.hash)
    .limit(PAGE_SIZE)
})

const selectRemoved = statement(({ orm, tables: { blobRemovals: r } }, arg: PageQuery) =>
  orm
    .select({ hash: r.hash, size: r.counted, generation: r.generation })
    .from(r)
    .where(gt(r.hash, arg.after))
    .orderBy(r.hash, r.generation)
    .limit(PAGE_SIZE),
)

const liveContents = (db: Db) => allContents(selectLive, db, new Date(0))

async function* allContents(select: typeof selectLive, db: Db, now: Date): AsyncGenerator<Location> {
  for (let after = ''; ; ) {
    const contents = await select.all(db, { after, now })
    yield* contents
    const last = contents.at(-1)
    if (last === undefined) return
    after = last.hash
  }
}
