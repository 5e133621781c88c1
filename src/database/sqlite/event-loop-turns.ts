import { setImmediate as turn } from 'node:timers/promises'

/** How long reads may follow each other without a turn of the event loop. */
const MAX_MILLIS = 10

/**
 * Lets the event loop turn between reads. SQLite answers at once: timers, sockets and signals would have to wait for the end of
 * a loop that awaits nothing but reads.
 */
export class EventLoopTurns {
  /** When the first read since the last turn began. */
  #since: number | undefined
  readonly #turned = () => {
    this.#since = undefined
  }

  /** Notes a read. Returns true if it has to wait for a turn first. */
  isDue(): boolean {
    if (this.#since !== undefined) return performance.now() - this.#since > MAX_MILLIS
    this.#since = performance.now()
    setImmediate(this.#turned)
    return false
  }

  next(): Promise<void> {
    return turn()
  }
}
