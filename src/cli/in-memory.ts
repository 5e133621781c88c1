import type { StorageConfig } from '../index.ts'
import { UsageError } from './exit-codes.ts'

const ROWS_LOST =
  'the database is in memory, so everything would be lost when the command ends: configure a database of type sqlite or postgres'

const BLOBS_LOST =
  'blobs would be kept in memory, and lost when the command ends: name a configuration file with a blobStore of type local, database or s3, or with --database give --blobs DIR'

/** Refuses to write rows, or blobs if there are any, into a storage that loses them when the command ends. */
export async function refuseLoss(
  { database, blobStore }: StorageConfig,
  hasBlobs: () => boolean | Promise<boolean>,
): Promise<void> {
  if (isInMemory(database)) throw new UsageError(ROWS_LOST)
  if (isInMemory(blobStore) && (await hasBlobs())) throw new UsageError(BLOBS_LOST)
}

const isInMemory = (layer: { type: string } | undefined) => layer === undefined || layer.type === 'in-memory'
