import { NOBODY } from '../database/owner.ts'
import type { JsonObject } from '../schema/values.ts'
import { parseInput } from '../validation/input.ts'
import { BlobReads } from './blob-reads.ts'
import { rejectInPart } from './context.ts'
import { type BlobInput, blobSource } from './input/source.ts'
import { cleanUp } from './protocol/cleanup.ts'
import { putBlob, putBlobInTransaction } from './protocol/put.ts'
import { deleteBlob } from './protocol/remove.ts'
import { verifyBlobs } from './protocol/verify.ts'
import { parseReference } from './reference.ts'
import {
  type BlobCleanup,
  type BlobRecord,
  type BlobVerification,
  type CleanupBlobsOptions,
  cleanupOptionsSchema,
  type DeleteBlobOptions,
  deleteOptionsSchema,
  type PutBlobOptions,
  putBlobOptionsSchema,
  type VerifyOptions,
  verifyOptionsSchema,
} from './types.ts'

/**
 * Files and other bytes, each with a record. Equal bytes are stored once, however many records share them. Most calls
 * take a reference: `blob:<id>`, or the id alone.
 */
export class Blobs extends BlobReads {
  /**
   * Stores bytes and returns their record. Both survive a crash once the call resolves. A stream is read in bounded
   * memory. A put in a transaction is rolled back with it, and makes other puts wait until the transaction ends. Not
   * safe to repeat: each call creates another record of the same bytes.
   *
   * @throws {INVALID_INPUT} when the input or an option is not valid, or the input fails while it is read.
   * @throws {BLOB_TOO_LARGE} when there are more than `maxBlobSize` bytes.
   * @throws {BLOB_QUOTA_EXCEEDED} when all blobs together would exceed `maxTotalSize`.
   * @throws {DISK_FULL} when the disk of the bytes or of the database is full.
   * @throws {ABORTED} when `signal` is aborted before all bytes are stored.
   * @throws {TIMEOUT} when the source, or a put under way that is waited for, gives nothing for `idleTimeoutMillis`, or
   *   the put is interrupted for an hour between its two commits.
   *
   * @example
   * ```ts
   * const report = await storage.blobs.put(Buffer.from('# Report'), { name: 'report.md' })
   * console.log(report.uri, report.mimeType) // blob:8c2f..., text/markdown
   * ```
   */
  put<Metadata extends object = JsonObject>(
    input: BlobInput,
    options?: PutBlobOptions<Metadata>,
  ): Promise<BlobRecord<Metadata>>
  put(input: BlobInput, options: PutBlobOptions = {}): Promise<BlobRecord> {
    return this.context.whileOpen(async () => {
      const given = parseInput(putBlobOptionsSchema, options, 'options') // before the input is opened
      const source = await blobSource(input)
      const { db, owner: ownerId = NOBODY, transaction } = this.context
      const put = transaction ? putBlobInTransaction(transaction) : putBlob
      return put(db, this.store, source, { ...given, ownerId })
    })
  }

  /**
   * Removes a blob, and its bytes if no other record shares them. Returns true if the blob existed. Safe to repeat.
   *
   * @throws {BLOB_IN_USE} when a message mentions the blob and `force` is not set.
   * @throws {BLOB_REFERENCE_INVALID} when the reference is not `blob:<id>` or `<id>`.
   *
   * @example
   * ```ts
   * const { uri } = await storage.blobs.put(Buffer.from('hello'))
   * console.log(await storage.blobs.delete(uri)) // true
   * ```
   */
  delete(reference: string, options: DeleteBlobOptions = {}): Promise<boolean> {
    return this.context.whileOpen(async () => {
      const id = parseReference(reference)
      const { force = false } = parseInput(deleteOptionsSchema, options, 'options')
      const { db, owner: ownerId = null, transaction } = this.context
      return deleteBlob(db, this.store, { id, ownerId, force }, transaction)
    })
  }

  /**
   * Removes expired blobs, and blobs that were last used before `olderThan` and whose id stands in no message and no
   * other text of the database. Searches every text if there is a blob to remove. Maintenance does the same once a
   * minute. Safe to repeat.
   *
   * @throws {ABORTED} when `signal` is aborted; what was removed until then stays removed.
   * @throws {TRANSACTION_MISUSE} when called in a transaction.
   * @throws {INVALID_STATE} when called on a scope: all owners' blobs are concerned.
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * console.log(await storage.blobs.cleanup({ dryRun: true })) // { removed: 0, bytes: 0 }
   * ```
   */
  cleanup(options: CleanupBlobsOptions = {}): Promise<BlobCleanup> {
    return this.context.whileOpen(async () => {
      rejectInPart(this.context, 'cleanup')
      return cleanUp(this.context.db, this.store, parseInput(cleanupOptionsSchema, options, 'options'))
    })
  }

  /**
   * Compares all records with all bytes, and reads every byte. With `repair`, removes leftovers, moves damaged bytes to
   * quarantine, and removes records whose bytes are lost. May run while the store is in use. Safe to repeat.
   *
   * @throws {INVALID_STATE} when more than a tenth of the contents is lost, and `repair` is set without `force`, or when
   *   called on a scope: all owners' blobs are concerned.
   * @throws {ABORTED} when `signal` is aborted; what was repaired until then stays.
   * @throws {TRANSACTION_MISUSE} when called in a transaction.
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * console.log((await storage.blobs.verify()).ok) // true
   * ```
   */
  verify(options: VerifyOptions = {}): Promise<BlobVerification> {
    return this.context.whileOpen(async () => {
      rejectInPart(this.context, 'verify')
      return verifyBlobs(this.context.db, this.store, parseInput(verifyOptionsSchema, options, 'options'))
    })
  }
}
