import { randomUUID } from 'node:crypto'
import type * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { isStorageError, StorageError } from '../../errors.ts'
import { parseInput } from '../../validation/input.ts'
import { blobTooLarge, hasObject, type Location, newGeneration, type Staged } from '../bytes/backend.ts'
import { inSavepoint } from '../bytes/database/bytes.ts'
import { guessMimeType } from '../input/mime.ts'
import type { BlobSource } from '../input/source.ts'
import { blobUri, newBlobId } from '../reference.ts'
import { type BlobRecord, blobNameSchema, type putBlobOptionsSchema } from '../types.ts'
import { collectContent, collectExpired, collectStray } from './collect.ts'
import { removeObjects } from './removals.ts'
import {
  expireReservation,
  insertRecord,
  type NewRecord,
  type Placement,
  type Reservation,
  reserveContent,
  type StoredContent,
} from './reserve.ts'
import { Staging } from './staging.ts'
import type { StagingGate } from './staging-gate.ts'
import type { BlobStore, TransactionContents } from './store.ts'
import type { LockUse } from './usage.ts'

/** Far longer than a put needs between its two commits: only the rename of a file lies between them. */
const RESERVATION_MILLIS = 3_600_000

/** How long a put that is aborted waits for the removal of what it has sent. */
const MOMENT_MILLIS = 2000

type Options = z.output<typeof putBlobOptionsSchema> & {
  ownerId: string
  /** The id of the record. Default: a random one. A put with an id that is taken fails with ALREADY_EXISTS. */
  id?: string
  /** Default: now. A later time keeps the record from every cleanup until something names it. */
  lastUsedAt?: Date
}

/**
 * Stores bytes and their record in two commits: stages the bytes, reserves their content, makes them an object unless a sound
 * one is there, and inserts the record. If a step fails, the put or the collector ends the reservation. `db` has no owner:
 * contents are everybody's.
 */
export async function putBlob(db: Db, store: BlobStore, input: BlobSource, options: Options): Promise<BlobRecord> {
  return withStaged(db, store, store.gate, input, options, async (staged, record, signal) => {
    const { ownerId } = options
    const reservation = await reserve(db, store, staged, ownerId, 'brief').catch(async (error) => {
      if (!isStorageError(error, 'BLOB_QUOTA_EXCEEDED')) throw error
      // Contents that nothing needs any more may take up the quota. Some may be gone even if others cannot be removed.
      const collected = await collectExpired(db, store).catch(() => undefined)
      if (collected === 0) throw error
      return reserve(db, store, staged, ownerId, 'brief')
    })
    try {
      const losers = await placeAndInsert(db, store, { staged, record, signal }, reservation, 'brief')
      await removeObjects(db, store, losers).catch(() => {}) // maintenance makes up for it
    } catch (error) {
      // If this fails as well, the reservation expires by itself. If the record was inserted after all, its content stays.
      const undone = expireReservation(db, reservation, store.now())
        .then(() => collectContent(db, store, staged.hash))
        .then(() => collectStray(db, store, { ...staged, generation: reservation.generation }))
        .catch(() => {})
      await untilAborted(undone, signal)
      throw error
    }
    await store.onStep?.('put.acknowledge')
  })
}

/**
 * Waits for `work`, and for a moment only once the signal is aborted: what was sent may have to be removed from a store that
 * does not answer. The removal goes on.
 */
async function untilAborted(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  let begin = () => {}
  const moment = new Promise<void>((resolve) => {
    begin = () => {
      timer = setTimeout(resolve, MOMENT_MILLIS)
    }
  })
  if (signal.aborted) begin()
  else signal.addEventListener('abort', begin)
  await Promise.race([work, moment])
  signal.removeEventListener('abort', begin)
  clearTimeout(timer)
}

/** Returns `putBlob` for use in a transaction. A rollback undoes the reservation, but not the object, which is then a stray. */
export function putBlobInTransaction({ written, strays, gate }: TransactionContents): typeof putBlob {
  return (tx, store, input, options) =>
    withStaged(tx, store, gate, input, options, async (staged, record, signal) => {
      const { hash, size } = staged
      let location: Location | undefined
      try {
        await tx.transaction((savepoint) =>
          inSavepoint(savepoint, async () => {
            const reservation = await reserve(savepoint, store, staged, options.ownerId, 'lasting')
            location = { hash, size, generation: reservation.generation }
            await placeAndInsert(savepoint, store, { staged, record, signal }, reservation, 'lasting')
          }),
        )
      } catch (error) {
        if (location) strays.push(location)
        throw error
      }
      if (location) written.push(location)
    })
}

