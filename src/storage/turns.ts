import { setTimeout as sleep } from 'node:timers/promises'

/** How long a transaction waits for others at most. Then it runs beside them, as they may wait for it themselves. */
export const MAX_WAIT_MILLIS = 250

/**
 * Lets transactions that PostgreSQL has rolled back run again one by one, without others of this process. PostgreSQL keeps the
 * transaction that commits first: one that begins anew in the middle of others is nearly always too late again.
 */
export class Turns {
  readonly #running = new Set<Promise<unknown>>()
  /** The last of those that run alone, or wait for it. */
  #alone: Promise<unknown> | undefined

  /** Runs `work` after the transactions that run alone, or wait for it by now. Waits for at most `millis`. */
  async beside<T>(work: () => Promise<T>, millis?: number): Promise<T> {
    if (this.#alone !== undefined) await within([this.#alone], millis)
    return this.#run(work)
  }

  /** Runs `work` after all that run or wait by now, and lets later ones wait for it. Waits for at most `millis`. */
  async alone<T>(work: () => Promise<T>, millis?: number): Promise<T> {
    const before = [...this.#running, this.#alone]
    const turn = this.#run(async () => {
      await within(before, millis)
      return work()
    })
    this.#alone = turn
    try {
      return await turn
    } finally {
      if (this.#alone === turn) this.#alone = undefined
    }
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    const running = work()
    this.#running.add(running)
    // One that takes long would keep each of those that take turns waiting.
    const patience = setTimeout(() => this.#running.delete(running), MAX_WAIT_MILLIS).unref()
    try {
      return await running
    } finally {
      clearTimeout(patience)
      this.#running.delete(running)
    }
  }
}

/** Waits until all have ended in some way, at most `millis` and MAX_WAIT_MILLIS. */
async function within(others: readonly unknown[], millis = MAX_WAIT_MILLIS): Promise<void> {
  const waiting = new AbortController()
  const patience = sleep(Math.min(millis, MAX_WAIT_MILLIS), undefined, waiting).catch(() => {}) // aborted below
  await Promise.race([Promise.allSettled(others), patience])
  waiting.abort()
}
