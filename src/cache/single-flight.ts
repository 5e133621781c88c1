/**
 * Runs at most one load per key at a time, and queues at most one more. A reader never joins the running load: another
 * process may have written since that load began, unnoticed here. It joins the queued load, which begins after every
 * write that the reader can know of.
 */
export class SingleFlight<T> {
  /** Resolves when the load ends; never rejects. */
  readonly #running = new Map<string, Promise<void>>()
  readonly #queued = new Map<string, Promise<T>>()

  /** Returns the result of `load` or of the queued load. `shared` is true if several readers may get the result. */
  run(key: string, load: (shared: boolean) => Promise<T>): Promise<T> {
    const queued = this.#queued.get(key)
    if (queued) return queued
    const running = this.#running.get(key)
    if (!running) return this.#begin(key, () => load(false))
    const next = running.then(() => {
      this.#queued.delete(key)
      return this.#begin(key, () => load(true))
    })
    this.#queued.set(key, next)
    return next
  }

  #begin(key: string, load: () => Promise<T>): Promise<T> {
    const result = load()
    const end = () => void this.#running.delete(key)
    this.#running.set(key, result.then(end, end))
    return result
  }
}
