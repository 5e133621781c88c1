import { StorageError } from '../errors.ts'

/** Lets a transaction be ended from outside: by its own deadline, or by a close that waits no longer. */
export class TransactionDeadline {
  readonly #expired: Promise<never>
  #fail: (error: StorageError) => void = () => {}
  #timer: NodeJS.Timeout | undefined

  /** Without `timeoutMillis` only `end` ends the transaction. */
  constructor(timeoutMillis?: number) {
    this.#expired = new Promise((_, reject) => {
      this.#fail = reject
    })
    this.#expired.catch(() => {}) // nobody waits for it if the transaction ends by itself
    if (timeoutMillis !== undefined) {
      this.#timer = setTimeout(() => this.#fail(tookTooLong(timeoutMillis)), timeoutMillis)
    }
  }

  /** Resolves to what `body` does, or rejects when the transaction is ended from outside. */
  race<T>(body: Promise<T>): Promise<T> {
    return Promise.race([body, this.#expired])
  }

  /** Stops the clock. To be called however the transaction ends: until then the clock keeps the process alive. */
  stop(): void {
    clearTimeout(this.#timer)
  }

  /** Ends the transaction now: its caller is told CLOSED. */
  end(): void {
    this.#fail(
      new StorageError('CLOSED', 'The storage was closed before the transaction had ended: it was rolled back'),
    )
  }
}

function tookTooLong(timeoutMillis: number): StorageError {
  const message = `The transaction took longer than its timeoutMillis, ${timeoutMillis} ms: it was rolled back`
  return new StorageError('TIMEOUT', message, { retryable: true })
}
