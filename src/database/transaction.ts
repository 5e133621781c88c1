import { AsyncLocalStorage } from 'node:async_hooks'
import type { SearchSetting } from '../config/types.ts'
import { StorageError } from '../errors.ts'
import { type DatabaseSource, statements } from '../observability/channels.ts'
import type { Tables } from '../schema/tables.ts'
import type { Db, Dialect, DialectKit, DriverTransaction, Orm } from './db.ts'
import type { Query, Row } from './query.ts'
import { tracedRun } from './traced-statements.ts'
import type { TransactionDeadline } from './transaction-deadline.ts'

/** The innermost transaction whose body called the running code. */
const current = new AsyncLocalStorage<Transaction>()
let openTransactions = 0

/** A transaction, or a savepoint in one. */
export class Transaction implements Db {
  readonly kit: DialectKit
  readonly dialect: Dialect
  readonly tables: Tables
  readonly owner = undefined
  readonly search: SearchSetting
  /** The handle whose transaction() created this one. */
  readonly #parentHandle: Db
  /** The enclosing transaction: the parent of a savepoint, or a transaction of another Storage whose callback opened this one. */
  readonly #enclosing: Transaction | undefined
  readonly #connection: DriverTransaction
  readonly source: DatabaseSource
  readonly #depth: number
  #orm: Orm | undefined
  #state: 'open' | 'ending' | 'ended' = 'open'
  /** Savepoints that have not ended. They run one after another, and statements of this level wait for the last. */
  #openSavepoints = 0
  #lastSavepoint: Promise<unknown> = Promise.resolve()

  constructor(parentHandle: Db & { source: DatabaseSource }, connection: DriverTransaction, parent?: Transaction) {
    this.kit = parentHandle.kit
    this.dialect = parentHandle.dialect
    this.tables = parentHandle.tables
    this.search = parentHandle.search
    this.#parentHandle = parentHandle
    this.#enclosing = parent ?? current.getStore()
    this.#connection = connection
    this.source = parentHandle.source
    this.#depth = parent === undefined ? 0 : parent.#depth + 1
  }

  get orm(): Orm {
    this.#orm ??= this.kit.ormFor(this)
    return this.#orm
  }

  /** Returns true if this transaction, or one that encloses it, was opened on `handle`. Its code may not use that handle. */
  isInside(handle: Db): boolean {
    return (this.#state !== 'ended' && handle === this.#parentHandle) || (this.#enclosing?.isInside(handle) ?? false)
  }

  /** Runs `body`, then commits; if `body` rejects, rolls back and rejects with the same error. */
  async runBody<T>(
    body: (tx: Transaction) => Promise<T>,
    finish: Pick<DriverTransaction, 'commit' | 'rollback' | 'abandon'>,
    deadline?: TransactionDeadline,
  ): Promise<T> {
    let result: T
    openTransactions++
    try {
      const ran = current.run(this, () => this.#bodyAndSavepoints(body))
      result = await (deadline?.race(ran) ?? ran)
    } catch (error) {
      // If the connection is lost the rollback fails too. The first error says why.
      const endedFromOutside = this.#state === 'open'
      this.#state = 'ended'
      await (endedFromOutside ? finish.abandon() : finish.rollback()).catch(() => {})
      throw error
    } finally {
      // On Node 20 an enabled AsyncLocalStorage slows every promise down.
      if (--openTransactions === 0) current.disable()
    }
    await finish.commit()
    return result
  }

  /** Runs `body`, then waits for savepoints that `body` did not await: none of their statements may follow the commit. */
  async #bodyAndSavepoints<T>(body: (tx: Transaction) => Promise<T>): Promise<T> {
    try {
      return await body(this)
    } finally {
      this.#state = 'ending'
      await this.#lastSavepoint
      this.#state = 'ended'
    }
  }

  async run(query: Query): Promise<readonly Row[]> {
    this.#check()
    // A statement sent while a savepoint is open would be rolled back with the savepoint.
    if (this.#openSavepoints > 0) await this.#lastSavepoint
    if (!statements.hasSubscribers) return this.#connection.run(query)
    return tracedRun(this.source, query, { transaction: true }, () => this.#connection.run(query))
  }

  async batch(queries: readonly Query[]): Promise<(readonly Row[])[]> {
    return this.transaction((savepoint) => Promise.all(queries.map((query) => savepoint.run(query))))
  }

  async transaction<T>(body: (tx: Db) => Promise<T>): Promise<T> {
    this.#check()
    this.#openSavepoints++
    const savepoint = this.#lastSavepoint.then(() => this.#savepoint(body)).finally(() => this.#openSavepoints--)
    this.#lastSavepoint = savepoint.catch(() => {})
    return savepoint
  }

  #savepoint<T>(body: (tx: Db) => Promise<T>): Promise<T> {
    const name = `nested_${this.#depth + 1}`
    const execute = (sql: string) => this.#connection.run({ sql, params: [], writes: true })
    // Not awaited: the body's first statements are pipelined behind it, and fail if it fails.
    const started = execute(`SAVEPOINT ${name}`)
    started.catch(() => {})
    const rollback = async () => {
      await execute(`ROLLBACK TO SAVEPOINT ${name}`)
      await execute(`RELEASE SAVEPOINT ${name}`)
    }
    const commit = async () => {
      await started
      try {
        await execute(`RELEASE SAVEPOINT ${name}`)
      } catch (error) {
        await rollback() // the body ignored a failed statement: PostgreSQL accepts nothing else until a rollback
        throw error
      }
    }
    return new Transaction(this, this.#connection, this).runBody(body, { commit, rollback, abandon: rollback })
  }

  #check(): void {
    if (this.#state !== 'open') {
      throw new StorageError('TRANSACTION_MISUSE', 'This transaction has ended: its tx cannot be used any more')
    }
    refuseInside(this)
  }
}

/**
 * Checks that the running code is not inside a transaction of `handle`. It would wait for itself, or write outside of its
 * transaction.
 *
 * @throws {TRANSACTION_MISUSE} when it is inside
 */
export function refuseInside(handle: Db): void {
  if (current.getStore()?.isInside(handle)) {
    const message = 'Inside a transaction use the tx it was given, not the storage (or the tx) around it'
    throw new StorageError('TRANSACTION_MISUSE', message)
  }
}
