import { setTimeout as sleep } from 'node:timers/promises'
import type { Dialect } from '../database/db.ts'

/** How many rows one transaction takes at most. */
export const MOST_ROWS = 500
/** So few that they take a few milliseconds, and enough to get on if the commit takes most of the time. */
const FEWEST_ROWS = 50
/** How many rows the first transaction takes. */
const FIRST_ROWS = 100
/** How long a transaction should take at most: others may have to wait for it. */
const TARGET_MILLIS = 10
/**
 * How long the pause after a transaction is, as a multiple of the transaction. SQLite has one writer, and a process that finds
 * the file locked tries again on a timer: at a fifth of the time, several attempts in a row hardly ever find it locked.
 */
const PAUSES: Record<Dialect, number> = { sqlite: 4, postgres: 1 }
/** The shortest and the longest pause. */
const SHORTEST_PAUSE_MILLIS = 2
const LONGEST_PAUSE_MILLIS = 1000

/**
 * Decides how many rows a transaction removes or writes, and how long the database is left to others before the next one.
 */
export class Pace {
  readonly #pause: number
  readonly #afterStep: () => Promise<unknown>
  #rows = FIRST_ROWS

  /** `afterStep` runs between a transaction and its pause. */
  constructor(dialect: Dialect, afterStep: () => Promise<unknown> = async () => {}) {
    this.#pause = PAUSES[dialect]
    this.#afterStep = afterStep
  }

  /** How many rows the next transaction should take. */
  get rows(): number {
    return this.#rows
  }

  /** Runs a transaction, then pauses. */
  async step<T>(work: () => Promise<T>): Promise<T> {
    const begun = performance.now()
    const result = await work()
    const millis = performance.now() - begun
    if (millis > TARGET_MILLIS) this.#rows = Math.max(Math.floor(this.#rows / 2), FEWEST_ROWS)
    else if (millis < TARGET_MILLIS / 2) this.#rows = Math.min(this.#rows * 2, MOST_ROWS)
    await this.#afterStep()
    await pause(millis * this.#pause)
    return result
  }

  /** Runs a read, then pauses. */
  async look<T>(work: () => Promise<T>): Promise<T> {
    const begun = performance.now()
    const result = await work()
    await pause(performance.now() - begun)
    return result
  }
}

/** Leaves the database to others. */
async function pause(millis: number): Promise<void> {
  await sleep(Math.min(Math.max(millis, SHORTEST_PAUSE_MILLIS), LONGEST_PAUSE_MILLIS))
}
