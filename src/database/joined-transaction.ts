import { StorageError } from '../errors.ts'
import type { Db } from './db.ts'
import { LazyDb } from './lazy-db.ts'

/**
 * Runs `body` with a transaction of `outer` that begins where it is first used: it is committed when `body` succeeds and
 * rolled back when it fails. So a second database takes part in a transaction of the first, and waits for nothing where
 * it does not.
 */
export async function joinTransaction<T>(outer: Db, body: (db: Db) => Promise<T>): Promise<T> {
  const joined = new JoinedTransaction(outer)
  let result: T
  try {
    result = await body(joined.db)
  } catch (error) {
    await joined.end(error).catch(() => {}) // that one has failed is known
    throw error
  }
  await joined.end()
  return result
}

class JoinedTransaction {
  readonly db: Db
  readonly #outer: Db
  readonly #finished: Promise<void>
  #finish: (failure: unknown) => void = () => {}
  #begun: Promise<Db> | undefined
  #whole: Promise<void> | undefined
  #ended = false

  constructor(outer: Db) {
    this.#outer = outer
    this.db = new LazyDb(outer, () => this.#begin())
    this.#finished = new Promise((resolve, reject) => {
      this.#finish = (failure) => (failure === undefined ? resolve() : reject(failure))
    })
    this.#finished.catch(() => {}) // nobody waits for it where nothing began
  }

  async end(failure?: unknown): Promise<void> {
    this.#ended = true
    this.#finish(failure)
    await this.#whole
  }

  async #begin(): Promise<Db> {
    if (this.#ended) {
      throw new StorageError('TRANSACTION_MISUSE', 'This transaction has ended: its tx cannot be used any more')
    }
    this.#begun ??= new Promise((resolve, reject) => {
      this.#whole = this.#outer.transaction(async (tx) => {
        resolve(tx)
        await this.#finished
      })
      this.#whole.catch(reject)
    })
    return this.#begun
  }
}
