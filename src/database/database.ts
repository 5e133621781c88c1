import type { SearchSetting } from '../config/types.ts'
import {
  type DatabaseSource,
  statements,
  type TransactionMessage,
  traced,
  transactions,
} from '../observability/channels.ts'
import type { Tables } from '../schema/tables.ts'
import { storageClosed } from './closed.ts'
import type { BeginOptions, Db, Dialect, DialectKit, Driver, DriverTransaction, Executor, Orm } from './db.ts'
import type { Query, Row } from './query.ts'
import { repeated } from './repeated.ts'
import { tracedBatch, tracedRun } from './traced-statements.ts'
import { refuseInside, Transaction } from './transaction.ts'
import { TransactionDeadline } from './transaction-deadline.ts'

/** How long close() waits for calls in flight. */
const CLOSE_MILLIS = 30_000
/** How long close() then waits for transactions to be rolled back. */
const ROLLBACK_MILLIS = 1000

export interface CloseOptions {
  /** How long to wait for calls in flight, in milliseconds. Default 30,000. */
  timeoutMillis?: number
  /** Called if there are calls that have not ended by then. */
  onUnfinished?: () => void
}

export interface BodyOptions extends BeginOptions {
  /** True if `body` does more than call its `tx`, and so must not run again. Default false. */
  once?: boolean
  /** True if the call is in flight already: a close() that has begun since waits for it, so it is not refused. Default false. */
  isAdmitted?: boolean
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
  /** True if close() waits no longer for calls in flight. */
  #isGivenUp = false
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
   * Runs `body` in a transaction. Commits if `body` resolves; if it rejects, rolls back and rejects with the same error. If
   * PostgreSQL rolls it back in favour of another transaction, runs `body` again, unless `once` is set.
   *
   * @throws {TRANSACTION_MISUSE} when the handle is used inside one of its own transactions
   * @throws {CLOSED} when the database is closed
   * @throws {TIMEOUT} when no connection became free in time, or the wait and `body` took longer than `timeoutMillis`
   * @throws {CONNECTION_LOST} when the connection broke: the transaction may or may not have been committed
   */
  transaction<T>(body: (tx: Db) => Promise<T>, options: BodyOptions = {}): Promise<T> {
    const { driver } = this
    if (options.once || driver.wasRolledBack === undefined) return this.#observed(body, options)
    const mayRepeat = (error: unknown) => driver.wasRolledBack?.(error) === true
    const run = () => this.#observed(body, { ...options, isAdmitted: true })
    return this.whileOpen(() => repeated(run, mayRepeat), options.isAdmitted)
  }

  #observed<T>(body: (tx: Db) => Promise<T>, options: BodyOptions): Promise<T> {
    if (!transactions.hasSubscribers) return this.#transaction(body, options)
    const message: TransactionMessage = { ...this.source }
    return traced(transactions, message, () => this.#transaction(body, options, message))
  }

  async #transaction<T>(body: (tx: Db) => Promise<T>, options: BodyOptions, message?: TransactionMessage): Promise<T> {
    this.#enter(options.isAdmitted)
    const deadline = new TransactionDeadline(options)
    this.#deadlines.add(deadline)
    const begun = performance.now()
    try {
      const connection = await this.#begin(options, deadline)
      deadline.begun()
      if (message !== undefined) message.waitMs = performance.now() - begun
      return await new Transaction(this, connection).runBody(body, connection, deadline)
    } finally {
      deadline.stop()
      this.#deadlines.delete(deadline)
      this.#leave()
    }
  }

  /** Begins a transaction in time. One that begins when its caller waits no longer is rolled back. */
  async #begin(options: BeginOptions, deadline: TransactionDeadline): Promise<DriverTransaction> {
    deadline.check()
    const beginning = this.driver.begin({ ...options, check: () => deadline.check() })
    try {
      return await deadline.race(beginning)
    } catch (error) {
      void beginning.then((late) => late.rollback()).catch(() => {})
      throw error
    }
  }

  /**
   * Runs `body` with reads that all see the database as it is now. Others may write meanwhile.
   *
   * @throws {TRANSACTION_MISUSE} when the handle is used inside one of its own transactions
   * @throws {CLOSED} when the database is closed
   * @throws {CONNECTION_FAILED} when the connection of the snapshot could not be opened
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
   * Runs `work` and counts it as in flight: close() waits for its end. A pending promise counts until it settles. A part of a
   * call that is in flight already passes `isAdmitted`, and is refused only once close() waits no longer.
   *
   * @throws {CLOSED} when the database is closed
   * @throws {TRANSACTION_MISUSE} when the handle is used inside one of its own transactions
   */
  async whileOpen<T>(work: () => T | Promise<T>, isAdmitted = false): Promise<T> {
    this.#enter(isAdmitted)
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
      this.#isGivenUp = true
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
    if (this.#closing) throw storageClosed()
  }

  /**
   * Checks that the running code is not inside one of the handle's own transactions.
   *
   * @throws {TRANSACTION_MISUSE} when it is
   */
  checkOutside(): void {
    refuseInside(this)
  }

  #enter(isAdmitted = false): void {
    if (!isAdmitted || this.#isGivenUp) this.checkOpen()
    this.checkOutside()
    this.#inFlight++
  }

  #leave(): void {
    if (--this.#inFlight === 0) this.#onIdle?.()
  }
}
