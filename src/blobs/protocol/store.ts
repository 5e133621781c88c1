import type { Db } from '../../database/db.ts'
import type { BytesBackend, Location } from '../bytes/backend.ts'
import type { Staging } from './staging.ts'
import type { StagingGate } from './staging-gate.ts'

/** The steps at which a test can interrupt a change of blobs. Each is named after what comes next. */
export const BLOB_STEPS = [
  'put.reserve',
  'put.commit',
  'put.insert',
  'put.acknowledge',
  'delete.remove',
  'collect.lock',
  'collect.unlink',
  'collect.commit',
  'cleanup.select',
  'cleanup.mark',
  'cleanup.search',
  'cleanup.remove',
  'erase.remove',
  'verify.staged',
  'verify.unreferenced',
  'verify.strays',
  'verify.missing',
  'verify.damaged',
  'verify.usage',
] as const

export type BlobStep = (typeof BLOB_STEPS)[number]

/** What the protocol works with, besides the database of the records. */
export interface BlobStore {
  readonly bytes: BytesBackend
  /** Returns the backend for a transaction of the records. Set if the bytes are in the database of the records. */
  bytesIn?(tx: Db): BytesBackend
  /** The databases whose text may name a blob, which cleanup therefore keeps. */
  readonly texts: readonly Db[]
  /** In bytes. */
  readonly maxBlobSize: number
  /** In bytes, for all contents together. */
  readonly maxTotalSize: number
  /** Data in messages becomes blobs if it has more bytes. Undefined if it stays in the messages. */
  readonly offloadAboveBytes: number | undefined
  /** Undefined if cleanup removes no record because of its age. */
  readonly cleanupAfterDays: number | undefined
  /** The puts under way, transactions included. */
  readonly puts: Set<Staging>
  /** Admits puts outside of transactions. */
  readonly gate: StagingGate
  /** Returns the current time. */
  now(): Date
  /** Asks the database for its time, for what removes records for their age. */
  confirmedNow(): Promise<Date>
  /** Runs before each step, for tests. If it throws, the step fails with its error. */
  onStep?(step: BlobStep): void | Promise<void>
}

/** What a transaction did to contents. */
export interface TransactionContents {
  /** Where the transaction has put contents, if it has stored an object there. A rollback makes strays of them. */
  readonly written: Location[]
  /** Objects to collect after the transaction has ended, if they are strays. */
  readonly strays: Location[]
  /** Contents to collect after the transaction has ended, by hash. */
  readonly contentsToCollect: Set<string>
  /** Admits the puts of the transaction. */
  readonly gate: StagingGate
  /** Rejects if the transaction has failed. Its body may go on, if a deadline has ended the transaction. */
  readonly givenUp?: Promise<never> | undefined
}
