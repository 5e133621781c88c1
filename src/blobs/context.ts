import type { Db } from '../database/db.ts'
import { StorageError } from '../errors.ts'
import type { BlobStore, TransactionContents } from './protocol/store.ts'

/** What `Blobs` works with. */
export interface BlobContext {
  /** The database of the records, or a transaction in it. */
  readonly db: Db
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

/**
 * Refuses a call that runs its own transactions.
 *
 * @throws {TRANSACTION_MISUSE} when the blobs are those of a transaction
 */
export function rejectInTransaction({ transaction }: BlobContext, method: string): void {
  if (!transaction) return
  throw new StorageError('TRANSACTION_MISUSE', `blobs.${method} runs its own transactions: call it outside of one`)
}
