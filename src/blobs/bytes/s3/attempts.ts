import { setTimeout as sleep } from 'node:timers/promises'
import { StorageError } from '../../../errors.ts'
import {
  Failure,
  isAbsent,
  isExpired,
  isPassing,
  isSkewed,
  NotThere,
  type Operation,
  type Refusal,
  storageError,
  type Target,
} from './failure.ts'

const FIRST_PAUSE_MILLIS = 50
const LONGEST_PAUSE_MILLIS = 5000

interface AttemptsOptions {
  readonly operation: Operation
  readonly target: Target
  readonly maxAttempts: number
  /** No further attempt begins after this time. */
  readonly giveUpMillis: number
  readonly signal?: AbortSignal | undefined
  /** Throws CLOSED if the client is closed. */
  checkOpen(): void
  renewKeys(): Promise<boolean>
}

/** Decides after each failure of a request whether there is another attempt. */
export class Attempts {
  readonly #options: AttemptsOptions
  #failures = 0
  #giveUpAt: number
  #wasSkewed = false
  #keysWereRenewed = false

  constructor(options: AttemptsOptions) {
    this.#options = options
    this.#giveUpAt = performance.now() + options.giveUpMillis
  }

  /**
   * Returns after a pause if the request is to be sent again. Throws a `NotThere` for an object that does not exist, the
   * reason of the signal if that is aborted, and otherwise the StorageError of the failure.
   */
  async failed(error: unknown): Promise<void> {
    const { signal, maxAttempts, operation, target } = this.#options
    if (signal?.aborted) throw signal.reason
    this.#options.checkOpen()
    if (error instanceof StorageError) throw error
    const failure = error instanceof Failure ? error : new Failure({ cause: error })
    if (isAbsent(failure)) throw new NotThere()
    if (await this.#corrected(failure)) return
    this.#failures += 1
    if (!isPassing(failure) || this.#failures >= maxAttempts || performance.now() > this.#giveUpAt) {
      throw storageError(failure, operation, target)
    }
    await pause(this.#failures, failure.refusal, signal)
  }

  /** Starts anew, because the attempts get on: much of an object was read. */
  progressed(): void {
    this.#failures = 0
    this.#giveUpAt = performance.now() + this.#options.giveUpMillis
  }

  /** Makes up for a wrong clock or for expired keys, once. Returns true if the request is to be sent again. */
  async #corrected(failure: Failure): Promise<boolean> {
    if (isSkewed(failure) && !this.#wasSkewed) {
      this.#wasSkewed = true
      return true // the client has noted the time of the answer
    }
    if (!isExpired(failure) || this.#keysWereRenewed) return false
    this.#keysWereRenewed = true
    return this.#options.renewKeys()
  }
}

/** Waits a random time, which may be twice as long after each failure, or longer if the server asks for that. */
async function pause(failures: number, refusal: Refusal | undefined, signal: AbortSignal | undefined): Promise<void> {
  const longest = Math.min(LONGEST_PAUSE_MILLIS, FIRST_PAUSE_MILLIS * 2 ** failures)
  const asked = Math.min(LONGEST_PAUSE_MILLIS, refusal?.retryAfterMillis ?? 0)
  await sleep(asked + Math.random() * longest, undefined, { signal }).catch(() => {
    throw signal?.reason
  })
}
