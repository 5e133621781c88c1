import { and, gte, lt } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { NOBODY } from '../../database/owner.ts'
import { statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import { blobCorrupted, type Content, hasObject, newGeneration } from '../bytes/backend.ts'
import { placing, reserveContent } from './reserve.ts'
import type { BlobStore } from './store.ts'
import { lockedBatch } from './usage.ts'

/** How long an imported content waits for its records. The records come right after the contents. */
const RESERVATION_MILLIS = 86_400_000

const deleteReservations = statement(({ orm, tables: { blobLeases: l } }, arg: { from: string; to: string }) =>
  orm.delete(l).where(and(gte(l.id, arg.from), lt(l.id, arg.to))),
)

/**
 * Stores a content whose records are imported later. Returns false if it is stored already. The content stays until
 * `endImport` is called with the same `batch`, for a day at most. Safe to repeat with another `batch`.
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
    await staged.commit(generation)
  } catch (error) {
    await staged.discard().catch(() => {}) // maintenance sweeps the staged bytes later
    throw error
  }
  await lockedBatch(db, 'brief', placing(reservation, { found: stored.generation, placed: generation }))
  return true
}

/** Ends the reservations of an import: from now on, records keep its contents. Safe to repeat. */
export async function endImport(db: Db, batch: string): Promise<void> {
  await deleteReservations.all(db, { from: `${batch}:`, to: `${batch};` })
}
