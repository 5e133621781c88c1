import type { Logger } from '../logger.ts'
import type { Database } from './database.ts'
import type { Executor } from './db.ts'

/** Smaller differences are ignored: following them would make the clock jitter. */
const TOLERATED_MILLIS = 1000
/** Greater differences are logged as a warning. */
const REMARKABLE_MILLIS = 60_000

/**
 * The clock of a database that several machines share: this machine's clock, corrected by its difference to the server's
 * clock. So all instances agree on what has expired.
 */
export class DatabaseClock {
  readonly #database: Database
  readonly #logger: Logger
  #offsetMillis = 0

  private constructor(database: Database, logger: Logger) {
    this.#database = database
    this.#logger = logger
  }

  /**
   * Compares the clocks, and warns if they differ by more than a minute. Returns undefined if only this machine uses the
   * database: its own clock is enough.
   */
  static async open(database: Database, logger: Logger): Promise<DatabaseClock | undefined> {
    if (database.driver.serverTime === undefined) return undefined
    const clock = new DatabaseClock(database, logger)
    await clock.synchronize()
    return clock
  }

  readonly now = (): Date => new Date(Date.now() + this.#offsetMillis)

  /** Asks the server for its time. Assumes that the answer took half of the round trip. */
  async synchronize(): Promise<void> {
    await this.#database.whileOpen(() => this.#askServer())
  }

  /**
   * Asks the server for its time, over `transaction` if one is given, and returns it. The clock of this machine may have
   * been set since the last time: what removes rows for their age must not trust a single clock.
   */
  async confirmedNow(transaction?: Pick<Executor, 'run'>): Promise<Date> {
    await this.#askServer(transaction)
    return this.now()
  }

  async #askServer(transaction?: Pick<Executor, 'run'>): Promise<void> {
    const asked = Date.now()
    const server = await this.#database.driver.serverTime?.(transaction)
    if (server === undefined) return
    const offset = server.getTime() - (asked + Date.now()) / 2
    if (Math.abs(offset - this.#offsetMillis) < TOLERATED_MILLIS) return
    this.#offsetMillis = offset
    if (Math.abs(offset) < REMARKABLE_MILLIS) return
    const seconds = Math.round(Math.abs(offset) / 1000)
    const direction = offset < 0 ? 'ahead of' : 'behind'
    this.#logger.warn(
      `The clock of this machine is ${seconds} s ${direction} PostgreSQL's: times are those of PostgreSQL`,
      { component: 'database', code: 'CLOCK_DIFFERS', offsetMs: Math.round(offset) },
    )
  }
}