/** Stores staged bytes and their record. The signal ends the storing of the bytes. */
type Insert = (staged: Staged, record: NewRecord, signal: AbortSignal) => Promise<void>

/** Stages the bytes and runs `insert` with their record. If a step fails, discards the bytes and gives the source up. */
async function withStaged(
  db: Db,
  store: BlobStore,
  gate: StagingGate,
  source: BlobSource,
  options: Options,
  insert: Insert,
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
  insert: Insert,
): Promise<BlobRecord> {
  const createdAt = store.now()
  const described = {
    id: options.id ?? newBlobId(),
    ownerId: options.ownerId,
    name: options.name ?? (name === undefined ? null : parseInput(blobNameSchema, name, 'input.name')),
    source: options.source ?? null,
    metadata: options.metadata ?? {},
    createdAt,
    lastUsedAt: options.lastUsedAt ?? createdAt,
    expiresAt: options.expiresAt ?? null,
  }
  if (size > store.maxBlobSize) throw blobTooLarge(store.maxBlobSize)
  const staged = await store.bytes.stage(chunks, { maxBytes: store.maxBlobSize, signal: staging.signal })
  try {
    staging.check()
    const type = options.mimeType ?? mimeType ?? (await guessMimeType(staged.head, described.name ?? undefined))
    const record = { ...described, mimeType: type }
    await insert(staged, record, staging.signal)
    return { ...record, uri: blobUri(record.id), hash: staged.hash, size: staged.size }
  } catch (error) {
    await staged.discard().catch(() => {}) // maintenance sweeps the staged bytes later
    throw error
  }
}

interface PutReservation extends Reservation {
  /** The generation under which the put stores an object, if it stores one. */
  generation: string
  stored: StoredContent
}

async function reserve(
  db: Db,
  store: BlobStore,
  { hash, size }: Staged,
  ownerId: string,
  lock: LockUse,
): Promise<PutReservation> {
  await store.onStep?.('put.reserve')
  const { maxTotalSize } = store
  const reservation = { id: randomUUID(), hash }
  const generation = newGeneration()
  const expiresAt = new Date(store.now().getTime() + RESERVATION_MILLIS)
  const stored = await reserveContent(db, reservation, { size, ownerId, expiresAt, maxTotalSize, generation }, lock)
  if (stored) return { ...reservation, generation, stored }
  throw new StorageError(
    'BLOB_QUOTA_EXCEEDED',
    `The blob of ${size} bytes does not fit into the ${maxTotalSize} bytes that maxTotalSize allows`,
    { details: { size, maxTotalSize } },
  )
}

/** Returns the objects of the content that are about to be removed: two puts at once store two, and one of them loses. */
async function placeAndInsert(
  db: Db,
  store: BlobStore,
  { staged, record, signal }: { staged: Staged; record: NewRecord; signal: AbortSignal },
  reservation: PutReservation,
  lock: LockUse,
): Promise<Location[]> {
  await store.onStep?.('put.commit')
  const placement = await place(store, staged, reservation, signal)
  await store.onStep?.('put.insert')
  const losers = await insertRecord(db, reservation, record, lock, placement)
  if (losers) return losers
  throw new StorageError('TIMEOUT', 'The put took so long that its reservation expired: put the blob again', {
    retryable: true,
  })
}

/**
 * Keeps the object of a live content if it is sound, or stores one. What another put is about to store does not count: it
 * may not be durable yet. A damaged object is never replaced in its place, from which somebody may be about to move it.
 */
async function place(
  { bytes }: Pick<BlobStore, 'bytes'>,
  staged: Staged,
  { generation, stored }: Pick<PutReservation, 'generation' | 'stored'>,
  signal: AbortSignal,
): Promise<Placement> {
  const { hash, size } = staged
  if (stored.isLive && (await hasObject(bytes, { hash, size, generation: stored.generation }))) {
    await staged.discard().catch(() => {}) // maintenance sweeps the staged bytes later
    return { found: stored.generation, placed: stored.generation }
  }
  await staged.commit(generation, { signal })
  return { found: stored.generation, placed: generation }
}
