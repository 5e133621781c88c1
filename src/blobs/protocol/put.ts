import { randomUUID } from 'node:crypto'
import type * as z from 'zod'
import type { Db } from '../../database/db.ts'
import { isStorageError, StorageError } from '../../errors.ts'
import { parseInput } from '../../validation/input.ts'
import { blobTooLarge, type Staged } from '../bytes/backend.ts'
import { guessMimeType } from '../input/mime.ts'
import type { BlobSource } from '../input/source.ts'
import { blobUri, newBlobId } from '../reference.ts'
import { type BlobRecord, blobNameSchema, type putBlobOptionsSchema } from '../types.ts'
import { collectContent, collectExpired } from './collect.ts'
import { expireReservation, insertRecord, type NewRecord, type Reservation, reserveContent } from './reserve.ts'
import { Staging } from './staging.ts'
import type { StagingGate } from './staging-gate.ts'
import type { BlobStore, TransactionContents } from './store.ts'
import type { LockUse } from './usage.ts'

/** Far longer than a put needs between its two commits: only the rename of a file lies between them. */
const RESERVATION_MILLIS = 3_600_000

type Options = z.output<typeof putBlobOptionsSchema> & { ownerId: string }

/**
 * Stores bytes and their record in two commits: stages the bytes, reserves their content, moves the bytes into place,
 * and inserts the record. If a step fails, the put or the collector ends the reservation. `db` has no owner: contents are
 * everybody's.
 */
export async function putBlob(db: Db, store: BlobStore, input: BlobSource, options: Options): Promise<BlobRecord> {
  return withStaged(db, store, store.gate, input, options, async (staged, record) => {
    const { ownerId } = options
    const reservation = await reserve(db, store, staged, ownerId, 'brief').catch(async (error) => {
      // Contents that nothing needs any more may take up the quota.
      if (!isStorageError(error, 'BLOB_QUOTA_EXCEEDED') || (await collectExpired(db, store)) === 0) throw error
      return reserve(db, store, staged, ownerId, 'brief')
    })
    try {
      await commitBytesAndInsert(db, store, staged, reservation, record, 'brief')
    } catch (error) {
      // If this fails as well, the reservation expires by itself. If the record was inserted after all, its content stays.
      await expireReservation(db, reservation, store.now())
        .then(() => collectContent(db, store, reservation.hash))
        .catch(() => {})
      throw error
    }
    await store.onStep?.('put.acknowledge')
  })
}

/** Returns `putBlob` for use in a transaction. A rollback undoes the reservation, but not the bytes: they are collected. */
export function putBlobInTransaction({
  contentsWritten,
  contentsToCollect,
  gate,
}: TransactionContents): typeof putBlob {
  return (tx, store, input, options) =>
    withStaged(tx, store, gate, input, options, async (staged, record) => {
      try {
        await tx.transaction(async (savepoint) => {
          const reservation = await reserve(savepoint, store, staged, options.ownerId, 'lasting')
          await commitBytesAndInsert(savepoint, store, staged, reservation, record, 'lasting')
        })
      } catch (error) {
        contentsToCollect.add(staged.hash)
        throw error
      }
      contentsWritten.add(staged.hash)
    })
}

/** Stages the bytes and runs `insert` with their record. If a step fails, discards the bytes and gives the source up. */
async function withStaged(
  db: Db,
  store: BlobStore,
  gate: StagingGate,
  source: BlobSource,
  options: Options,
  insert: (staged: Staged, record: NewRecord) => Promise<void>,
): Promise<BlobRecord> {
  const staging = new Staging(source, options)
  store.puts.add(staging)
  try {
    await gate.enter(staging)
    return await stageAndInsert(store, source, options, staging, gate.chunks(db, staging), insert)
  } catch (error) {
    source.destroy?.()
    throw error
  } finally {
    gate.leave(staging)
    store.puts.delete(staging)
    staging.end()
  }
}

async function stageAndInsert(
  store: BlobStore,
  { size = 0, name, mimeType }: BlobSource,
  options: Options,
  staging: Staging,
  chunks: AsyncIterable<Uint8Array>,
  insert: (staged: Staged, record: NewRecord) => Promise<void>,
): Promise<BlobRecord> {
  const described = {
    id: newBlobId(),
    ownerId: options.ownerId,
    name: options.name ?? (name === undefined ? null : parseInput(blobNameSchema, name, 'input.name')),
    source: options.source ?? null,
    metadata: options.metadata ?? {},
    createdAt: store.now(),
    expiresAt: options.expiresAt ?? null,
  }
  if (size > store.maxBlobSize) throw blobTooLarge(store.maxBlobSize)
  const staged = await store.bytes.stage(chunks, { maxBytes: store.maxBlobSize, signal: staging.signal })
  try {
    staging.check()
    const type = options.mimeType ?? mimeType ?? (await guessMimeType(staged.head, described.name ?? undefined))
    const record = { ...described, mimeType: type }
    await insert(staged, record)
    const { id, createdAt } = record
    return { ...record, uri: blobUri(id), hash: staged.hash, size: staged.size, lastUsedAt: createdAt }
  } catch (error) {
    await staged.discard().catch(() => {}) // maintenance sweeps the staged bytes later
    throw error
  }
}

async function reserve(
  db: Db,
  store: BlobStore,
  { hash, size }: Staged,
  ownerId: string,
  lock: LockUse,
): Promise<Reservation> {
  await store.onStep?.('put.reserve')
  const { maxTotalSize } = store
  const reservation = { id: randomUUID(), hash }
  const expiresAt = new Date(store.now().getTime() + RESERVATION_MILLIS)
  if (await reserveContent(db, reservation, { size, ownerId, expiresAt, maxTotalSize }, lock)) return reservation
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
  reservation: Reservation,
  record: NewRecord,
  lock: LockUse,
): Promise<void> {
  await store.onStep?.('put.commit')
  await staged.commit('') // even if the content is live: its bytes may be damaged, or about to be collected
  await store.onStep?.('put.insert')
  if (await insertRecord(db, reservation, record, lock)) return
  throw new StorageError('TIMEOUT', 'The put took so long that its reservation expired: put the blob again', {
    retryable: true,
  })
}
