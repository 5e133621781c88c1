import { StorageError } from '../../errors.ts'
import { invalidInput } from '../../validation/input.ts'

/** What an import takes messages from. A wait for the next message ends when one of the signals is aborted. */
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

  /** True if a signal has ended it. */
  get isStopped(): boolean {
    return this.#isStopped
  }

  /** Number of messages taken. */
  get taken(): number {
    return this.#taken
  }

  /**
   * Takes the next message, without a promise if the source has none: most of an import is this call.
   *
   * @throws {INVALID_INPUT} when the source fails; its error is the cause
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

  /** Ends the source, unless it has ended itself. Does not wait for a source that a signal has interrupted. */
  async end(): Promise<void> {
    for (const signal of this.#signals) signal.removeEventListener('abort', this.#stop)
    if (this.#hasEnded) return
    try {
      const ending = Promise.resolve(this.#iterator.return?.())
      ending.catch(() => {}) // the import has ended; its own error says why
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
    // Not Promise.race with a promise of the signals, which would keep something of every message.
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
    // Whatever has one of these methods is iterated by it.
    const source = messages as Partial<Iterable<unknown> & AsyncIterable<unknown>>
    const iterator = source[Symbol.asyncIterator]?.() ?? source[Symbol.iterator]?.()
    if (iterator !== undefined) return iterator
  }
  throw invalidInput([{ path: 'messages', message: 'must be an iterable or an async iterable of messages' }])
}
