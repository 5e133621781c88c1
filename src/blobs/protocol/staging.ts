import { StorageError } from '../../errors.ts'
import type { BlobSource } from '../input/source.ts'

const IDLE_MILLIS = 60_000

interface StagingOptions {
  signal?: AbortSignal | undefined
  /** In milliseconds. Default 60,000. */
  idleTimeoutMillis?: number | undefined
}

interface WaitOptions {
  /** Returns the time from which `idleTimeoutMillis` count, if it is after the beginning of the wait. */
  since?: () => number
  /** Makes the error for a wait of so many milliseconds. */
  timeout: (millis: number) => StorageError
}

/** A put until its bytes are staged. Everything that it waits for has a bound, and `stop` ends the wait. */
export class Staging {
  /** How many bytes the put has staged. */
  bytes = 0
  /** Aborted when the put is stopped, with the error as its reason. */
  readonly signal: AbortSignal
  /** Resolves when the put has ended in any way. */
  readonly ended: Promise<void>
  readonly #source: BlobSource
  readonly #stop = new AbortController()
  readonly #given: AbortSignal | undefined
  readonly #idleMillis: number
  #stopped: StorageError | undefined
  /** Rejects what the put waits for now. */
  #interrupt: ((error: StorageError) => void) | undefined
  #resolveEnded: () => void = () => {}

  constructor(source: BlobSource, { signal, idleTimeoutMillis = IDLE_MILLIS }: StagingOptions) {
    this.#source = source
    this.#given = signal
    this.signal = this.#stop.signal
    this.#idleMillis = idleTimeoutMillis
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
    if (signal?.aborted) this.#abort()
    else signal?.addEventListener('abort', this.#abort)
  }

  /** Makes the put fail with this error, unless its bytes are stored already, and gives its source up. */
  stop(error: StorageError): void {
    this.#stopped ??= error
    this.#source.destroy?.()
    this.#interrupt?.(this.#stopped)
    this.#stop.abort(this.#stopped)
  }

  /** Throws the error with which the put was stopped, if it was. */
  check(): void {
    if (this.#stopped) throw this.#stopped
  }

  /** Lets go of the signal. */
  end(): void {
    this.#given?.removeEventListener('abort', this.#abort)
    this.#resolveEnded()
  }

  /** Yields the chunks of the source. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    const { source, destroy } = this.#source
    if (destroy === undefined) return yield* source // the bytes are in memory: there is nothing to wait for
    const chunks = source[Symbol.asyncIterator]()
    let done: boolean | undefined = false
    try {
      for (;;) {
        const next = await this.wait(chunks.next(), { timeout })
        done = next.done
        if (next.done) return
        yield next.value
      }
    } finally {
      if (!done) destroy()
    }
  }

  /** Waits for a promise until the put is stopped, and stops the put itself after `idleTimeoutMillis`. */
  async wait<T>(awaited: Promise<T>, { since, timeout }: WaitOptions): Promise<T> {
    this.check()
    let timer: NodeJS.Timeout | undefined
    const watch = (millis: number) => {
      timer = setTimeout(() => {
        const left = since ? since() + this.#idleMillis - performance.now() : 0
        if (left > 0) watch(left)
        else this.stop(timeout(this.#idleMillis))
      }, millis)
    }
    try {
      return await new Promise<T>((resolve, reject) => {
        this.#interrupt = reject
        watch(this.#idleMillis)
        awaited.then(resolve, reject)
      })
    } finally {
      clearTimeout(timer)
      this.#interrupt = undefined
    }
  }

  readonly #abort = () =>
    this.stop(new StorageError('ABORTED', 'The put was aborted by its signal', { cause: this.#given?.reason }))
}

function timeout(millis: number): StorageError {
  const message = `The source of the put has given nothing for ${millis} ms (idleTimeoutMillis): nothing is stored`
  return new StorageError('TIMEOUT', message)
}

/** Stops puts because the storage is being closed. */
export function stopAll(stagings: Iterable<Staging>): void {
  const closed = () => new StorageError('CLOSED', 'The storage was closed before the put had read its source')
  for (const staging of stagings) staging.stop(closed())
}
