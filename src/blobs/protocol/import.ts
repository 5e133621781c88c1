import { and, eq, exists, gte, lt, notExists } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { NOBODY } from '../../database/owner.ts'
import { type Builder, statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import { blobCorrupted, type Content, hasObject, newGeneration } from '../bytes/backend.ts'
import { collectExpired, collectStray } from './collect.ts'
import { placing, reserveContent } from './reserve.ts'
import type { BlobStore } from './store.ts'
import { lockedBatch } from './usage.ts'

/** How long an imported content waits for its records. The records come right after the contents. */
const RESERVATION_MILLIS = 86_400_000

type Batch = { from: string; to: string }

const rangeOf = (name: string): Batch => ({ from: `${name}:`, to: `${name};` })

const isOfBatch = ({ tables: { blobLeases: l } }: Builder, { from, to }: Batch) => and(gte(l.id, from), lt(l.id, to))

const recordsOf = ({ orm, tables: { blobLeases: l, blobs: b } }: Builder) =>
  orm.select({ id: b.id }).from(b).where(eq(b.hash, l.hash))

const endNeeded = statement((db, arg: Batch) =>
  db.orm.delete(db.tables.blobLeases).where(and(isOfBatch(db, arg), exists(recordsOf(db)))),
)

const expireUnneeded = statement((db, arg: Batch & { now: Date }) =>
  db.orm
    .update(db.tables.blobLeases)
    .set({ expiresAt: arg.now })
    .where(and(isOfBatch(db, arg), notExists(recordsOf(db)))),
)

/**
 * Stores a content whose records are imported later. Returns false if it is stored already. The content stays until
 * `endImport` is called for the `batch`, for a day at most. Safe to repeat with another `batch`.
 *
 * `maxBlobSize` does not apply: it limits puts, and the blob was put already.
 *
 * @throws {BLOB_QUOTA_EXCEEDED} when the content does not fit
 * @throws {BLOB_CORRUPTED} when the bytes are others
 */
export async function importContent(
  db: Db,
  store: BlobStore,
  content: Content,
  origin: () => AsyncIterable<Uint8Array>,
  batch: string,
): Promise<boolean> {
  const { hash, size } = content
  const { maxTotalSize } = store
  const reservation = { id: `${batch}:${hash}`, hash }
  const expiresAt = new Date(store.now().getTime() + RESERVATION_MILLIS)
  const generation = newGeneration()
  const options = { size, ownerId: NOBODY, expiresAt, maxTotalSize, generation }
  const stored = await reserveContent(db, reservation, options, 'brief')
  if (stored === undefined) {
    const message = `A content of ${size} bytes does not fit into the ${maxTotalSize} bytes that maxTotalSize allows: raise it, and call again`
    throw new StorageError('BLOB_QUOTA_EXCEEDED', message, { details: { size, maxTotalSize } })
  }
  const { bytes } = store
  if (stored.isLive && (await hasObject(bytes, { ...content, generation: stored.generation }))) return false
  const staged = await bytes.stage(origin(), { maxBytes: size })
  try {
    if (staged.hash !== hash) throw blobCorrupted(hash, 'their hash is another')
    if (staged.size !== size) throw blobCorrupted(hash, `${staged.size} bytes instead of ${size}`)
    await staged.commit(generation)
  } catch (error) {
    await staged.discard().catch(() => {}) // maintenance sweeps the staged bytes later
    // The bytes may be in place already. Nobody else knows of this generation.
    await bytes.remove({ hash, size, generation }).catch(() => {})
    throw error
  }
  const placement = { found: stored.generation, placed: generation }
  const [, placed] = await lockedBatch(db, 'brief', placing(reservation, placement))
  if (placed.length > 0) return true
  // Another import of the batches has ended meanwhile, and a record keeps the content: nobody knows of this object.
  await collectStray(db, store, { hash, size, generation })
  return false
}

/**
 * Ends the reservations of a batch, and of all that begin with `batches:` whose contents have a record: from now on, records keep
 * their contents. Contents of the batch without a record, because it was refused or deleted meanwhile, are removed. Those of
 * other batches stay until their reservations expire: another import may be about to store the record. Safe to repeat.
 */
export async function endImport(db: Db, store: BlobStore, batch: string, batches: string): Promise<void> {
  // Under the lock: a record that somebody deletes at the same time is either seen, or its deletion sees no reservation.
  await lockedBatch(db, 'brief', [
    endNeeded.with(rangeOf(batches)),
    expireUnneeded.with({ ...rangeOf(batch), now: store.now() }),
  ])
  await collectExpired(db, store).catch(() => {}) // maintenance tries again
}
