import type { BreakerState } from '../store.ts'

const MAX_FAILURES = 3
const FIRST_DELAY_MILLIS = 1000
const LAST_DELAY_MILLIS = 30_000
const MAX_DIRTY_KEYS = 10_000

/** What the breaker needs of the server behind it. Each rejects if it was not done. */
export interface GuardedServer {
  /** Makes sure that it answers, and learns which server it is. */
  reach(): Promise<void>
  remove(keys: readonly string[]): Promise<number>
  /** Removes everything that was there when the call began. */
  removeAll(): Promise<void>
}

export interface CircuitBreakerOptions {
  /** Told of each change between `closed` and `open`, with what opened it. */
  onChange?: (state: 'closed' | 'open', cause: unknown) => void
  /** How many keys to remember while the server is out of reach; beyond, everything is removed. Default 10,000. */
  maxDirtyKeys?: number
}

/**
 * Keeps a server that fails from slowing everybody down, and one that comes back from answering with what is out of
 * date. It opens after three failures in a row, and at once if the connection was lost; open, nothing is waited for.
 * A key whose removal failed or was not waited for is dirty: it is not read before it is known to be removed. One probe,
 * after 1 s and then at doubling intervals up to 30 s, reaches the server and removes the dirty keys; only then does the
 * breaker close. While there are dirty keys the intervals stay at 1 s: other processes may read what they hold.
 */
export class CircuitBreaker {
  readonly #server: GuardedServer
  readonly #onChange: (state: 'closed' | 'open', cause: unknown) => void
  readonly #maxDirtyKeys: number
  /** Beyond its bound by one, it stands for every key there is. */
  readonly #dirty = new Set<string>()
  #state: BreakerState = 'open'
  /** The last change that was told. */
  #told: 'closed' | 'open' = 'open'
  #failures = 0
  /** Counts what a recovery under way cannot have made up for. */
  #setbacks = 0
  #delay = FIRST_DELAY_MILLIS
  #timer: NodeJS.Timeout | undefined
  #recovery: Promise<unknown> | undefined
  #stopped = false

  /** It begins open; {@link recover} closes it. */
  constructor(
    server: GuardedServer,
    { onChange = () => {}, maxDirtyKeys = MAX_DIRTY_KEYS }: CircuitBreakerOptions = {},
  ) {
    this.#server = server
    this.#onChange = onChange
    this.#maxDirtyKeys = maxDirtyKeys
  }

  get state(): BreakerState {
    return this.#state
  }

  get dirtyKeys(): number {
    return this.#dirty.size
  }

  /** Whether to ask the server about this key. */
  allows(key: string): boolean {
    return this.#state === 'closed' && (this.#dirty.size === 0 || !this.#isDirty(key))
  }

  /** A command that was allowed was answered. */
  succeeded(): void {
    this.#failures = 0
  }

  /** It was not. */
  failed(cause: unknown): void {
    if (++this.#failures >= MAX_FAILURES) this.trip(cause)
  }

  /** Removes the keys, or sees to it that they are removed before anybody reads them here; how many were removed. */
  async remove(keys: readonly string[]): Promise<number> {
    if (this.#state === 'open') {
      this.#remember(keys)
      // The server may only be slow, and well for others: what can be sent is sent, though nobody waits for it.
      this.#server.remove(keys).catch(() => {})
      return 0
    }
    try {
      return await this.#server.remove(keys)
    } catch (error) {
      this.#remember(keys)
      this.#setbacks++
      this.failed(error)
      this.#schedule()
      return 0
    }
  }

  /** Opens. */
  trip(cause: unknown): void {
    this.#setbacks++
    this.#failures = 0
    this.#state = 'open'
    this.#tell('open', cause)
    this.#schedule()
  }

  /** Probes now; what stood in the way, or undefined if the breaker is closed. */
  recover(): Promise<unknown> {
    this.#recovery ??= this.#probe().finally(() => {
      this.#recovery = undefined
      if (this.#state !== 'closed' || this.#dirty.size > 0) this.#schedule()
    })
    return this.#recovery
  }

  /** Opens for good, and leaves no timer. */
  stop(): void {
    this.#stopped = true
    this.#state = 'open'
    this.#unschedule()
  }

  async #probe(): Promise<unknown> {
    this.#unschedule()
    const setbacks = this.#setbacks
    const checkUndisturbed = () => {
      if (this.#stopped || setbacks !== this.#setbacks)
        throw new Error('The server failed again while it was recovering')
    }
    try {
      await this.#server.reach()
      checkUndisturbed()
      this.#state = 'half-open'
      if (this.#dirty.size > this.#maxDirtyKeys) await this.#server.removeAll()
      else if (this.#dirty.size > 0) await this.#server.remove([...this.#dirty])
      checkUndisturbed()
    } catch (error) {
      this.trip(error)
      return error
    }
    this.#dirty.clear()
    this.#delay = FIRST_DELAY_MILLIS
    this.#failures = 0
    this.#state = 'closed'
    this.#tell('closed', undefined)
    return undefined
  }

  #schedule(): void {
    if (this.#stopped || this.#timer || this.#recovery) return
    const delay = this.#dirty.size > 0 ? FIRST_DELAY_MILLIS : this.#delay
    this.#timer = setTimeout(() => this.recover(), delay).unref()
    this.#delay = Math.min(this.#delay * 2, LAST_DELAY_MILLIS)
  }

  #unschedule(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #remember(keys: readonly string[]): void {
    const wasClean = this.#dirty.size === 0
    for (const key of keys) {
      if (this.#dirty.size <= this.#maxDirtyKeys) this.#dirty.add(key)
    }
    if (wasClean && this.#timer) {
      this.#unschedule()
      this.#schedule()
    }
  }

  #isDirty(key: string): boolean {
    return this.#dirty.has(key) || this.#dirty.size > this.#maxDirtyKeys
  }

  #tell(state: 'closed' | 'open', cause: unknown): void {
    if (state === this.#told || this.#stopped) return
    this.#told = state
    this.#onChange(state, cause)
  }
}
