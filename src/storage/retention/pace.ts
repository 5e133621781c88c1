import { setTimeout as sleep } from 'node:timers/promises'
import type { Dialect } from '../../database/db.ts'

/** How many rows one transaction removes at most. */
export const MOST_ROWS = 500
const FEWEST_ROWS = 10
/** How many rows the first transaction removes. */
const FIRST_ROWS = 100
/** How long a transaction should take at most: others may have to wait for it. */
const TARGET_MILLIS = 15
/** A transaction of so few rows takes as long as its commit does. */
const SMALL_ROWS = 15
/**
 * How long a transaction may take at most as a multiple of a small one, if that takes long: on a slow disk the commit takes most
 * of the time, and fewer rows would only make more commits.
 */
const TARGET_FACTOR = 1.5
/** By how much a small transaction counts for slower than the one before at most: it may have waited for something else. */
const SLOWING = 1.2
/**
 * How long the pause after a transaction is, as a multiple of the transaction. SQLite has one writer, and a process that finds
 * the file locked tries again on a timer: at a fifth of the time, several attempts in a row hardly ever find it locked.
 */
const PAUSES: Record<Dialect, number> = { sqlite: 4, postgres: 1 }
/** The shortest and the longest pause. */
const SHORTEST_PAUSE_MILLIS = 2
const LONGEST_PAUSE_MILLIS = 1000

/**
 * Decides how many rows a transaction removes, and how long the database is left to others before the next one.
 */
export class Pace {
  readonly #pause: number
  #rows = FIRST_ROWS
  /** About how long a commit takes. */
  #commitMillis = 0

  constructor(dialect: Dialect) {
    this.#pause = PAUSES[dialect]
  }

  /** How many rows to remove in a transaction. */
  get rows(): number {
    return this.#rows
  }

  /** Runs a transaction, then pauses. */
  async step<T>(work: () => Promise<T>): Promise<T> {
    const begun = performance.now()
    const result = await work()
    const millis = performance.now() - begun
    const isSmall = this.#rows <= SMALL_ROWS
    const slowest = this.#commitMillis === 0 ? millis : this.#commitMillis * SLOWING
    this.#commitMillis = Math.min(millis, isSmall ? slowest : this.#commitMillis)
    const target = Math.max(TARGET_MILLIS, this.#commitMillis * TARGET_FACTOR)
    if (millis > target) this.#rows = Math.max(Math.floor(this.#rows / 2), FEWEST_ROWS)
    else if (millis < (target * 3) / 4) this.#rows = Math.min(this.#rows * 2, MOST_ROWS)
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
