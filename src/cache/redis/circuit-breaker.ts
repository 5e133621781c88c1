import type { BreakerState } from '../store.ts'
import { DirtyKeys } from './dirty-keys.ts'

const MAX_FAILURES = 3
const FIRST_DELAY_MILLIS = 1000
const LAST_DELAY_MILLIS = 30_000
const MAX_DIRTY_KEYS = 10_000

/** What the breaker needs of the server behind it. Every call rejects if it failed. */
export interface GuardedServer {
  /** Connects if necessary, checks that the server works, and learns which run of the server this is. */
  reach(): Promise<void>
  /** Removes the keys. Returns the number of keys that had an entry. */
  remove(keys: readonly string[]): Promise<number>
  /** Marks the keys as about to be written. */
  announce(keys: readonly string[]): Promise<unknown>
  /** Like `remove`, with a longer timeout, for removals that no call waits for. */
  removeEventually(keys: readonly string[]): Promise<number>
  /**
   * Removes every key that begins with the prefix and exists throughout the call. Returns the number of keys that had an
   * entry.
   */
  clear(prefix: string): Promise<number>
  /** Like `clear`, with a longer timeout. */
  clearEventually(prefix: string): Promise<number>
  /** Rejects if the server answers more slowly than a call may wait. */
  checkPace(): Promise<void>
}

export interface CircuitBreakerOptions {
  /** Called at each change between `closed` and `open`, with the error that opened the breaker. */
  onChange?: (state: 'closed' | 'open', cause: unknown) => void
  /** Number of dirty keys to remember. If there are more, recovery removes every key of the server. Default 10,000. */
  maxDirtyKeys?: number
  /** Longest interval between two probes, in milliseconds. Default 30,000. */
  maxDelayMillis?: number
}

/**
 * Keeps a failing server from slowing every call, and a recovered server from answering with stale rows.
 *
 * The breaker opens after three failures in a row, and at once if the connection was lost. While it is open, no call
 * waits for the server. A key is dirty if its removal, or that of all keys with its prefix, failed or was not awaited:
 * it is not read until its removal is confirmed. A probe reaches the server and removes the dirty keys, and the breaker
 * closes if the server then answers within the command timeout. The first probe runs after 1 s, the next ones at doubling
 * intervals up to 30 s. While there are dirty keys the interval stays at 1 s: other processes may read the stale rows behind
 * them.
 */
export class CircuitBreaker {
  readonly #server: GuardedServer
  readonly #onChange: (state: 'closed' | 'open', cause: unknown) => void
  readonly #maxDelayMillis: number
  readonly #dirty: DirtyKeys
  #state: BreakerState = 'open'
  /** The state that `onChange` was last called with. */
  #reported: 'closed' | 'open' = 'open'
  #failures = 0
  /** Number of trips and failed removals. A probe that sees the number change must not close the breaker. */
  #setbacks = 0
  #delay = FIRST_DELAY_MILLIS
  #timer: NodeJS.Timeout | undefined
  #recovery: Promise<unknown> | undefined
  #stopped = false

  /** Starts open; {@link recover} closes it. */
  constructor(
    server: GuardedServer,
    {
      onChange = () => {},
      maxDirtyKeys = MAX_DIRTY_KEYS,
      maxDelayMillis = LAST_DELAY_MILLIS,
    }: CircuitBreakerOptions = {},
  ) {
    this.#server = server
    this.#onChange = onChange
    this.#dirty = new DirtyKeys(maxDirtyKeys)
    this.#maxDelayMillis = maxDelayMillis
  }

  get state(): BreakerState {
    return this.#state
  }

  /** The number of dirty keys and prefixes. */
  get dirtyKeys(): number {
    return this.#dirty.size
  }

  /** Returns true if the server may be asked about this key. */
  allows(key: string): boolean {
    return this.#state === 'closed' && (this.#dirty.size === 0 || !this.#dirty.has(key))
  }

  /** Notes that an allowed command was answered. */
  succeeded(): void {
    this.#failures = 0
  }

