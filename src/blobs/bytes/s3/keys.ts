import { setTimeout as sleep } from 'node:timers/promises'
import type { S3Credentials } from '../../../config/types.ts'
import { StorageError } from '../../../errors.ts'
import type { SigningKeys } from './signature.ts'

/** Gives the keys that sign requests. */
export interface KeySource {
  /**
   * Returns keys that are valid at `now`, by the clock of the server. Throws the reason of the signal if that is aborted while
   * it waits.
   */
  get(now: Date, signal?: AbortSignal): Promise<SigningKeys>
  /** Asks for other keys, because the server says that these have expired. Returns false if there can be no others. */
  renew(): Promise<boolean>
  /** Ends the waits for keys. */
  close(): void
}

export const fixedKeys = (keys: SigningKeys): KeySource => ({
  get: async () => keys,
  renew: async () => false,
  close: () => {},
})

/** Keys that are valid for less than this are asked for again. */
const MARGIN_MILLIS = 60_000
/** Longest wait for the program's own function. */
const LONGEST_WAIT_MILLIS = 30_000

/** Asks the program for keys, again before they expire. Calls that wait at the same time share one answer. */
export class RenewedKeys implements KeySource {
  readonly #ask: () => Promise<S3Credentials>
  #keys: S3Credentials | undefined
  #asking: Promise<S3Credentials> | undefined
  readonly #closing = new AbortController()

  constructor(ask: () => Promise<S3Credentials>) {
    this.#ask = ask
  }

  async get(now: Date, signal?: AbortSignal): Promise<SigningKeys> {
    const expiration = this.#keys?.expiration?.getTime() ?? Number.POSITIVE_INFINITY
    if (this.#keys && expiration - now.getTime() > MARGIN_MILLIS) return this.#keys
    this.#asking ??= this.#answer().finally(() => {
      this.#asking = undefined
    })
    return orAborted(this.#asking, signal)
  }

  async renew(): Promise<boolean> {
    this.#keys = undefined
    return true
  }

  close(): void {
    this.#closing.abort()
  }

  async #answer(): Promise<S3Credentials> {
    const stop = new AbortController()
    const signal = AbortSignal.any([stop.signal, this.#closing.signal])
    const late = sleep(LONGEST_WAIT_MILLIS, undefined, { signal }).then(() => {
      throw failed('gave nothing for 30 s', { retryable: true })
    })
    late.catch(() => {}) // it is stopped below
    try {
      const keys: unknown = await Promise.race([this.#ask(), late])
      if (!isKeys(keys)) throw failed('did not return { accessKeyId, secretAccessKey }')
      this.#keys = keys
      return keys
    } catch (cause) {
      throw cause instanceof StorageError ? cause : failed('failed', { cause, retryable: true })
    } finally {
      stop.abort()
    }
  }
}

/** Waits for what others may wait for as well, until the signal is aborted: then throws its reason. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  let abort = () => {}
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason)
  })
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort)
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function isKeys(value: unknown): value is S3Credentials {
  const text = (name: string) => {
    const found: unknown = Reflect.get(Object(value), name)
    return typeof found === 'string' && found !== ''
  }
  return text('accessKeyId') && text('secretAccessKey')
}

const failed = (what: string, options: { cause?: unknown; retryable?: boolean } = {}) =>
  new StorageError('CONNECTION_FAILED', `The function blobStore.credentials ${what}`, options)
