import { randomInt } from 'node:crypto'
import { and, eq, lt, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { notExpired } from '../../database/expiry.ts'
import { ignoreReadOnly } from '../../database/identity.ts'
import { isOwn, isVisible, ofOwner } from '../../database/owner.ts'
import { pagedQuery } from '../../database/paging/list-query.ts'
import type { Page, PageOptions } from '../../database/paging/page.ts'
import { type Builder, batch, statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import type { Tables } from '../../schema/tables.ts'
import { EARLIEST } from '../../validation/instants.ts'
import { type BytesBackend, blobNotFound, type Content, type Location } from '../bytes/backend.ts'
import { chunksOf } from '../read.ts'
import { blobUri } from '../reference.ts'
import type { BlobRecord } from '../types.ts'
import type { Usage } from './usage.ts'

/** A read updates the last use at most once in this time, so a record may have been used so much later than it says. */
export const USE_MILLIS = 3_600_000

const MARKS_END = new Date('0002-01-01T00:00:00.000Z')

/** Returns a last use that no use has: the mark of a search for the names of records that are about to be removed. */
export function newMark(): Date {
  return new Date(EARLIEST.getTime() + randomInt(MARKS_END.getTime() - EARLIEST.getTime()))
}

const isMarked = ({ lastUsedAt }: BlobRecord) => lastUsedAt < MARKS_END

const blobRecordColumns = ({ blobs: b, blobContent: c }: Tables) => ({
  id: b.id,
  ownerId: b.ownerId,
  uri: sql`${b.id}`.mapWith((id: string) => blobUri(id)),
  hash: b.hash,
  size: c.size,
  name: b.name,
  mimeType: b.mimeType,
  source: b.source,
  metadata: b.metadata,
  createdAt: b.createdAt,
  lastUsedAt: b.lastUsedAt,
  expiresAt: b.expiresAt,
})

const selectRecords = ({ orm, tables }: Pick<Db, 'orm' | 'tables'>) => {
  const { blobs: b, blobContent: c } = tables
  return orm.select(blobRecordColumns(tables)).from(b).innerJoin(c, eq(c.hash, b.hash))
}

const selectRecord = statement((db, arg: { id: string; now: Date }) => {
  const { blobs: b, blobContent: c } = db.tables
  return db.orm
    .select({ ...blobRecordColumns(db.tables), generation: c.generation })
    .from(b)
    .innerJoin(c, eq(c.hash, b.hash))
    .where(and(eq(b.id, arg.id), isOwn(db, b), notExpired(b, arg.now)))
})

const locationQuery = ({ orm, tables: { blobContent: c } }: Builder, condition: SQL | undefined) =>
  orm.select({ hash: c.hash, size: c.size, generation: c.generation }).from(c).where(condition)

const selectLocation = statement((db, arg: { hash: string }) =>
  locationQuery(db, eq(db.tables.blobContent.hash, arg.hash)),
)

const selectLive = statement((db, arg: { hash: string }) => {
  const { blobContent: c } = db.tables
  return locationQuery(db, and(eq(c.hash, arg.hash), eq(c.state, 'live')))
})

const updateLastUsed = statement((db, arg: { id: string; now: Date }) => {
  const { blobs: b } = db.tables
  return db.orm
    .update(b)
    .set({ lastUsedAt: arg.now })
    .where(and(eq(b.id, arg.id), isOwn(db, b), lt(b.lastUsedAt, arg.now)))
})

const recordsPage = {
  name: 'blobs',
  select: selectRecords,
  visible: (db: Builder) => isVisible(db, db.tables.blobs),
  filters: {
    now: ({ blobs }: Tables, now: Date) => notExpired(blobs, now),
    ownerId: ({ blobs }: Tables, ownerId: string) => ofOwner(blobs, ownerId),
  },
  orderBy: [
    { name: 'createdAt', kind: 'instant', column: ({ blobs }: Tables) => blobs.createdAt },
    { name: 'id', kind: 'text', column: ({ blobs }: Tables) => blobs.id },
  ],
} as const
const listAll = pagedQuery(recordsPage)
const listBySource = pagedQuery({ ...recordsPage, partition: ({ blobs }) => blobs.source })

/** A record, and the object that has its bytes. */
export interface StoredBlob {
  record: BlobRecord
  location: Location
}

/** Returns where a content is, or undefined if it does not exist. */
export function locationOf(db: Db, hash: string): Promise<Location | undefined> {
  return selectLocation.first(db, { hash })
}

/**
 * Yields the bytes of a content, wherever they are.
 *
 * @throws {BLOB_NOT_FOUND} when the content or its bytes do not exist
 */
export async function* chunksOfContent(db: Db, bytes: BytesBackend, { hash }: Content): AsyncGenerator<Uint8Array> {
  const relocate = () => locationOf(db, hash)
  const location = await relocate()
  if (location === undefined) throw blobNotFound(hash)
  yield* chunksOf({ bytes, location, relocate })
}

/**
 * Returns why the bytes of a content were not found: the content was removed, it has been stored again since, or the bytes are
 * lost. A put that has only reserved the content does not count.
 */
export async function whyNotFound(
  db: Db,
  bytes: BytesBackend,
  hash: string,
): Promise<'removed' | 'stored again' | 'lost'> {
  for (let location = await selectLive.first(db, { hash }); location !== undefined; ) {
    if ((await bytes.size(location)) !== undefined) return 'stored again'
    const now = await selectLive.first(db, { hash })
    if (now?.generation === location.generation) return 'lost'
    location = now
  }
  return 'removed'
}

/** Returns a record, or undefined if it does not exist or has expired. */
export async function findRecord(db: Db, id: string, now: Date): Promise<BlobRecord | undefined> {
  return (await findStored(db, id, now))?.record
}

async function findStored(db: Db, id: string, now: Date): Promise<StoredBlob | undefined> {
  const found = await selectRecord.first(db, { id, now })
  if (found === undefined) return undefined
  const { generation, ...record } = found
  return { record, location: { hash: record.hash, size: record.size, generation } }
}

/** Like `findRecord`, and updates the record's last use, at most once an hour. */
export async function useRecord(db: Db, id: string, now: Date): Promise<StoredBlob | undefined> {
  const found = await findStored(db, id, now)
  if (!found || now.getTime() - found.record.lastUsedAt.getTime() < USE_MILLIS) return found
  await updateLastUsed.all(db, { id, now }).catch(ignoreReadOnly) // the blob can be read all the same
  return { ...found, record: { ...found.record, lastUsedAt: now } }
}

/** Returns true if a record exists. That counts as a use only if the record is about to be removed: its program counts on it. */
export async function recordExists(db: Db, id: string, now: Date): Promise<boolean> {
  const found = await findRecord(db, id, now)
  if (found && isMarked(found)) await updateLastUsed.all(db, { id, now }).catch(ignoreReadOnly)
  return found !== undefined
}

/** Updates the last use of records. */
export async function noteUses(db: Db, ids: Iterable<string>, now: Date): Promise<void> {
  // Sorted, so that the transaction locks them in the same order as an append that mentions them.
  await batch(
    db,
    [...ids].sort().map((id) => updateLastUsed.with({ id, now })),
  )
}

/**
 * Like `useRecord`, for a record that must exist.
 *
 * @throws {BLOB_NOT_FOUND} when the record does not exist or has expired.
 */
export async function useExistingRecord(db: Db, id: string, now: Date): Promise<StoredBlob> {
  const found = await useRecord(db, id, now)
  if (found) return found
  const uri = blobUri(id)
  throw new StorageError('BLOB_NOT_FOUND', `There is no ${uri}`, { details: { uri } })
}

/** Returns a page of records, newest first. That counts as a use of those that are about to be removed. */
export async function listRecords(
  db: Db,
  { source, ownerId }: { source?: string | undefined; ownerId?: string | undefined },
  now: Date,
  page: PageOptions,
): Promise<Page<BlobRecord>> {
  const found = await (source === undefined
    ? listAll(db, { now, ownerId }, page, 'desc')
    : listBySource(db, { now, ownerId, partition: source }, page, 'desc'))
  const marked = found.items.filter(isMarked)
  if (marked.length === 0) return found
  const ids = marked.map(({ id }) => id)
  await noteUses(db, ids, now).catch(ignoreReadOnly)
  return { ...found, items: found.items.map((item) => (isMarked(item) ? { ...item, lastUsedAt: now } : item)) }
}

/** Counts the records that a handle may see, and the contents that they share among themselves. */
const countRecords = statement((db, _: object) => {
  const { blobs: b, blobContent: c } = db.tables
  const contents = db.orm
    .select({ records: sql`count(*)`.as('records'), size: sql`max(${c.size})`.as('size') })
    .from(b)
    .innerJoin(c, eq(c.hash, b.hash))
    .where(isVisible(db, b))
    .groupBy(b.hash)
    .as('contents')
  return db.orm
    .select({
      records: sql`coalesce(sum(${contents.records}), 0)`.mapWith(Number),
      contents: sql`count(*)`.mapWith(Number),
      bytes: sql`coalesce(sum(${contents.size}), 0)`.mapWith(Number),
    })
    .from(contents)
})

/** Returns the usage of the owner of a handle, counted: contents that others share count as if they were not shared. */
export async function countUsage(owned: Db): Promise<Usage> {
  return (await countRecords.first(owned, {})) ?? { records: 0, contents: 0, bytes: 0 }
}
