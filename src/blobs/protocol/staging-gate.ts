import { StorageError } from '../../errors.ts'
import type { Staging } from './staging.ts'

/** How many puts of a store are under way at once. Each has one file open, and a path as its source a second one. */
export const PUTS_AT_ONCE = 64
/**
 * The same for one transaction. Its puts do not wait for the puts of others, which may wait for the lock that the
 * transaction holds.
 */
export const PUTS_AT_ONCE_IN_TRANSACTION = 8

/** Limits how many puts are under way at once. The others wait for their turn: they hold no file and have read nothing. */
export class StagingGate {
  readonly #limit: number
  readonly #running = new Set<Staging>()
  /** What admits each waiting put, in the order of their arrival. */
  readonly #waiting = new Map<Staging, () => void>()
  #lastEnd = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Waits until the put may begin: for `idleTimeoutMillis` at most after another put has ended. */
  async enter(staging: Staging): Promise<void> {
    staging.check()
    if (this.#running.size < this.#limit) {
      this.#running.add(staging)
      return
    }
    const turn = new Promise<void>((resolve) => this.#waiting.set(staging, resolve))
    await staging.wait(turn, { since: () => this.#lastEnd, timeout: (millis) => this.#timeout(millis) })
  }

  /** Ends the put, or its wait, and admits the next one. */
  leave(staging: Staging): void {
    this.#waiting.delete(staging)
    if (!this.#running.delete(staging)) return
    this.#lastEnd = performance.now()
    const [longest] = this.#waiting
    if (longest === undefined) return
    const [next, admit] = longest
    this.#waiting.delete(next)
    this.#running.add(next)
    admit()
  }

  #timeout(millis: number): StorageError {
    const message = `None of the ${this.#limit} puts under way has ended for ${millis} ms (idleTimeoutMillis): put the blob again later`
    return new StorageError('TIMEOUT', message, { retryable: true })
  }
}
