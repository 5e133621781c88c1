import { AsyncLocalStorage } from 'node:async_hooks'
import type { SearchSetting } from '../config/types.ts'
import { StorageError } from '../errors.ts'
import {
  type DatabaseSource,
  statements,
  type TransactionMessage,
  traced,
  transactions,
} from '../observability/channels.ts'
import type { Tables } from '../schema/tables.ts'
import type { BeginOptions, Db, Dialect, DialectKit, Driver, DriverTransaction, Executor, Orm } from './db.ts'
import type { Query, Row } from './query.ts'
import { tracedBatch, tracedRun } from './traced-statements.ts'
import { TransactionDeadline } from './transaction-deadline.ts'

/** How long close() waits for calls in flight. */
const CLOSE_MILLIS = 30_000
/** How long close() then waits for transactions to be rolled back. */
const ROLLBACK_MILLIS = 1000

/** The innermost transaction whose body called the running code. */
const current = new AsyncLocalStorage<Transaction>()
let openTransactions = 0

export interface CloseOptions {
  /** How long to wait for calls in flight, in milliseconds. Default 30,000. */
  timeoutMillis?: number
  /** Called if there are calls that have not ended by then. */
  onUnfinished?: () => void
}

/** The database outside of transactions: every statement commits by itself. */
export class Database implements Db {
  readonly kit: DialectKit
  readonly dialect: Dialect
  readonly tables: Tables
  readonly owner = undefined
  readonly search: SearchSetting
  readonly driver: Driver
  readonly source: DatabaseSource
  #orm: Orm | undefined
  #closing: Promise<void> | undefined
  #inFlight = 0
  /** One for each transaction under way. */
  readonly #deadlines = new Set<TransactionDeadline>()
  #onIdle: (() => void) | undefined

  constructor(driver: Driver, { search = false }: { search?: SearchSetting } = {}) {
    this.search = search
    this.driver = driver
    this.dialect = driver.dialect
    this.kit = driver.kit
    this.tables = driver.kit.tables
    this.source = { database: driver.dialect, namespace: driver.namespace }
  }

  get orm(): Orm {
    this.#orm ??= this.kit.ormFor(this)
    return this.#orm
  }

  /** Returns a handle on the same driver that ignores `close()`: work admitted before the close may still use it. */
  ungated(): Database {
    return new Database(this.driver, this)
  }

  run(query: Query): Promise<readonly Row[]> {
    const work = () => this.driver.run(query)
    if (!statements.hasSubscribers) return this.whileOpen(work)
    return this.whileOpen(() => tracedRun(this.source, query, { transaction: false }, work))
  }

  batch(queries: readonly Query[]): Promise<(readonly Row[])[]> {
    const work = () => this.driver.batch(queries)
    if (!statements.hasSubscribers) return this.whileOpen(work)
    return this.whileOpen(() => tracedBatch(this.source, queries, work))
  }

  /**
   * Runs `body` in a transaction. Commits if `body` resolves; if it rejects, rolls back and rejects with the same error.
   *
   * @throws {TRANSACTION_MISUSE} when the handle is used inside one of its own transactions
   * @throws {CLOSED} when the database is closed
   * @throws {TIMEOUT} when no connection became free in time, or `body` took longer than `timeoutMillis`
   * @throws {CONNECTION_LOST} when the connection broke: the transaction may or may not have been committed
   */
  async transaction<T>(body: (tx: Db) => Promise<T>, options: BeginOptions = {}): Promise<T> {
    if (!transactions.hasSubscribers) return this.#transaction(body, options)
    const message: TransactionMessage = { ...this.source }
    return traced(transactions, message, () => this.#transaction(body, options, message))
  }

  async #transaction<T>(body: (tx: Db) => Promise<T>, options: BeginOptions, message?: TransactionMessage): Promise<T> {
    this.#enter()
    const deadline = new TransactionDeadline(options.timeoutMillis)
    this.#deadlines.add(deadline)
    const begun = performance.now()
    try {
      const connection = await this.driver.begin(options)
      if (message !== undefined) message.waitMs = performance.now() - begun
      return await new Transaction(this, connection).runBody(body, connection, deadline)
    } finally {
      deadline.stop()
      this.#deadlines.delete(deadline)
      this.#leave()
    }
  }

  /**
   * Runs `body` with reads that all see the database as it is now. Others may write meanwhile.
   *
   * @throws {TRANSACTION_MISUSE} when the handle is used inside one of its own transactions
   * @throws {CLOSED} when the database is closed
   * @throws {TIMEOUT} when no connection became free in time
   * @throws {CONNECTION_LOST} when the connection broke
   */
  snapshot<T>(body: (snapshot: Executor) => Promise<T>): Promise<T> {
    return this.whileOpen(async () => {
      const snapshot = await this.driver.snapshot()
      try {
        return await body(snapshot)
      } finally {
        await snapshot.close().catch(() => {}) // the reads are done
      }
    })
  }

  /**
   * Runs `work` and counts it as in flight: close() waits for its end. A pending promise counts until it settles.
   *
   * @throws {CLOSED} when the database is closed
   * @throws {TRANSACTION_MISUSE} when the handle is used inside one of its own transactions
   */
  async whileOpen<T>(work: () => T | Promise<T>): Promise<T> {
    this.#enter()
    try {
      return await work()
    } finally {
      this.#leave()
    }
  }

  /**
   * Refuses new work, waits for the work in flight, then closes the connections. After `timeoutMillis` it rolls back the
   * transactions that have not ended, and waits no longer. Safe to repeat.
   *
   * @throws {TRANSACTION_MISUSE} when it is called inside a transaction, which it would wait for
   */
  async close(options: CloseOptions = {}): Promise<void> {
    this.checkOutside()
    this.#closing ??= this.#close(options)
    return this.#closing
  }

  async #close({ timeoutMillis = CLOSE_MILLIS, onUnfinished }: CloseOptions): Promise<void> {
    await this.#drained(timeoutMillis)
    if (this.#inFlight > 0) {
      onUnfinished?.()
      for (const deadline of this.#deadlines) deadline.end()
      await this.#drained(ROLLBACK_MILLIS)
    }
    await this.driver.close()
  }

  /** Waits until nothing is in flight, for `timeoutMillis` at most. */
  async #drained(timeoutMillis: number): Promise<void> {
    if (this.#inFlight === 0) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMillis)
      this.#onIdle = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /**
   * Checks that the handle may be used.
   *
   * @throws {CLOSED} when the database is closed
   * @throws {TRANSACTION_MISUSE} when it is called inside one of its own transactions
   */
  check(): void {
    this.checkOpen()
    this.checkOutside()
  }

  /**
   * Checks that close() has not been called.
   *
   * @throws {CLOSED} when the database is closed
   */
  checkOpen(): void {
    if (this.#closing) throw new StorageError('CLOSED', 'The storage has been closed')
  }

  /**
   * Checks that the running code is not inside one of the handle's own transactions.
   *
   * @throws {TRANSACTION_MISUSE} when it is
   */
  checkOutside(): void {
    refuseInside(this)
  }

  #enter(): void {
    this.check()
    this.#inFlight++
  }

  #leave(): void {
    if (--this.#inFlight === 0) this.#onIdle?.()
  }
}

/** A transaction, or a savepoint in one. */
class Transaction implements Db {
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
function refuseInside(handle: Db): void {
  if (current.getStore()?.isInside(handle)) {
    const message = 'Inside a transaction use the tx it was given, not the storage (or the tx) around it'
    throw new StorageError('TRANSACTION_MISUSE', message)
  }
}
