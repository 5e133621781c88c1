/** A bounded number of permits, given in the order in which they were asked for. */
export class Slots {
  readonly #waiting: (() => void)[] = []
  #free: number

  constructor(count: number) {
    this.#free = count
  }

  /**
   * Waits for a permit, for `millis` at most. Returns the function that gives the permit back, which is safe to repeat, or
   * undefined if there was none in time.
   *
   * @throws {ABORTED} when `signal` is aborted: its reason
   */
  async acquire(millis: number, signal?: AbortSignal): Promise<(() => void) | undefined> {
    signal?.throwIfAborted()
    if (this.#free > 0) this.#free -= 1
    else if (!(await this.#turn(millis, signal))) return undefined
    let held = true
    return () => {
      if (held) this.#release()
      held = false
    }
  }

  #release(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#free += 1
  }

  #turn(millis: number, signal: AbortSignal | undefined): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
        const at = this.#waiting.indexOf(take)
        if (at >= 0) this.#waiting.splice(at, 1)
      }
      const take = () => {
        settle()
        resolve(true)
      }
      const abort = () => {
        settle()
        reject(signal?.reason)
      }
      const timer = setTimeout(() => {
        settle()
        resolve(false)
      }, millis)
      signal?.addEventListener('abort', abort)
      this.#waiting.push(take)
    })
  }
}
