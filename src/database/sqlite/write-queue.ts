import { setTimeout as sleep } from 'node:timers/promises'
import type { SqliteConnection } from './connection.ts'
import { isBusy, sqliteError } from './errors.ts'

/** How many waiting writes share one commit; bounds how long the event loop is held. */
const GROUP_SIZE = 256

/** How long writes that follow one another may keep the event loop from turning; or one commit, if that takes longer. */
const HELD_MILLIS = 4

interface Write {
  run: () => unknown
  /** Whether `run` is one statement, which SQLite undoes by itself when it fails. */
  single: boolean
  resolve: (value: unknown) => void
  reject: (error: unknown) => void
}

/** A place in the queue that holds the writer until `release` is called. */
interface Turn {
  granted: () => void
  released: Promise<void>
}

/**
 * The gate to SQLite's one writer: first come, first served. A turn is either a transaction, which holds the writer
 * until it ends, or a group of writes that were ready in the same turn of the event loop and share one transaction and
 * so one fsync. Each write has its own error; none is acknowledged before the commit.
 */
export class WriteQueue {
  readonly #writer: SqliteConnection
  readonly #busyTimeoutMillis: number
  readonly #durable: boolean
  readonly #waiting: (Write | Turn)[] = []
  #draining = false
  /** Whether the last commit was of one write. */
  #alone = false
  /** When the event loop last turned for a commit. */
  #turnedAt = 0

  /** `durable` says that a commit costs an fsync, which is worth sharing. */
  constructor(
    writer: SqliteConnection,
    { busyTimeoutMillis, durable }: { busyTimeoutMillis: number; durable: boolean },
  ) {
    this.#writer = writer
    this.#busyTimeoutMillis = busyTimeoutMillis
    this.#durable = durable
  }

  /** Whether nobody holds or awaits the writer. */
  get free(): boolean {
    return !this.#draining
  }

  /** Runs statements of one atomic write when their turn comes. What fails does so by the promise, as a StorageError. */
  async write<T>(run: () => T, { single }: { single: boolean }): Promise<T> {
    if (!this.#durable && this.free) {
      try {
        return this.#inTransaction({ run, single })
      } catch (error) {
        throw sqliteError(error)
      }
    }
    return new Promise<T>((resolve, reject) => {
      const fail = (error: unknown) => reject(sqliteError(error))
      // resolve takes what run returns: the queue only keeps them together.
      this.#enqueue({ run, single, resolve: resolve as (value: unknown) => void, reject: fail })
    })
  }

  /** Waits for the writer and keeps it until the returned function is called. */
  acquire(): Promise<() => void> {
    return new Promise((resolve) => {
      let release: () => void = () => {}
      const released = new Promise<void>((done) => {
        release = done
      })
      this.#enqueue({ granted: () => resolve(release), released })
    })
  }

  /** Runs `attempt` again on a timer while another connection holds the lock: a wait inside SQLite would stop the event loop. */
  async whenUnlocked<T>(attempt: () => T): Promise<T> {
    let deadline: number | undefined
    for (let wait = 1; ; wait = Math.min(wait * 2, 16)) {
      try {
        return attempt()
      } catch (error) {
        const now = performance.now()
        deadline ??= now + this.#busyTimeoutMillis
        if (!isBusy(error) || now > deadline) throw error
      }
      await sleep(wait * (0.5 + Math.random()))
    }
  }

  #enqueue(entry: Write | Turn): void {
    this.#waiting.push(entry)
    if (this.#draining) return
    this.#draining = true
    this.#schedule()
  }

  /**
   * What becomes ready in this turn of the event loop is to join the same commit. After a write without company only what
   * is ready now is waited for: a program that awaits each of its writes would pay for a turn at each.
   */
  #schedule(): void {
    if (!this.#durable) void this.#serve()
    else if (this.#alone && performance.now() - this.#turnedAt < HELD_MILLIS) process.nextTick(() => this.#serve())
    else {
      setImmediate(() => {
        this.#turnedAt = performance.now()
        void this.#serve()
      })
    }
  }

  /** Never rejects. */
  async #serve(): Promise<void> {
    const [head] = this.#waiting
    if (head !== undefined && 'granted' in head) {
      this.#waiting.shift()
      head.granted()
      await head.released
    } else {
      const group = this.#takeGroup()
      this.#alone = group.length === 1
      await this.#commitTogether(group)
    }
    if (this.#waiting.length > 0) this.#schedule()
    else this.#draining = false
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

  async #commitTogether(group: Write[]): Promise<void> {
    const [only] = group
    if (only !== undefined && group.length === 1) {
      try {
        only.resolve(await this.whenUnlocked(() => this.#inTransaction(only)))
      } catch (error) {
        only.reject(error)
      }
      return
    }
    const done: { write: Write; value: unknown }[] = []
    try {
      await this.whenUnlocked(() => this.#writer.control('BEGIN IMMEDIATE'))
      for (const write of group) {
        try {
          done.push({ write, value: write.single ? write.run() : this.#inSavepoint(write) })
        } catch (error) {
          // A full disk ends the whole transaction: those before it are undone with it, and those after it never ran.
          if (!this.#writer.inTransaction) throw error
          write.reject(error)
        }
      }
      this.#writer.control('COMMIT')
    } catch (error) {
      if (this.#writer.inTransaction) this.#writer.control('ROLLBACK')
      for (const write of group) write.reject(error) // a promise settled before keeps what it has
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
