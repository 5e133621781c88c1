import { and, eq, lt, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { notExpired } from '../../database/expiry.ts'
import { pagedQuery } from '../../database/paging/list-query.ts'
import type { Page, PageOptions } from '../../database/paging/page.ts'
import { statement } from '../../database/statement.ts'
import type { Tables } from '../../schema/tables.ts'
import type { JsonObject } from '../../schema/values.ts'
import { blobUri } from '../reference.ts'

/** What is known of a blob apart from its bytes. */
export interface BlobRecord {
  /** Random: 32 hexadecimal digits. */
  id: string
  /** `blob:<id>`: what messages mention. */
  uri: string
  /** The SHA-256 of the bytes, as 64 hexadecimal digits. */
  hash: string
  /** In bytes. */
  size: number
  /** As it was given; it names no file. */
  name: string | null
  /** As it was given, else a guess. */
  mimeType: string
  /** Who or what it is from, as the program says. */
  source: string | null
  metadata: JsonObject
  createdAt: Date
  /** When it was last put, read or mentioned, to within a day. */
  lastUsedAt: Date
  /** From then on it is absent. */
  expiresAt: Date | null
}

const blobRecordColumns = ({ blobs: b, blobContent: c }: Tables) => ({
  id: b.id,
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

const selectRecord = statement(({ orm, tables }, arg: { id: string; now: Date }) => {
  const { blobs: b, blobContent: c } = tables
  return orm
    .select(blobRecordColumns(tables))
    .from(b)
    .innerJoin(c, eq(c.hash, b.hash))
    .where(and(eq(b.id, arg.id), notExpired(b, arg.now)))
})

const touchRecord = statement(({ orm, tables: { blobs: b } }, arg: { id: string; now: Date }) =>
  orm
    .update(b)
    .set({ lastUsedAt: arg.now })
    .where(and(eq(b.id, arg.id), lt(b.lastUsedAt, arg.now))),
)

const listing = {
  name: 'blobs',
  select: ({ orm, tables }: Pick<Db, 'orm' | 'tables'>) => {
    const { blobs: b, blobContent: c } = tables
    return orm.select(blobRecordColumns(tables)).from(b).innerJoin(c, eq(c.hash, b.hash))
  },
  filters: { now: (tables: Tables, now: Date) => notExpired(tables.blobs, now) },
  orderBy: [
    { name: 'createdAt', kind: 'instant', column: ({ blobs }: Tables) => blobs.createdAt },
    { name: 'id', kind: 'text', column: ({ blobs }: Tables) => blobs.id },
  ],
} as const
const listAll = pagedQuery(listing)
const listOfSource = pagedQuery({ ...listing, partition: ({ blobs }) => blobs.source })

/** The record, unless it has expired. @internal */
export function findRecord(db: Db, id: string, now: Date): Promise<BlobRecord | undefined> {
  return selectRecord.first(db, { id, now })
}

/** Says that it was used, where it says otherwise. @internal */
export async function touch(db: Db, id: string, now: Date): Promise<void> {
  await touchRecord.all(db, { id, now })
}

/** Records, the newest first. @internal */
export function listRecords(
  db: Db,
  source: string | undefined,
  now: Date,
  page: PageOptions,
): Promise<Page<BlobRecord>> {
  return source === undefined
    ? listAll(db, { now }, page, 'desc')
    : listOfSource(db, { now, partition: source }, page, 'desc')
}
