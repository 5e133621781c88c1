/** How long a mark counts if nobody renews it: as long as others bypass a row after its writer has died. */
export const MARK_MILLIS = 30_000

/**
 * The rows that writes of this process are about to change. The mark of a process on a key stays until the last of its
 * writes to the key has ended, and is renewed for a write that takes long.
 */
export class Marks {
  readonly #writes = new Map<string, number>()
  readonly #renew: (keys: readonly string[]) => void
  #timer: NodeJS.Timeout | undefined

  /** `renew` sends the marks once more. */
  constructor(renew: (keys: readonly string[]) => void) {
    this.#renew = renew
  }

  /** Notes that a write to each key has begun. */
  begin(keys: readonly string[]): void {
    for (const key of keys) this.#writes.set(key, (this.#writes.get(key) ?? 0) + 1)
    this.#timer ??= setInterval(() => this.#renew([...this.#writes.keys()]), MARK_MILLIS / 3).unref()
  }

  /** Notes that a write to each key has ended, if one had begun. Returns true if a write to each had. */
  end(keys: readonly string[]): boolean {
    const allHad = keys.every((key) => this.#writes.has(key))
    for (const key of keys) {
      const left = (this.#writes.get(key) ?? 0) - 1
      if (left > 0) this.#writes.set(key, left)
      else this.#writes.delete(key)
    }
    if (this.#writes.size === 0) this.stop()
    return allHad
  }

  /** Returns true if a write to the key is under way. */
  has(key: string): boolean {
    return this.#writes.has(key)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
