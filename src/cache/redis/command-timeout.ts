import { StorageError } from '../../errors.ts'

interface Waiting {
  due: number
  isOver: boolean
  reject: (error: StorageError) => void
  /** The one that came in after it. */
  next?: Waiting
}

/**
 * One commandTimeout for many promises. They are due in the order they came in, so one timer does for all: a timer for each
 * costs a tenth of what Redis takes to answer.
 */
export class CommandTimeout {
  readonly #millis: number
  /** The first and the last of a queue: they mostly end in their order, and a set would take longer. */
  #first: Waiting | undefined
  #last: Waiting | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(millis: number) {
    this.#millis = millis
  }

  /** Whether there is a promise that is to be met now. */
  get pending(): boolean {
    return this.#first !== undefined
  }

  /** The result if it comes in time. Errors: TIMEOUT. What comes later is dropped. */
  race<T>(result: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { due: performance.now() + this.#millis, isOver: false, reject, next: undefined }
      if (this.#first && this.#last) this.#last.next = waiting
      else this.#first = waiting
      this.#last = waiting
      this.#timer ??= this.#wait(this.#millis)
      result.then(
        (value) => {
          this.#end(waiting)
          resolve(value)
        },
        (error) => {
          this.#end(waiting)
          reject(error)
        },
      )
    })
  }

  /** Leaves no timer. */
  stop(): void {
    clearTimeout(this.#timer)
  }

  #end(waiting: Waiting): void {
    waiting.isOver = true
    while (this.#first?.isOver) {
      const { next } = this.#first
      this.#first.next = undefined // what is old keeps nothing new alive
      this.#first = next
    }
  }

  #wait(millis: number): NodeJS.Timeout {
    // A turn later than the timer: if it was this process that stood still, the answers are here and about to be read.
    return setTimeout(() => setImmediate(() => this.#expire()), millis).unref()
  }

  #expire(): void {
    this.#timer = undefined
    const now = performance.now()
    for (let first = this.#first; first !== undefined; first = this.#first) {
      if (first.due > now) {
        this.#timer = this.#wait(first.due - now)
        return
      }
      this.#end(first)
      first.reject(new StorageError('TIMEOUT', `No answer within ${this.#millis} ms`, { retryable: true }))
    }
  }
}
