import { StorageError } from '../errors.ts'
import type { Db } from './db.ts'
import { LazyDb } from './lazy-db.ts'

/**
 * Runs `body` with a transaction on `outer` that starts on first use and commits or rolls back with `body`. If `body` never
 * uses the transaction, none is opened. This is how a second database joins a transaction of the first.
 *
 * The transaction also rolls back if `givenUp` rejects: the first one was ended from outside, and its body may go on. Calls on
 * the handle after the end fail with TRANSACTION_MISUSE.
 */
export async function joinTransaction<T>(
  outer: Db,
  body: (tx: Db) => Promise<T>,
  givenUp?: Promise<never>,
): Promise<T> {
  let ended = false
  let opened: Promise<Db> | undefined
  let committed: Promise<T> | undefined
  const begin = async () => {
    if (ended) {
      throw new StorageError('TRANSACTION_MISUSE', 'This transaction has ended: its tx cannot be used any more')
    }
    opened ??= new Promise((resolve, reject) => {
      committed = outer.transaction((tx) => {
        resolve(tx)
        return result // keeps the transaction open until `body` ends, and decides how it ends
      })
      committed.catch(reject)
    })
    return opened
  }
  const ran = body(new LazyDb(outer.kit, begin))
  const result = (givenUp ? Promise.race([ran, givenUp]) : ran).finally(() => {
    ended = true
  })
  try {
    const value = await result
    await committed
    return value
  } catch (error) {
    await committed?.catch(() => {}) // the rollback has ended by then
    throw error
  }
}
