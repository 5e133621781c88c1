import { setTimeout as sleep } from 'node:timers/promises'
import type { DatabaseCounters } from '../../observability/counters.ts'
import type { SqliteConnection } from './connection.ts'
import { isBusy, sqliteError } from './errors.ts'
import { type Waiting, WaitLimit } from './wait-limit.ts'

/** Maximum number of waiting writes that share one commit. Bounds how long the event loop is blocked. */
const GROUP_SIZE = 256

/** How long successive single writes may keep the event loop from turning. One commit may take longer. */
const MAX_HOLD_MILLIS = 4

/** A transaction that holds the file for longer is followed by a rest, or other processes would hardly ever get the file. */
const LONG_HOLD_MILLIS = 25
/** How much of that time the rest is. */
const REST_SHARE = 0.3
/** Longer than any pause between two attempts in whenUnlocked(): each process that waits tries in a rest of this length. */
const LONGEST_REST_MILLIS = 30
/** The longest pause between two attempts is up to half longer or shorter. */
const LONGEST_PAUSE_MILLIS = 16

/** Waits before the next attempt to take the lock, longer after each. */
function pauseAfter(attempts: number): Promise<void> {
  return sleep(Math.min(2 ** (attempts - 1), LONGEST_PAUSE_MILLIS) * (0.5 + Math.random()))
}

interface Write extends Waiting {
  run: () => unknown
  /** True if `run` is one statement, which SQLite undoes itself if it fails. */
  single: boolean
  resolve: (value: unknown) => void
}

/** A request for the writer, which is held from `granted` until `released`. */
interface WriterRequest extends Waiting {
  granted: () => void
  released: Promise<void>
}

export interface WriteQueueOptions {
  busyTimeoutMillis: number
  /** True if a commit costs an fsync, which is worth sharing. */
  durable: boolean
  /** Counts how long calls have waited. */
  counters?: Pick<DatabaseCounters, 'writeQueueWaitMs'>
}

/**
 * The queue for SQLite's only writer: first come, first served. The writer goes either to a transaction, which holds it
 * until its end, or to a group of writes. The group's writes became ready in the same turn of the event loop and share one
 * transaction, and so one fsync. Each write has its own error. No write is acknowledged before the commit.
 */
export class WriteQueue {
  readonly #writer: SqliteConnection
  readonly #busyTimeoutMillis: number
  readonly #durable: boolean
  readonly #counters: Pick<DatabaseCounters, 'writeQueueWaitMs'>
  readonly #waiting: (Write | WriterRequest)[] = []
  readonly #waitLimit: WaitLimit
  #draining = false
  /** True if the last commit was of a single write. */
  #lastWasSingle = false
  /** When a commit last waited for a turn of the event loop. */
  #yieldedAt = 0
  /** When a transaction last got the lock. */
  #begunAt = 0
  /** When the rest after a long transaction ends. */
  #restUntil = 0
  /** Since when another connection has held the lock, as far as attempts to take it have shown. */
  #lockedSince: number | undefined

  constructor(writer: SqliteConnection, { busyTimeoutMillis, durable, counters }: WriteQueueOptions) {
    this.#writer = writer
    this.#busyTimeoutMillis = busyTimeoutMillis
    this.#waitLimit = new WaitLimit(this.#waiting, busyTimeoutMillis)
    this.#durable = durable
    this.#counters = counters ?? { writeQueueWaitMs: 0 }
  }

  /** True if the writer is neither held nor waited for. */
  get isFree(): boolean {
    return !this.#draining
  }

