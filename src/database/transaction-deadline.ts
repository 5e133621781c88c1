import { StorageError } from '../errors.ts'

interface TimeLimit {
  timeoutMillis?: number | undefined
  since?: number | undefined
}

/** Lets a transaction be ended from outside: by its own deadline, or by a close that waits no longer. */
export class TransactionDeadline {
  readonly #expired: Promise<never>
  #reject: (error: StorageError) => void = () => {}
  #error: StorageError | undefined
  #hasBegun = false
  #timer: NodeJS.Timeout | undefined

  /** Counts `timeoutMillis` from `since`, by default now. Without `timeoutMillis` only `end` ends the transaction. */
  constructor({ timeoutMillis, since = performance.now() }: TimeLimit = {}) {
    this.#expired = new Promise((_, reject) => {
      this.#reject = reject
    })
    this.#expired.catch(() => {}) // nobody waits for it if the transaction ends by itself
    if (timeoutMillis === undefined) return
    const expire = () => this.#fail(tookTooLong(timeoutMillis, this.#hasBegun))
    const millis = since + timeoutMillis - performance.now()
    if (millis > 0) this.#timer = setTimeout(expire, millis)
    else expire()
  }

  /** Resolves to what `body` does, or rejects when the transaction is ended from outside. */
  race<T>(body: Promise<T>): Promise<T> {
    return Promise.race([body, this.#expired])
  }

  /**
   * Checks that the transaction was not ended from outside.
   *
   * @throws {TIMEOUT} when its time is over
   * @throws {CLOSED} when a close waits no longer
   */
  check(): void {
    if (this.#error) throw this.#error
  }

  /** Notes that the transaction waits for its connection no longer. */
  begun(): void {
    this.#hasBegun = true
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

  #fail(error: StorageError): void {
    this.#error ??= error
    this.#reject(error)
  }
}

function tookTooLong(timeoutMillis: number, hasBegun: boolean): StorageError {
  const message = hasBegun
    ? `The transaction took longer than its timeoutMillis, ${timeoutMillis} ms: it was rolled back`
    : `The transaction waited for longer than its timeoutMillis, ${timeoutMillis} ms, before it could begin: nothing of it was stored`
  return new StorageError('TIMEOUT', message, { retryable: true })
}
