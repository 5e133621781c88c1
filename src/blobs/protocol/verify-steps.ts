import { createHash } from 'node:crypto'
import { and, eq, gt, notExists, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { batch, statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import type { Content } from '../bytes/backend.ts'
import { collectContent } from './collect.ts'
import type { BlobStore } from './store.ts'
import { COUNTERS, countRecords, lockUsage, readUsage, setUsage, subtractUsage } from './usage.ts'
import type { VerifyStep } from './verify-report.ts'

/**
 * One thing that can be wrong. It yields for each thing that it has looked at: what is wrong with it, and set right if
 * asked, or undefined.
 */
export type Check = (db: Db, store: BlobStore, repair: boolean) => AsyncGenerator<string | undefined>

/** Bytes that were staged so long ago belong to no put any more. */
export const STALE_MILLIS = 86_400_000

const AT_ONCE = 500

/** The checks, in the order in which one may uncover what the next one finds. */
export const CHECKS: Record<VerifyStep, Check> = { staged, damaged, missing, unreferenced, strays, usage }

/** Staged bytes that nobody will commit. */
async function* staged(_: Db, store: BlobStore, repair: boolean): AsyncGenerator<string> {
  const before = new Date(store.now().getTime() - STALE_MILLIS)
  const found = await store.bytes.sweepStaged(before, { dryRun: !repair })
  for (let i = 0; i < found; i++) yield 'tmp'
}

/** Bytes that have another length or hash than their record says. */
async function* damaged(db: Db, { bytes }: BlobStore, repair: boolean): AsyncGenerator<string | undefined> {
  for await (const content of liveContents(db)) {
    const wrong = !(await isSound(content, bytes.open(content)))
    if (wrong && repair) yield (await bytes.quarantine(content.hash)) ? content.hash : undefined
    else yield wrong ? content.hash : undefined
  }
}

/** Records whose bytes are not there. */
async function* missing(db: Db, store: BlobStore, repair: boolean): AsyncGenerator<string | undefined> {
  for await (const { hash } of liveContents(db)) {
    const gone = (await store.bytes.size(hash)) === undefined && (await isLost(db, store, hash, repair))
    yield gone ? hash : undefined
  }
}

/** Contents that no record and no put needs. */
async function* unreferenced(db: Db, store: BlobStore, repair: boolean): AsyncGenerator<string> {
  for await (const { hash } of everyContent(selectUnreferenced, db, store.now())) {
    if (!repair || (await collectContent(db, store, hash))) yield hash
  }
}

/** Bytes that have no row. */
async function* strays(db: Db, store: BlobStore, repair: boolean): AsyncGenerator<string | undefined> {
  for await (const { hash } of store.bytes.list()) {
    if (await selectContent.first(db, { hash })) yield undefined
    else yield (await (repair ? collectContent(db, store, hash) : isStray(db, store, hash))) ? hash : undefined
  }
}

/** Counters that say something else than what is there. */
async function* usage(db: Db, _: BlobStore, repair: boolean): AsyncGenerator<string | undefined> {
  const { said, counted } = await db.transaction(async (tx) => {
    await lockUsage.all(tx, {})
    const said = await readUsage(tx)
    const [contents] = await countContents.all(tx, {})
    const [records] = await countAllRecords.all(tx, {})
    const counted = { bytes: 0, contents: 0, ...contents, records: records?.count ?? 0 }
    if (repair)
      await batch(
        tx,
        NAMES.map((name) => setUsage.with({ id: COUNTERS[name], used: counted[name] })),
      )
    return { said, counted }
  })
  for (const name of NAMES) yield said[name] === counted[name] ? undefined : name
}

const NAMES = Object.keys(COUNTERS) as (keyof typeof COUNTERS)[] // the keys of a constant

async function isSound({ hash }: Content, chunks: AsyncIterable<Uint8Array>): Promise<boolean> {
  const running = createHash('sha256')
  try {
    for await (const chunk of chunks) running.update(chunk)
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    if (error.code === 'BLOB_NOT_FOUND') return true // the next step's
    if (error.code === 'BLOB_CORRUPTED') return false
    throw error
  }
  return running.digest('hex') === hash
}

/** Looked at again while nothing can change: a put may have been about to bring the bytes. */
function isLost(db: Db, store: BlobStore, hash: string, repair: boolean): Promise<boolean> {
  return db.transaction(async (tx) => {
    const [, [content]] = await batch(tx, [lockUsage.with({}), selectSettled.with({ hash, now: store.now() })])
    if (!content || (await store.bytes.size(hash)) !== undefined) return false
    if (!repair) return true
    const [removed] = await batch(tx, [
      removeRecords.with({ hash }),
      removeContent.with({ hash }),
      subtractUsage.with(content),
    ])
    await countRecords.all(tx, { change: -removed.length })
    return true
  })
}

/** Looked at again while nothing can change: a transaction under way may have put them. */
function isStray(db: Db, store: BlobStore, hash: string): Promise<boolean> {
  return db.transaction(async (tx) => {
    const [, [content]] = await batch(tx, [lockUsage.with({}), selectContent.with({ hash })])
    return !content && (await store.bytes.size(hash)) !== undefined
  })
}

type Walk = { after: string; now: Date }

const selectLive = statement(({ orm, tables: { blobContent: c } }, arg: Walk) =>
  orm
    .select({ hash: c.hash, size: c.size })
    .from(c)
    .where(and(gt(c.hash, arg.after), eq(c.state, 'live')))
    .orderBy(c.hash)
    .limit(AT_ONCE),
)

const selectUnreferenced = statement(({ orm, tables: { blobContent: c, blobs: b, blobLeases: l } }, arg: Walk) => {
  const records = orm.select({ id: b.id }).from(b).where(eq(b.hash, c.hash))
  const leases = orm
    .select({ id: l.id })
    .from(l)
    .where(and(eq(l.hash, c.hash), gt(l.expiresAt, arg.now)))
  return orm
    .select({ hash: c.hash, size: c.size })
    .from(c)
    .where(and(gt(c.hash, arg.after), notExists(records), notExists(leases)))
    .orderBy(c.hash)
    .limit(AT_ONCE)
})

const liveContents = (db: Db) => everyContent(selectLive, db, new Date(0))

async function* everyContent(select: typeof selectLive, db: Db, now: Date): AsyncGenerator<Content> {
  for (let after = ''; ; ) {
    const contents = await select.all(db, { after, now })
    yield* contents
    const last = contents.at(-1)
    if (last === undefined) return
    after = last.hash
  }
}

const selectContent = statement(({ orm, tables: { blobContent: c } }, arg: { hash: string }) =>
  orm.select({ size: c.size }).from(c).where(eq(c.hash, arg.hash)),
)

/** A live content that no put is about to replace. */
const selectSettled = statement(
  ({ orm, tables: { blobContent: c, blobLeases: l } }, arg: { hash: string; now: Date }) => {
    const leases = orm
      .select({ id: l.id })
      .from(l)
      .where(and(eq(l.hash, c.hash), gt(l.expiresAt, arg.now)))
    return orm
      .select({ size: c.size })
      .from(c)
      .where(and(eq(c.hash, arg.hash), eq(c.state, 'live'), notExists(leases)))
  },
)

const removeRecords = statement(({ orm, tables: { blobs: b } }, arg: { hash: string }) =>
  orm.delete(b).where(eq(b.hash, arg.hash)).returning({ id: b.id }),
)

const removeContent = statement(({ orm, tables: { blobContent: c } }, arg: { hash: string }) =>
  orm.delete(c).where(eq(c.hash, arg.hash)),
)

const countContents = statement(({ orm, tables: { blobContent: c } }, _: object) =>
  orm
    .select({
      bytes: sql`coalesce(sum(${c.size}), 0)`.mapWith(Number),
      contents: sql`count(*)`.mapWith(Number),
    })
    .from(c),
)

const countAllRecords = statement(({ orm, tables: { blobs: b } }, _: object) =>
  orm.select({ count: sql`count(*)`.mapWith(Number) }).from(b),
)
