import type { Logger } from '../logger.ts'
import { inBackground } from '../observability/background.ts'
import type { Database } from './database.ts'
import type { Executor } from './db.ts'

/** Smaller differences are ignored: following them would make the clock jitter. */
const TOLERATED_MILLIS = 1000
/** Greater differences are logged as a warning. */
const REMARKABLE_MILLIS = 60_000

/**
 * The clock of a database that several machines share: the server's time, carried on by the monotonic clock of this machine. So
 * all instances agree on what has expired, also if the clock of a machine is set while its instance runs.
 */
export class DatabaseClock {
  readonly #database: Database
  readonly #logger: Logger
  /** The time, less `performance.now()`. */
  #origin = wallOrigin()
  /** What `wallOrigin()` returned when the server was asked last. */
  #wallOrigin = this.#origin
  /** The time less that of this machine, as reported last. */
  #offsetMillis = 0
  #isAsking = false

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

  readonly now = (): Date => {
    const monotonic = performance.now() // read once: reading a clock costs as much as a lookup in the cache
    // The clock of this machine was set, or the machine was suspended, which stops its monotonic clock: the server knows.
    const wasSet = Math.abs(Date.now() - monotonic - this.#wallOrigin) >= TOLERATED_MILLIS
    if (wasSet && !this.#isAsking) void this.#askAgain()
    return new Date(this.#origin + monotonic)
  }

  /** Asks the server for its time. */
  async synchronize(): Promise<void> {
    await this.#database.whileOpen(() => this.#askServer())
  }

  /**
   * Asks the server for its time, over `transaction` if one is given, and returns it. The clock of the server may have been
   * set since the last time: what removes rows for their age must not trust a single clock.
   */
  async confirmedNow(transaction?: Pick<Executor, 'run'>): Promise<Date> {
    await this.#askServer(transaction)
    return this.now()
  }

  /** Asks the server, beside the calls. If that fails, the next call of `now` asks again. */
  async #askAgain(): Promise<void> {
    this.#isAsking = true
    await inBackground(() => this.synchronize()).catch(() => {})
    this.#isAsking = false
  }

  async #askServer(transaction?: Pick<Executor, 'run'>): Promise<void> {
    const asked = performance.now()
    const server = (await this.#database.driver.serverTime?.(transaction))?.getTime()
    if (server === undefined) return
    this.#wallOrigin = wallOrigin()
    // The server has read its clock at some time in between: a call may wait long for a connection.
    const [latest, earliest] = [server - asked, server - performance.now()]
    if (this.#origin > latest + TOLERATED_MILLIS || this.#origin < earliest - TOLERATED_MILLIS) {
      this.#origin = (earliest + latest) / 2
    }
    this.#report(this.#origin - this.#wallOrigin)
  }

  #report(offset: number): void {
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

/** Returns the time of this machine, less `performance.now()`. It changes if the clock is set or the machine suspended. */
function wallOrigin(): number {
  return Date.now() - performance.now()
}
