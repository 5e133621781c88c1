import { messageOf } from '../../caught.ts'
import type { Logger } from '../../logger.ts'

/** Logs one line when Redis goes out of reach, and one when it is back. */
export class OutageReport {
  readonly #logger: Logger | undefined
  readonly #isStrict: boolean
  /** True if the last message logged says that Redis is out of reach. */
  #isOpen = false
  #cause: unknown

  constructor(logger: Logger | undefined, isStrict: boolean) {
    this.#logger = logger
    this.#isStrict = isStrict
  }

  /** Why Redis went out of reach last. */
  get cause(): unknown {
    return this.#cause
  }

  report(state: 'closed' | 'open', name: string, cause: unknown): void {
    if (state === 'open') {
      this.#cause = cause
      const reason = messageOf(cause)
      const effect = this.#isStrict
        ? 'reads go to the database, and writes to cached rows fail'
        : 'reads go to the database'
      const details = { component: 'cache', code: 'CACHE_OUT_OF_REACH', reason } as const
      this.#logger?.warn(`${name} is out of reach: ${effect}`, details)
    } else if (this.#isOpen) {
      const details = { component: 'cache', code: 'CACHE_BACK' } as const
      this.#logger?.info(`${name} is back: reads go through the cache`, details)
    }
    this.#isOpen = state === 'open'
  }
}
