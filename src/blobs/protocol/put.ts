import { randomUUID } from 'node:crypto'
import type { Db } from '../../database/db.ts'
import { StorageError } from '../../errors.ts'
import { blobTooLarge, type Staged } from '../bytes/backend.ts'
import { guessMimeType } from '../input/mime.ts'
import type { BlobSource } from '../input/source.ts'
import { collectContent, collectExpired } from './collect.ts'
import { expireReservation, insertRecord, type NewRecord, type Reservation, reserveContent } from './reserve.ts'
import type { BlobStore } from './store.ts'

/** Far longer than a claim takes to be published: the move of a file lies between, and no more. */
const LEASE_MILLIS = 3_600_000

/** What is known of a record before its bytes are read. */
export type Described = Omit<NewRecord, 'mimeType'> & { mimeType: string | undefined }

type Stored = NewRecord & { hash: string; size: number }

/**
 * Stores bytes and their record: the bytes are staged; their content is reserve; they are moved into place; the record
 * is published. Whatever ends it in between, what was reserve is given back, by it or by the collector.
 */
export async function putBlob(db: Db, store: BlobStore, input: BlobSource, described: Described): Promise<Stored> {
  return staging(store, input, described, async (staged, record) => {
    const lease = await reserve(db, store, staged).catch(async (error) => {
      // What nobody needs any more may be in the way.
      if (!isQuotaExceeded(error) || (await collectExpired(db, store)) === 0) throw error
      return reserve(db, store, staged)
    })
    try {
      await commitBytesAndInsert(db, store, staged, lease, record)
    } catch (error) {
      // If this fails, too, the lease runs out by itself. If the record is there after all, it keeps its content.
      await expireReservation(db, lease, store.now())
        .then(() => collectContent(db, store, lease.hash))
        .catch(() => {})
      throw error
    }
    await store.onStep?.('put.acknowledge')
  })
}

/** The same as a part of a transaction, which gives back what was reserve where it is undone, but not the bytes. */
export function putBlobWithin({
  contentsWritten,
  contentsToCollect,
}: {
  contentsWritten: Set<string>
  contentsToCollect: Set<string>
}): typeof putBlob {
  return (tx, store, input, described) =>
    staging(store, input, described, async (staged, record) => {
      try {
        await tx.transaction(async (savepoint) => {
          await commitBytesAndInsert(savepoint, store, staged, await reserve(savepoint, store, staged), record)
        })
      } catch (error) {
        contentsToCollect.add(staged.hash)
        throw error
      }
      contentsWritten.add(staged.hash)
    })
}

async function staging(
  store: BlobStore,
  { source, size = 0 }: BlobSource,
  described: Described,
  insert: (staged: Staged, record: NewRecord) => Promise<void>,
): Promise<Stored> {
  if (size > store.maxBlobSize) throw blobTooLarge(store.maxBlobSize)
  const staged = await store.bytes.stage(source, { maxBytes: store.maxBlobSize })
  try {
    const { name, mimeType = await guessMimeType(staged.head, name ?? undefined) } = described
    const record = { ...described, mimeType }
    await insert(staged, record)
    return { ...record, hash: staged.hash, size: staged.size }
  } catch (error) {
    await staged.discard().catch(() => {}) // it is swept later
    throw error
  }
}

async function reserve(db: Db, store: BlobStore, { hash, size }: Staged): Promise<Reservation> {
  await store.onStep?.('put.reserve')
  const { maxTotalSize } = store
  const lease = { id: randomUUID(), hash }
  const expiresAt = new Date(store.now().getTime() + LEASE_MILLIS)
  if (await reserveContent(db, { hash, size, lease: lease.id, expiresAt, maxTotalSize })) return lease
  throw new StorageError(
    'BLOB_QUOTA_EXCEEDED',
    `The blob of ${size} bytes does not fit into the ${maxTotalSize} bytes that maxTotalSize allows`,
    { details: { size, maxTotalSize } },
  )
}

async function commitBytesAndInsert(
  db: Db,
  store: BlobStore,
  staged: Staged,
  lease: Reservation,
  record: NewRecord,
): Promise<void> {
  await store.onStep?.('put.commit')
  await staged.commit() // also where the content is live: its bytes may be damaged, or about to be missed
  await store.onStep?.('put.insert')
  if (await insertRecord(db, lease, record)) return
  throw new StorageError('TIMEOUT', 'The put was held up for so long that its lease ran out: put it again', {
    retryable: true,
  })
}

const isQuotaExceeded = (error: unknown) => error instanceof StorageError && error.code === 'BLOB_QUOTA_EXCEEDED'
