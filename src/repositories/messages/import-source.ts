import { StorageError } from '../../errors.ts'
import { invalidInput } from '../../validation/input.ts'

/** The source of an import's messages. If one of the signals is aborted, the source stops, also during a wait for a message. */
export class ImportSource {
  readonly #iterator: Iterator<unknown> | AsyncIterator<unknown>
  readonly #signals: readonly AbortSignal[]
  #taken = 0
  #hasEnded = false
  #isStopped = false
  #wake: ((end: IteratorResult<unknown>) => void) | undefined

  /** @throws {INVALID_INPUT} when `messages` cannot be iterated */
  constructor(messages: unknown, signals: readonly AbortSignal[]) {
    this.#iterator = iteratorOf(messages)
    this.#signals = signals
    for (const signal of signals) signal.addEventListener('abort', this.#stop)
    if (signals.some(({ aborted }) => aborted)) this.#stop()
  }

  /** True if a signal has stopped the source. */
  get isStopped(): boolean {
    return this.#isStopped
  }

  /** Number of messages taken. */
  get taken(): number {
    return this.#taken
  }

  /**
   * Takes the next message. Returns no promise if the source is synchronous: a promise for each message would slow the import
   * down. A StorageError of the source is thrown as it is.
   *
   * @throws {INVALID_INPUT} when the source fails with another error, which is the cause
   */
  next(): IteratorResult<unknown> | Promise<IteratorResult<unknown>> {
    if (this.#isStopped) return END
    try {
      const step = this.#iterator.next()
      return 'then' in step ? this.#waitFor(step) : this.#noted(step)
    } catch (error) {
      throw this.#failure(error)
    }
  }

  /** Ends the source, unless it has ended by itself. Does not wait for a source that a signal has stopped. */
  async end(): Promise<void> {
    for (const signal of this.#signals) signal.removeEventListener('abort', this.#stop)
    if (this.#hasEnded) return
    try {
      const ending = Promise.resolve(this.#iterator.return?.())
      ending.catch(() => {}) // ignored: the import has ended, and if it failed, its own error says why
      if (!this.#isStopped) await ending
    } catch {
      // as above
    }
  }

  readonly #stop = () => {
    this.#isStopped = true
    this.#wake?.(END)
  }

  async #waitFor(step: PromiseLike<IteratorResult<unknown>>): Promise<IteratorResult<unknown>> {
    // Not Promise.race with one promise for the signals: that promise would hold on to every message until the import ends.
    const taken = new Promise<IteratorResult<unknown>>((resolve, reject) => {
      this.#wake = resolve
      step.then(resolve, reject)
    })
    try {
      return this.#noted(await taken)
    } catch (error) {
      throw this.#failure(error)
    }
  }

  #noted(step: IteratorResult<unknown>): IteratorResult<unknown> {
    if (!step.done) this.#taken++
    else if (!this.#isStopped) this.#hasEnded = true
    return step
  }

  #failure(error: unknown): unknown {
    this.#hasEnded = true
    if (error instanceof StorageError) return error
    return invalidInput([{ path: `messages.${this.#taken}`, message: 'cannot be taken: its source has failed' }], error)
  }
}

const END: IteratorResult<unknown> = { done: true, value: undefined }

function iteratorOf(messages: unknown): Iterator<unknown> | AsyncIterator<unknown> {
  if (typeof messages === 'object' && messages !== null) {
    // The cast only asks whether the object has one of the two methods.
    const source = messages as Partial<Iterable<unknown> & AsyncIterable<unknown>>
    const iterator = source[Symbol.asyncIterator]?.() ?? source[Symbol.iterator]?.()
    if (iterator !== undefined) return iterator
  }
  throw invalidInput([{ path: 'messages', message: 'must be an iterable or an async iterable of messages' }])
}
