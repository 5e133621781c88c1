import { StorageError } from '../../errors.ts'

/** A call that waits for the writer. */
export interface Waiting {
  /** When the call began to wait, as `performance.now()` has it. */
  readonly since: number
  reject(error: unknown): void
}

/** Makes the error of a call that has waited for too long. */
type Overdue = (heldMillis: number) => unknown

/**
 * Bounds how long calls wait while one transaction, or another process, holds the writer. The transaction may itself wait for
 * such a call, made in another async context: then nothing else would ever end either of them. Waiting behind many short
 * transactions is not limited.
 */
export class WaitLimit {
  readonly #waiting: Waiting[]
  readonly #millis: number
  #heldSince: number | undefined
  #overdue: Overdue = writerHeld
  #timer: NodeJS.Timeout | undefined

  /** Takes calls out of `waiting` and rejects them once both they and the holder have been there for `millis`. */
  constructor(waiting: Waiting[], millis: number) {
    this.#waiting = waiting
    this.#millis = millis
  }

  /** Notes that a transaction holds the writer now, or who else has held it since when. */
  held(since = performance.now(), overdue: Overdue = writerHeld): void {
    this.released()
    this.#heldSince = since
    this.#overdue = overdue
    this.added()
  }

  released(): void {
    this.#heldSince = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Notes that a call waits. */
  added(): void {
    const [first] = this.#waiting
    if (this.#heldSince === undefined || first === undefined || this.#timer !== undefined) return
    const due = Math.max(this.#heldSince, first.since) + this.#millis
    this.#timer = setTimeout(() => this.#expire(), Math.max(due - performance.now(), 1))
  }

  #expire(): void {
    this.#timer = undefined
    const now = performance.now()
    if (this.#heldSince === undefined) return
    const heldMillis = Math.round(now - this.#heldSince)
    if (heldMillis >= this.#millis) {
      // The calls are in the order in which they came.
      const kept = this.#waiting.findIndex(({ since }) => now - since < this.#millis)
      const overdue = this.#waiting.splice(0, kept === -1 ? this.#waiting.length : kept)
      for (const call of overdue) call.reject(this.#overdue(heldMillis))
    }
    this.added()
  }
}

function writerHeld(heldMillis: number): StorageError {
  const message = `A transaction has held the writer for ${heldMillis} ms: keep transactions short, and let none wait for a call outside of its tx`
  return new StorageError('TIMEOUT', message, { retryable: true })
}
