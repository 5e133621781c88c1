/**
 * At most one load of a key under way, and one more that waits for its end. A reader never joins a load under way:
 * another process may have written since it began, which nobody here can know. It joins the waiting one, which will
 * begin after every write that the reader can have heard of.
 */
export class SingleFlight<T> {
  /** Whether the load succeeds or not, these do not reject. */
  readonly #running = new Map<string, Promise<void>>()
  readonly #waiting = new Map<string, Promise<T>>()

  /** The result of `load`, or of the waiting load. `shared` tells it whether other readers may get its result, too. */
  run(key: string, load: (shared: boolean) => Promise<T>): Promise<T> {
    const waiting = this.#waiting.get(key)
    if (waiting) return waiting
    const running = this.#running.get(key)
    if (!running) return this.#begin(key, () => load(false))
    const next = running.then(() => {
      this.#waiting.delete(key)
      return this.#begin(key, () => load(true))
    })
    this.#waiting.set(key, next)
    return next
  }

  #begin(key: string, load: () => Promise<T>): Promise<T> {
    const result = load()
    const end = () => void this.#running.delete(key)
    this.#running.set(key, result.then(end, end))
    return result
  }
}
