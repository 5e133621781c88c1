import { setTimeout as sleep } from 'node:timers/promises'

/** How many rows one transaction removes at most. */
export const MOST_ROWS = 500
const FEWEST_ROWS = 10
/** How many rows the first transaction removes. */
const FIRST_ROWS = 100
/** How long a transaction should take at most: others may have to wait for it. */
const TARGET_MILLIS = 15
/** The shortest and the longest pause. */
const SHORTEST_PAUSE_MILLIS = 2
const LONGEST_PAUSE_MILLIS = 1000

/** Waits, so that the database is left to others, as long as the last use of it took. */
async function pause(millis: number): Promise<void> {
  await sleep(Math.min(Math.max(millis, SHORTEST_PAUSE_MILLIS), LONGEST_PAUSE_MILLIS))
}

/**
 * Decides how many rows a transaction removes, and how long the database is left to others before the next one: as long as
 * the last one took.
 */
export class Pace {
  #rows = FIRST_ROWS

  /** How many rows to remove in a transaction. */
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
    await pause(millis)
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
