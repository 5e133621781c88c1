/** Beyond it every key counts as dirty: each read compares its key with each prefix. */
const MAX_PREFIXES = 100

/**
 * The keys, and the prefixes of keys, whose removal the server has not confirmed. If there are more than a bound, every key
 * counts as dirty, and no further key is remembered.
 */
export class DirtyKeys {
  readonly #max: number
  readonly #keys = new Set<string>()
  readonly #prefixes = new Set<string>()

  constructor(max: number) {
    this.#max = max
  }

  /** The number of keys and prefixes. */
  get size(): number {
    return this.#keys.size + this.#prefixes.size
  }

  get keys(): string[] {
    return [...this.#keys]
  }

  /** The empty prefix alone, if every key counts as dirty. */
  get prefixes(): string[] {
    return this.#areAll ? [''] : [...this.#prefixes]
  }

  get #areAll(): boolean {
    return this.#keys.size > this.#max || this.#prefixes.size > MAX_PREFIXES
  }

  add(keys: readonly string[]): void {
    for (const key of keys) {
      if (this.#keys.size <= this.#max) this.#keys.add(key)
    }
  }

  addPrefix(prefix: string): void {
    if (this.#prefixes.size <= MAX_PREFIXES) this.#prefixes.add(prefix)
  }

  has(key: string): boolean {
    if (this.#keys.has(key) || this.#areAll) return true
    for (const prefix of this.#prefixes) if (key.startsWith(prefix)) return true
    return false
  }

  clear(): void {
    this.#keys.clear()
    this.#prefixes.clear()
  }
}
