import type { Db } from '../../database/db.ts'
import { StorageError } from '../../errors.ts'
import type { Staging } from './staging.ts'
import { readUsage } from './usage.ts'

/** How many puts of a store are under way at once. Each has one file open, and a path as its source a second one. */
export const PUTS_AT_ONCE = 64
/**
 * The same for one transaction. Its puts do not wait for the puts of others, which may wait for the lock that the
 * transaction holds.
 */
export const PUTS_AT_ONCE_IN_TRANSACTION = 8

/** The room in the quota is asked for again after this time: other processes use it, too. */
const ROOM_MILLIS = 1000

interface Limits {
  /** How many puts are under way at once. */
  puts: number
  /** In bytes. */
  maxBlobSize: number
  /** In bytes. */
  maxTotalSize: number
}

/**
 * Limits how many puts are under way at once, and how many bytes they have staged together. The puts beyond the first
 * limit have read nothing and hold no file. A put that would exceed the second waits for others to end: only the hash
 * of all its bytes tells if it takes room at all, so it cannot be refused before. The put that was admitted first never
 * waits, so one put always goes on.
 */
export class StagingGate {
  readonly #limit: number
  readonly #maxTotalSize: number
  /** What may be staged beyond the room that the quota leaves. */
  readonly #surplus: number
  readonly #running = new Set<Staging>()
  /** Staged by the running puts. */
  #bytes = 0
  #room = 0
  #roomUntil = 0
  #asking: Promise<void> | undefined
  /** Resolves when one of the running puts ends. */
  #end: Promise<void>
  #announceEnd: () => void = () => {}
  /** What admits each waiting put, in the order of their arrival. */
  readonly #waiting = new Map<Staging, () => void>()
  #lastEnd = 0

  constructor({ puts, maxBlobSize, maxTotalSize }: Limits) {
    this.#limit = puts
    this.#maxTotalSize = maxTotalSize
    this.#surplus = Math.min(maxBlobSize, maxTotalSize)
    this.#end = this.#nextEnd()
  }

  /** Waits until the put may begin: for `idleTimeoutMillis` at most after another put has ended. */
  async enter(staging: Staging): Promise<void> {
    staging.check()
    if (this.#running.size < this.#limit) {
      this.#running.add(staging)
      return
    }
    const turn = new Promise<void>((resolve) => this.#waiting.set(staging, resolve))
    await staging.wait(turn, this.#untilEnd)
  }

  /** Yields the chunks of the source, each once there is room for it. */
  async *chunks(db: Db, staging: Staging): AsyncGenerator<Uint8Array> {
    for await (const chunk of staging.chunks()) {
      if (!this.#take(staging, chunk.length, this.#surplus)) await this.#waitFor(db, staging, chunk.length)
      yield chunk
    }
  }

  /** Counts a chunk if all chunks together then have at most `most` bytes. Returns false if they would have more. */
  #take(staging: Staging, size: number, most: number): boolean {
    if (this.#bytes + size > most) return false
    this.#bytes += size
    staging.bytes += size
    return true
  }

  async #waitFor(db: Db, staging: Staging, size: number): Promise<void> {
    for (;;) {
      const [first] = this.#running
      if (this.#take(staging, size, first === staging ? Number.POSITIVE_INFINITY : this.#surplus)) return
      const end = this.#end // before the question, whose answer the end would make wrong
      if (performance.now() > this.#roomUntil) await staging.wait(this.#askRoom(db), this.#untilEnd)
      if (this.#take(staging, size, this.#surplus + this.#room)) return
      await staging.wait(end, this.#untilEnd)
    }
  }

  /** Asks once for all puts that wait. */
  #askRoom(db: Db): Promise<void> {
    this.#asking ??= readUsage(db)
      .then(({ bytes }) => {
        this.#room = Math.max(0, this.#maxTotalSize - bytes)
        this.#roomUntil = performance.now() + ROOM_MILLIS
      })
      .finally(() => {
        this.#asking = undefined
      })
    return this.#asking
  }

  readonly #untilEnd = { since: () => this.#lastEnd, timeout: (millis: number) => this.#timeout(millis) }

  /** Ends the put, or its wait, and admits the next one. */
  leave(staging: Staging): void {
    this.#waiting.delete(staging)
    if (!this.#running.delete(staging)) return
    this.#lastEnd = performance.now()
    this.#bytes -= staging.bytes
    this.#roomUntil = 0 // what the put has stored takes room now
    this.#announceEnd()
    this.#end = this.#nextEnd()
    const [longest] = this.#waiting
    if (longest === undefined) return
    const [next, admit] = longest
    this.#waiting.delete(next)
    this.#running.add(next)
    admit()
  }

  #nextEnd(): Promise<void> {
    return new Promise((resolve) => {
      this.#announceEnd = resolve
    })
  }

  #timeout(millis: number): StorageError {
    const message = `None of the ${this.#running.size} puts under way has ended for ${millis} ms (idleTimeoutMillis): put the blob again later`
    return new StorageError('TIMEOUT', message, { retryable: true })
  }
}
