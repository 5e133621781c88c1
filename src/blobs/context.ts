import type { Db } from '../database/db.ts'
import { OwnedDb } from '../database/owned-db.ts'
import { StorageError } from '../errors.ts'
import type { BlobStore, TransactionContents } from './protocol/store.ts'

/** What `Blobs` works with. */
export interface BlobContext {
  /** The database of the records, or a transaction in it: a handle without an owner, because contents are everybody's. */
  readonly db: Db
  /** Whose records the calls work with: those of one owner, or everybody's if undefined. */
  readonly owner?: string
  readonly store: BlobStore
  /**
   * Runs the work of one call.
   *
   * @throws {CLOSED} when the storage is closed.
   * @throws {TRANSACTION_MISUSE} when called in a transaction, but not on the transaction's own blobs.
   */
  whileOpen<T>(work: () => Promise<T>): Promise<T>
  /** Set in a transaction. */
  readonly transaction?: TransactionContents
}

/** Returns the handle on the records that the calls work with. */
export function recordsOf({ db, owner }: BlobContext): Db {
  return owner === undefined ? db : new OwnedDb(db, owner)
}

/**
 * Refuses a call that concerns the whole store and runs its own transactions.
 *
 * @throws {INVALID_STATE} when the blobs are those of one owner
 * @throws {TRANSACTION_MISUSE} when the blobs are those of a transaction
 */
export function rejectInPart({ owner, transaction }: BlobContext, method: string): void {
  if (owner !== undefined) {
    const message = `blobs.${method} concerns the blobs of all owners: call it on the storage itself, not on a scope`
    throw new StorageError('INVALID_STATE', message)
  }
  if (!transaction) return
  throw new StorageError('TRANSACTION_MISUSE', `blobs.${method} runs its own transactions: call it outside of one`)
}