  /** Runs one atomic write in its turn. Rejects with a StorageError if `run` throws. */
  async write<T>(run: () => T, { single }: { single: boolean }): Promise<T> {
    if (!this.#durable && this.isFree) {
      try {
        return this.#inTransaction({ run, single })
      } catch (error) {
        throw sqliteError(error, this.#writer.file)
      }
    }
    return new Promise<T>((resolve, reject) => {
      const fail = (error: unknown) => reject(sqliteError(error, this.#writer.file))
      const since = performance.now()
      // The cast holds because resolve gets what its own run returns
      this.#enqueue({ run, single, since, resolve: resolve as (value: unknown) => void, reject: fail })
    })
  }

  /** Waits for the writer. Returns the function that releases it. */
  acquire(): Promise<() => void> {
    return new Promise((resolve, reject) => {
      let release: () => void = () => {}
      const released = new Promise<void>((done) => {
        release = done
      })
      this.#enqueue({ granted: () => resolve(release), released, since: performance.now(), reject })
    })
  }

  /**
   * Calls `attempt`, and repeats it on a timer while another connection holds the lock, for `busyTimeoutMillis`. A wait
   * inside SQLite would stop the event loop. Fails with a StorageError if `attempt` throws.
   */
  whenUnlocked<T>(attempt: () => T): T | Promise<T> {
    return this.#attempt(attempt, () => performance.now())
  }

  /**
   * Begins the transaction of a caller that has the writer. Fails with a StorageError after `busyTimeoutMillis`, which the wait
   * for the writer since `since` is a part of, as far as the lock was held then.
   */
  async begin(since: number): Promise<void> {
    const begin = () => {
      this.#writer.control('BEGIN IMMEDIATE')
      this.#lockedSince = undefined
      this.#begunAt = performance.now()
      this.#waitLimit.held() // from now on it is the transaction that keeps the others waiting
    }
    await this.#attempt(begin, (error) => Math.max(since, this.#noteLock(error)))
  }

  /** Notes that another connection holds the lock. Returns since when it has. */
  #noteLock(error: unknown): number {
    this.#lockedSince ??= performance.now()
    this.#waitLimit.held(this.#lockedSince, () => sqliteError(error, this.#writer.file))
    return this.#lockedSince
  }

  /** Calls `attempt`. If another connection holds the lock, repeats it, and counts the wait from what `sinceOf` returns. */
  #attempt<T>(attempt: () => T, sinceOf: (error: unknown) => number): T | Promise<T> {
    try {
      return attempt()
    } catch (error) {
      if (isBusy(error)) return this.#repeat(attempt, sinceOf(error))
      throw sqliteError(error, this.#writer.file)
    }
  }

  async #repeat<T>(attempt: () => T, since: number): Promise<T> {
    const deadline = since + this.#busyTimeoutMillis
    for (let attempts = 1; ; attempts += 1) {
      await pauseAfter(attempts)
      try {
        return attempt()
      } catch (error) {
        if (!isBusy(error) || performance.now() > deadline) throw sqliteError(error, this.#writer.file)
      }
    }
  }

  #enqueue(entry: Write | WriterRequest): void {
    this.#waiting.push(entry)
    this.#waitLimit.added()
    if (this.#draining) return
    this.#draining = true
    this.#schedule()
  }

  /**
   * Starts the next commit at the end of this turn of the event loop, so that all writes of the turn join it. After a commit
   * of a single write it starts on nextTick instead: a program that awaits each write would pay a turn per write.
   */
  #schedule(): void {
    const restMillis = this.#restUntil - performance.now()
    if (!this.#durable) {
      void this.#serve()
    } else if (restMillis > 0) {
      setTimeout(() => void this.#serve(), restMillis)
    } else if (this.#lastWasSingle && performance.now() - this.#yieldedAt < MAX_HOLD_MILLIS) {
      process.nextTick(() => this.#serve())
    } else {
      setImmediate(() => {
        this.#yieldedAt = performance.now()
        void this.#serve()
      })
    }
  }

  /** Serves the head of the queue. Never rejects. */
  async #serve(): Promise<void> {
    const [head] = this.#waiting
    if (head !== undefined && 'granted' in head) {
      this.#waiting.shift()
      this.#waitLimit.held()
      const grantedAt = performance.now()
      this.#counters.writeQueueWaitMs += grantedAt - head.since
      head.granted()
      await head.released
      this.#waitLimit.released()
      const now = performance.now()
      const heldMillis = this.#begunAt < grantedAt ? 0 : now - this.#begunAt // it never got the lock
      if (heldMillis > LONG_HOLD_MILLIS) this.#restUntil = now + Math.min(heldMillis * REST_SHARE, LONGEST_REST_MILLIS)
    } else {
      await this.#commitWrites()
    }
    if (this.#waiting.length > 0) return this.#schedule()
    this.#draining = false
    this.#lockedSince = undefined // nobody tries any more, so nobody will see the lock released
  }

  /**
   * Commits the writes at the head of the queue. While another connection holds the lock they wait in the queue, where each has a
   * limit of its own.
   */
  async #commitWrites(): Promise<void> {
    for (let attempts = 1; ; attempts += 1) {
      const group = this.#takeGroup()
      const [only] = group
      if (only === undefined) break // all have waited for too long
      try {
        this.#lastWasSingle = group.length === 1
        if (group.length === 1) this.#commitOne(only)
        else this.#commitGroup(group)
        this.#lockedSince = undefined
        const now = performance.now()
        for (const { since } of group) this.#counters.writeQueueWaitMs += now - since
        break
      } catch (error) {
        this.#waiting.unshift(...group)
        this.#noteLock(error)
        await pauseAfter(attempts)
      }
    }
    this.#waitLimit.released()
  }

  #takeGroup(): Write[] {
    const group: Write[] = []
    while (group.length < GROUP_SIZE) {
      const [next] = this.#waiting
      if (next === undefined || 'granted' in next) break
      this.#waiting.shift()
      group.push(next)
    }
    return group
  }

  /** Settles a write. Throws, before it has done anything, if another connection holds the lock. */
  #commitOne(write: Write): void {
    try {
      write.resolve(this.#inTransaction(write))
    } catch (error) {
      if (isBusy(error)) throw error
      write.reject(error)
    }
  }

  /** Settles each write of the group. Throws, before it has done anything, if another connection holds the lock. */
  #commitGroup(group: Write[]): void {
    const done: { write: Write; value: unknown }[] = []
    try {
      this.#writer.control('BEGIN IMMEDIATE')
      for (const write of group) {
        try {
          done.push({ write, value: write.single ? write.run() : this.#inSavepoint(write) })
        } catch (error) {
          // A full disk ends the whole transaction: the writes before this one are undone too, those after it never ran.
          if (!this.#writer.inTransaction) throw error
          write.reject(error)
        }
      }
      this.#writer.control('COMMIT')
    } catch (error) {
      if (this.#writer.inTransaction) this.#writer.control('ROLLBACK')
      else if (isBusy(error)) throw error
      for (const write of group) write.reject(error) // no effect on writes that are settled already
      return
    }
    for (const { write, value } of done) write.resolve(value)
  }

  #inTransaction<T>(write: { run: () => T; single: boolean }): T {
    if (write.single) return write.run()
    this.#writer.control('BEGIN IMMEDIATE')
    try {
      const value = write.run()
      this.#writer.control('COMMIT')
      return value
    } catch (error) {
      if (this.#writer.inTransaction) this.#writer.control('ROLLBACK')
      throw error
    }
  }

  #inSavepoint(write: Write): unknown {
    this.#writer.control('SAVEPOINT grouped')
    try {
      const value = write.run()
      this.#writer.control('RELEASE grouped')
      return value
    } catch (error) {
      if (this.#writer.inTransaction) {
        this.#writer.control('ROLLBACK TO grouped')
        this.#writer.control('RELEASE grouped')
      }
      throw error
    }
  }
}
