/**
 * How long the work goes on after the first failure. A file that may not be removed fails at once, and a store that is out of
 * reach slowly.
 */
const PATIENCE_MILLIS = 10_000

/** Removals of which some may always fail: what cannot be removed must not keep the rest. */
export class Removals {
  #failure: { error: unknown; until: number } | undefined

  /** Runs `work`. If it fails, returns undefined while there is patience. */
  async try<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      this.#failure ??= { error, until: performance.now() + PATIENCE_MILLIS }
      if (performance.now() > this.#failure.until) throw this.#failure.error
      return undefined
    }
  }

  /** Throws the first failure, if there was one. */
  end(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}
