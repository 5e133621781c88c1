import { StorageError } from '../errors.ts'

interface Waiting {
  due: number
  reject: (error: StorageError) => void
}

/**
 * One deadline for many promises. They are due in the order they came in, so one timer does for all: a timer for each
 * costs a tenth of what Redis takes to answer.
 */
export class Deadline {
  readonly #millis: number
  readonly #waiting = new Set<Waiting>()
  #timer: NodeJS.Timeout | undefined

  constructor(millis: number) {
    this.#millis = millis
  }

  /** The result if it comes in time. Errors: TIMEOUT. What comes later is dropped. */
  meet<T>(result: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const waiting = { due: performance.now() + this.#millis, reject }
      this.#waiting.add(waiting)
      this.#timer ??= this.#wait(this.#millis)
      result.then(
        (value) => {
          this.#waiting.delete(waiting)
          resolve(value)
        },
        (error) => {
          this.#waiting.delete(waiting)
          reject(error)
        },
      )
    })
  }

  /** Leaves no timer. */
  stop(): void {
    clearTimeout(this.#timer)
  }

  #wait(millis: number): NodeJS.Timeout {
    // A turn later than the timer: if it was this process that stood still, the answers are here and about to be read.
    return setTimeout(() => setImmediate(() => this.#expire()), millis).unref()
  }

  #expire(): void {
    this.#timer = undefined
    const now = performance.now()
    for (const waiting of this.#waiting) {
      if (waiting.due > now) {
        this.#timer = this.#wait(waiting.due - now)
        return
      }
      this.#waiting.delete(waiting)
      waiting.reject(new StorageError('TIMEOUT', `No answer within ${this.#millis} ms`, { retryable: true }))
    }
  }
}