  /** Notes that an allowed command failed. */
  failed(cause: unknown): void {
    if (++this.#failures >= MAX_FAILURES) this.trip(cause)
  }

  /**
   * Removes the keys, or marks them as dirty: no read of this process sees them again before they are removed. Returns
   * the number of keys removed. Never rejects. Safe to repeat.
   */
  async remove(keys: readonly string[]): Promise<number> {
    if (this.#state === 'open') {
      this.#remember(() => this.#dirty.add(keys))
      // Send without waiting: the server may only be slow, and other processes may still read from it.
      this.#server.removeEventually(keys).catch(() => {})
      return 0
    }
    try {
      return await this.#server.remove(keys)
    } catch (error) {
      this.#failedToTell(error, () => this.#dirty.add(keys))
      return 0
    }
  }

  /**
   * Removes the keys that begin with the prefix, or marks the prefix as dirty: no read of this process sees such a key again
   * before the prefix is cleared. Returns the number of keys removed. Never rejects. Safe to repeat.
   */
  async clear(prefix: string): Promise<number> {
    const remember = () => this.#dirty.addPrefix(prefix)
    if (this.#state === 'open') {
      this.#remember(remember)
      return 0
    }
    try {
      return await this.#server.clear(prefix)
    } catch (error) {
      this.#failedToTell(error, remember)
      return 0
    }
  }

  /**
   * Announces writes to the keys. If the server cannot be told, marks the keys as dirty and returns the reason. Never
   * rejects.
   */
  async announce(keys: readonly string[]): Promise<unknown> {
    if (this.#state === 'open') {
      this.#remember(() => this.#dirty.add(keys))
      return new Error('The circuit breaker is open')
    }
    try {
      await this.#server.announce(keys)
      return undefined
    } catch (error) {
      this.#failedToTell(error, () => this.#dirty.add(keys))
      return error
    }
  }

  #failedToTell(error: unknown, remember: () => void): void {
    this.#remember(remember)
    this.#setbacks++
    this.failed(error)
    this.#schedule()
  }

  /** Opens the breaker. */
  trip(cause: unknown): void {
    this.#setbacks++
    this.#failures = 0
    this.#state = 'open'
    this.#report('open', cause)
    this.#schedule()
  }

  /** Probes now. Returns the error that kept the breaker open, or undefined if the breaker is closed. */
  recover(): Promise<unknown> {
    this.#recovery ??= this.#probe().finally(() => {
      this.#recovery = undefined
      if (this.#state !== 'closed' || this.#dirty.size > 0) this.#schedule()
    })
    return this.#recovery
  }

  /** Opens the breaker for good and clears its timer. Safe to repeat. */
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
      await this.#removeDirty()
      checkUndisturbed()
      this.#dirty.clear()
      await this.#server.checkPace()
      checkUndisturbed()
    } catch (error) {
      this.trip(error)
      return error
    }
    this.#delay = FIRST_DELAY_MILLIS
    this.#failures = 0
    this.#state = 'closed'
    this.#report('closed', undefined)
    return undefined
  }

  async #removeDirty(): Promise<void> {
    const { keys, prefixes } = this.#dirty
    for (const prefix of prefixes) await this.#server.clearEventually(prefix)
    if (keys.length > 0 && prefixes[0] !== '') await this.#server.removeEventually(keys)
  }

  #schedule(): void {
    if (this.#stopped || this.#timer || this.#recovery) return
    const delay = this.#dirty.size > 0 ? FIRST_DELAY_MILLIS : this.#delay
    this.#timer = setTimeout(() => this.recover(), delay).unref()
    this.#delay = Math.min(this.#delay * 2, this.#maxDelayMillis)
  }

  #unschedule(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #remember(remember: () => void): void {
    const wasClean = this.#dirty.size === 0
    remember()
    if (wasClean && this.#timer) {
      this.#unschedule()
      this.#schedule()
    }
  }

  #report(state: 'closed' | 'open', cause: unknown): void {
    if (state === this.#reported || this.#stopped) return
    this.#reported = state
    this.#onChange(state, cause)
  }
}
