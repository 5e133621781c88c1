import { setImmediate as nextTurn } from 'node:timers/promises'
import { storageClosed } from '../../database/closed.ts'
import type { Db } from '../../database/db.ts'
import { isStorageError, StorageError } from '../../errors.ts'
import { type Logger, loggedError } from '../../logger.ts'
import { inBackground } from '../../observability/background.ts'
import type { Embedding } from '../context.ts'
import type { Model } from './model.ts'
import { type PendingText, type Place, pendingAfter, pendingOf, START, type WrittenTexts } from './pending.ts'
import { type Embedded, storeVectors } from './write.ts'

/** How many written texts are remembered. Beyond, all texts are looked at again. */
const MAX_WRITTEN = 10_000
const FIRST_PAUSE_MILLIS = 1000
const LONGEST_PAUSE_MILLIS = 60_000
/** How often a caller who waits sees the model fail in a row: as often as a batch is halved until one text is left. */
const MAX_FAILURES = 12
/** A walk over all texts may take this part of the time. */
const WALK_SHARE = 0.01

/** Somebody who waits until nothing is left to embed. */
interface Waiter {
  resolve(): void
  reject(error: unknown): void
  onProgress: ((embedded: number) => void) | undefined
  embedded: number
}

interface EmbedderParts {
  db: Db
  model: Model
  logger: Logger
  /** Keeps a walk over all texts to one instance, so that no text is embedded twice. */
  lease: { take(): Promise<boolean>; release(): Promise<void> }
}

/**
 * Embeds texts in the background: first those that this process has written, then those that a walk over all texts finds. One
 * call of the model runs at a time. If it fails, the embedder pauses, and tries again with half as many texts, so that a text
 * that the model refuses is found, and left to the next walk.
 */
export class Embedder implements Embedding {
  readonly model: Model
  readonly mayCall = true
  /** The schema of pgvector, if it is enabled. */
  pgvector: string | undefined
  readonly #parts: EmbedderParts
  readonly #closing = new AbortController()
  #written: WrittenTexts[] = []
  #retry: PendingText[] = []
  /** Where the walk is. Undefined: it has ended. */
  #place: Place | undefined = START
  /** True if the walk may take a step: it was started, and has not ended. */
  #isWalking = false
  #walkMillis = 0
  #walkedAt = Number.NEGATIVE_INFINITY
  #size: number
  #failures = 0
  /** The keys of texts that the model refuses. They are left to the next walk. */
  readonly #refused = new Set<string>()
  #pause: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #waiters: Waiter[] = []

  constructor(parts: EmbedderParts) {
    this.#parts = parts
    this.model = parts.model
    this.#size = parts.model.batchSize
  }

  /** True if this process knows of texts that are not embedded, or has not looked at all of them yet. */
  get hasPending(): boolean {
    return this.#place !== undefined || this.#refused.size > 0 || this.#hasWork
  }

