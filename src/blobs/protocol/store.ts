import type { BytesBackend } from '../bytes/backend.ts'

/** Where what changes blobs can be interrupted; each is named for what comes next. */
export const BLOB_STEPS = [
  'put.reserve',
  'put.commit',
  'put.insert',
  'put.acknowledge',
  'delete.remove',
  'collect.hold',
  'collect.unlink',
  'collect.settle',
  'cleanup.select',
  'cleanup.remove',
  'verify.staged',
  'verify.unreferenced',
  'verify.strays',
  'verify.missing',
  'verify.damaged',
  'verify.usage',
] as const

export type BlobStep = (typeof BLOB_STEPS)[number]

/** What the protocol works with, apart from the database of the records. */
export interface BlobStore {
  readonly bytes: BytesBackend
  readonly maxBlobSize: number
  readonly maxTotalSize: number
  /** Undefined: no record matchesRemovalRule for its age. */
  readonly cleanupAfterDays: number | undefined
  now(): Date
  /** Called before each step, for tests: what it throws fails the step. */
  onStep?(step: BlobStep): void | Promise<void>
}
