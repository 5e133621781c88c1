import { AsyncLocalStorage } from 'node:async_hooks'
import { StorageError } from '../errors.ts'
import * as postgres from '../schema/postgres.ts'
import * as sqlite from '../schema/sqlite.ts'
import type { Tables } from '../schema/tables.ts'
import type { Db, Dialect, Driver, DriverTransaction, Orm } from './db.ts'
import { ormFor } from './orm.ts'
import type { Query, Row } from './query.ts'

const TABLES: Record<Dialect, Tables> = {
  postgres,
  sqlite: sqlite as unknown as Tables, // the dialect seam: see schema/sqlite.ts
}

export function tablesOf(dialect: Dialect): Tables {
  return TABLES[dialect]
}

/** The innermost transaction that the running code is inside of. */
const current = new AsyncLocalStorage<Transaction>()
let openTransactions = 0

/** The database as a whole: every statement commits by itself. */
export class Database implements Db {
  readonly dialect: Dialect
  readonly tables: Tables
  readonly driver: Driver
  #orm: Orm | undefined
  #closing: Promise<void> | undefined
  #inFlight = 0
  #onIdle: (() => void) | undefined

  constructor(driver: Driver) {
    this.driver = driver
    this.dialect = driver.dialect
    this.tables = tablesOf(driver.dialect)
  }

  get orm(): Orm {
    this.#orm ??= ormFor(this.dialect, this)
    return this.#orm
  }

  /** Returns a handle on the same driver that ignores `close()`: work admitted before the close may still use it. */
  ungated(): Database {
    return new Database(this.driver)
  }

  async run(query: Query): Promise<readonly Row[]> {
    return this.during(() => this.driver.run(query))
  }

  async batch(queries: readonly Query[]): Promise<(readonly Row[])[]> {
    return this.during(() => this.driver.batch(queries))
  }

  /**
   * Errors: TRANSACTION_MISUSE where this handle is used inside one of its own transactions, CLOSED, TIMEOUT where no
   * connection became free, CONNECTION_LOST where the outcome is unknown; what `body` throws, after the rollback.
   */
  async transaction<T>(body: (tx: Db) => Promise<T>): Promise<T> {
    this.#enter()
    try {
      const connection = await this.driver.begin()
      return await new Transaction(this, connection).runBody(body, connection)
    } finally {
      this.#leave()
    }
  }

  /** Counts the whole of `work` as under way: a close waits for it. Errors: CLOSED, TRANSACTION_MISUSE. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#enter()
    try {
      return await work()
    } finally {
      this.#leave()
    }
  }

  /** Refuses new work, waits for what is under way, then closes the connections. Safe to repeat. */
  async close(): Promise<void> {
    this.checkOutside()
    this.#closing ??= this.#drained().then(() => this.driver.close())
    return this.#closing
  }

  async #drained(): Promise<void> {
    if (this.#inFlight === 0) return
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve
    })
  }

  /** Throws where this handle may not be used: CLOSED, or TRANSACTION_MISUSE inside one of its own transactions. */
  check(): void {
    this.checkOpen()
    this.checkOutside()
  }

  /** Throws CLOSED. */
  checkOpen(): void {
    if (this.#closing) throw new StorageError('CLOSED', 'The storage has been closed')
  }

  /** Throws TRANSACTION_MISUSE inside one of its own transactions, which this handle would wait for. */
  checkOutside(): void {
    refuseOuter(this)
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
  readonly dialect: Dialect
  readonly tables: Tables
  readonly #parentHandle: Db
  /** The transaction that this one is part of, or whose code began it: that of another storage. */
  readonly #enclosing: Transaction | undefined
  readonly #connection: DriverTransaction
  readonly #depth: number
  #orm: Orm | undefined
  #state: 'open' | 'ending' | 'ended' = 'open'
  /** Savepoints asked for and not ended; they follow each other, and statements of this level wait for them. */
  #nested = 0
  #lastNested: Promise<unknown> = Promise.resolve()

  constructor(outer: Db, connection: DriverTransaction, parent?: Transaction) {
    this.dialect = outer.dialect
    this.tables = outer.tables
    this.#parentHandle = outer
    this.#enclosing = parent ?? current.getStore()
    this.#connection = connection
    this.#depth = parent === undefined ? 0 : parent.#depth + 1
  }

  get orm(): Orm {
    this.#orm ??= ormFor(this.dialect, this)
    return this.#orm
  }

  /** Whether `handle` is one of those around this transaction, which code inside it may not use. */
  isInside(handle: Db): boolean {
    return (this.#state !== 'ended' && handle === this.#parentHandle) || (this.#enclosing?.isInside(handle) ?? false)
  }

  async runBody<T>(
    body: (tx: Transaction) => Promise<T>,
    finish: Pick<DriverTransaction, 'commit' | 'rollback'>,
  ): Promise<T> {
    let result: T
    openTransactions++
    try {
      result = await current.run(this, () => this.#bodyAndSavepoints(body))
    } catch (error) {
      // Where the connection is gone the rollback fails as well; the first error is the one that tells why.
      await finish.rollback().catch(() => {})
      throw error
    } finally {
      // On Node 20 a storage in use makes every promise of the process dearer.
      if (--openTransactions === 0) current.disable()
    }
    await finish.commit()
    return result
  }

  /** Runs `body`, then to their end the savepoints that it did not wait for: nothing of theirs may follow the commit. */
  async #bodyAndSavepoints<T>(body: (tx: Transaction) => Promise<T>): Promise<T> {
    try {
      return await body(this)
    } finally {
      this.#state = 'ending'
      await this.#lastNested
      this.#state = 'ended'
    }
  }

  async run(query: Query): Promise<readonly Row[]> {
    this.#check()
    // A statement between a savepoint and its end would be undone with it.
    if (this.#nested > 0) await this.#lastNested
    return this.#connection.run(query)
  }

  async batch(queries: readonly Query[]): Promise<(readonly Row[])[]> {
    return this.transaction((savepoint) => Promise.all(queries.map((query) => savepoint.run(query))))
  }

  async transaction<T>(body: (tx: Db) => Promise<T>): Promise<T> {
    this.#check()
    this.#nested++
    const turn = this.#lastNested.then(() => this.#savepoint(body)).finally(() => this.#nested--)
    this.#lastNested = turn.catch(() => {})
    return turn
  }

  #savepoint<T>(body: (tx: Db) => Promise<T>): Promise<T> {
    const name = `nested_${this.#depth + 1}`
    const execute = (sql: string) => this.#connection.run({ sql, params: [], writes: true })
    // Not awaited here: what the body sends follows in the same flight, and fails with it.
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
        await rollback() // a statement failed and was passed over: PostgreSQL goes on only after this
        throw error
      }
    }
    return new Transaction(this, this.#connection, this).runBody(body, { commit, rollback })
  }

  #check(): void {
    if (this.#state !== 'open') {
      throw new StorageError('TRANSACTION_MISUSE', 'This transaction has ended: its tx cannot be used any more')
    }
    refuseOuter(this)
  }
}

/** Code inside a transaction that uses a handle around it would wait for itself, or write outside of its transaction. */
function refuseOuter(handle: Db): void {
  if (current.getStore()?.isInside(handle)) {
    const message = 'Inside a transaction use the tx it was given, not the storage (or the tx) around it'
    throw new StorageError('TRANSACTION_MISUSE', message)
  }
}