  get #hasWork(): boolean {
    return this.#written.length > 0 || this.#retry.length > 0 || this.#running !== undefined
  }

  /** Embeds texts that were written, soon. Call after the commit. */
  written(texts: WrittenTexts): void {
    if (this.#closing.signal.aborted) return
    if (this.#written.length < MAX_WRITTEN) this.#written.push(texts)
    else this.#startWalk()
    this.#wake()
  }

  /** Looks at all texts, unless a walk has just ended: it takes at most a hundredth of the time. Waits up to `millis`. */
  async walk(millis: number): Promise<void> {
    const isDue = performance.now() - this.#walkedAt >= this.#walkMillis / WALK_SHARE
    if (isDue && !this.#isWalking) this.#startWalk()
    this.#wake()
    const running = this.#running
    if (running === undefined) return
    let timer: NodeJS.Timeout | undefined
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, millis)
    })
    await Promise.race([running, limit])
    clearTimeout(timer)
  }

  /**
   * Embeds everything that is pending, now: also if the model has just failed, and if another instance does the same. Returns
   * the number of texts embedded while the call was waiting.
   *
   * @throws {EMBEDDING_FAILED} when the model fails, or refuses a text
   * @throws {ABORTED} when `signal` is aborted
   * @throws {CLOSED} when the storage is closed
   */
  async embedPending({
    signal,
    onProgress,
  }: {
    signal?: AbortSignal | undefined
    onProgress?: ((embedded: number) => void) | undefined
  }): Promise<number> {
    const closed = this.#closing.signal
    if (closed.aborted) throw closed.reason
    let waiter: Waiter | undefined
    const done = new Promise<void>((resolve, reject) => {
      waiter = { resolve, reject, onProgress, embedded: 0 }
      this.#waiters.push(waiter)
    })
    const abort = () =>
      waiter?.reject(
        new StorageError('ABORTED', 'The call was aborted by its signal: the texts are embedded in the background', {
          cause: signal?.reason,
        }),
      )
    signal?.addEventListener('abort', abort)
    if (signal?.aborted) abort()
    this.#startWalk()
    this.#failures = 0
    this.#resume()
    try {
      await done
      return waiter?.embedded ?? 0
    } finally {
      signal?.removeEventListener('abort', abort)
      this.#waiters = this.#waiters.filter((other) => other !== waiter)
    }
  }

  /** Ends what is under way. What is pending is found by the next storage. */
  async close(): Promise<void> {
    const closed = storageClosed()
    this.#closing.abort(closed)
    clearTimeout(this.#pause)
    for (const { reject } of this.#waiters) reject(closed)
    await this.#running
    await this.#parts.lease.release().catch(() => {}) // it expires by itself
  }

  #startWalk(): void {
    this.#place = { ...START } // another object: a step under way sees that the walk has begun anew
    this.#isWalking = true
    this.#walkMillis = 0
    this.#refused.clear()
  }

  /** Starts the loop, unless it runs, pauses or has ended. */
  #wake(): void {
    if (this.#running !== undefined || this.#pause !== undefined || this.#closing.signal.aborted) return
    this.#running = inBackground(() => this.#run())
  }

  #resume(): void {
    clearTimeout(this.#pause)
    this.#pause = undefined
    this.#wake()
  }

  async #run(): Promise<void> {
    await nextTurn() // what one turn of the event loop has written is embedded together
    const { signal } = this.#closing
    while (!signal.aborted) {
      try {
        if (!(await this.#step())) break
      } catch (error) {
        if (signal.aborted || !this.#goesOn(error)) break
      }
      await nextTurn() // others come between two steps
    }
    this.#running = undefined
    if (this.#pause === undefined && !signal.aborted) this.#settle()
  }

  /** Ends the waiting calls: nothing is left, except what the model refuses. */
  #settle(): void {
    for (const { resolve, reject } of this.#waiters) {
      if (this.#refused.size === 0) resolve()
      else reject(refusedTexts(this.#refused.size))
    }
  }

  /** Embeds one batch, or takes a step of the walk. Returns false if there is nothing to do. */
  async #step(): Promise<boolean> {
    const texts = this.#retry.splice(0, this.#size)
    while (texts.length < this.#size) {
      const [written] = this.#written
      if (written === undefined) break
      const limit = this.#size - texts.length
      const found = await pendingOf(this.#parts.db, written, this.model.key, limit)
      texts.push(...found)
      const last = found.at(-1)
      // More of the range may be pending: those of another owner with the same seq are among them.
      const isWhole = found.length < limit || last?.kind !== 'message' || !('sessionId' in written)
      if (isWhole) this.#written.shift()
      else this.#written[0] = { ...written, from: last.key.seq }
      if (!isWhole) break
    }
    if (texts.length > 0) return this.#embed(texts)
    return this.#isWalking ? this.#walkOn() : false
  }

  async #walkOn(): Promise<boolean> {
    const { db, lease } = this.#parts
    const begun = performance.now()
    const from = this.#place
    if (from === undefined) return false
    const { texts, next } = await pendingAfter(db, from, this.model.key, this.#size)
    this.#walkMillis += performance.now() - begun
    // Somebody who waits does not wait for another instance as well.
    if (texts.length > 0 && this.#waiters.length === 0 && !(await lease.take())) {
      this.#isWalking = false
      return false
    }
    // A new walk may have been started meanwhile.
    if (this.#place === from) this.#place = next
    if (this.#place === undefined) {
      this.#isWalking = false
      this.#walkedAt = performance.now()
      if (texts.length === 0) await lease.release()
    }
    return texts.length === 0 ? true : this.#embed(texts)
  }

  async #embed(texts: PendingText[]): Promise<boolean> {
    try {
      await this.#embedNow(texts)
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#keep(texts, error)
      throw error
    }
    this.#failures = 0
    this.#size = Math.min(this.#size * 2, this.model.batchSize)
    return true
  }

  /** Calls the model, then stores what it answers. Equal texts are embedded once. */
  async #embedNow(texts: readonly PendingText[]): Promise<void> {
    const { db, model } = this.#parts
    const prepared = texts.map((pending) => ({ pending, ...model.textOf(pending.text) }))
    const distinct = [...new Set(prepared.map(({ text }) => text).filter((text) => text !== ''))]
    const vectors = distinct.length > 0 ? await model.embed(distinct, 'document', this.#closing.signal) : []
    const byText = new Map(distinct.map((text, i) => [text, vectors[i] as Float32Array])) // as many vectors as texts
    const embedded: Embedded[] = prepared.map(({ pending, text, textHash }) => {
      return { pending, textHash, vector: byText.get(text) ?? null }
    })
    const stored = await storeVectors(db, model.key, embedded, this.pgvector)
    for (const waiter of this.#waiters) {
      waiter.embedded += stored
      try {
        waiter.onProgress?.(waiter.embedded)
      } catch (error) {
        waiter.reject(error) // the texts are embedded all the same
      }
    }
  }

  /** Keeps the texts of a failed call for half as large a call. A single text that the model refuses is left out. */
  #keep(texts: PendingText[], error: unknown): void {
    const [text] = texts
    const isRefused = texts.length === 1 && isStorageError(error, 'EMBEDDING_FAILED')
    if (isRefused) this.#refused.add(JSON.stringify(text?.key))
    else this.#retry.unshift(...texts)
    if (isStorageError(error, 'EMBEDDING_FAILED')) this.#size = Math.max(1, Math.ceil(texts.length / 2))
  }

  /** Returns true if the loop tries again at once, for a caller who waits. Otherwise tells the caller, logs it, and pauses. */
  #goesOn(error: unknown): boolean {
    this.#failures += 1
    const isModel = isStorageError(error, 'EMBEDDING_FAILED')
    if (this.#waiters.length > 0 && isModel && this.#failures < MAX_FAILURES && !isLate(error)) return true
    for (const { reject } of this.#waiters) reject(error)
    const millis = Math.min(FIRST_PAUSE_MILLIS * 2 ** (this.#failures - 1), LONGEST_PAUSE_MILLIS)
    this.#parts.logger.warn(`Texts could not be embedded. They are tried again in ${millis} ms`, {
      component: 'storage',
      code: 'EMBEDDING_FAILED',
      attempt: this.#failures,
      err: loggedError(isModel && error.cause !== undefined ? error.cause : error),
    })
    this.#pause = setTimeout(() => this.#resume(), millis).unref()
    return false
  }
}

/** Returns true if the model took too long: another call would take as long. */
function isLate(error: { message: string }): boolean {
  return error.message.includes('did not answer')
}

function refusedTexts(count: number): StorageError<'EMBEDDING_FAILED'> {
  const message = `The embedding model refuses ${count} of the texts: the others are embedded. The log says why`
  return new StorageError('EMBEDDING_FAILED', message, { retryable: true })
}
