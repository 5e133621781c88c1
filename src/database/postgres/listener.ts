import { randomUUID } from 'node:crypto'
import type { ResolvedPostgres } from '../../config/resolved.ts'
import { StorageError } from '../../errors.ts'
import type { Query } from '../query.ts'
import { type ConnectionEvents, PostgresConnection } from './connection.ts'

/** Interval between two beats. */
const BEAT_MILLIS = 1000
/** How long after a beat was sent it proves that no earlier notice is missing. */
const CURRENT_MILLIS = 2000
/** Number of beats that may be on their way before the connection is given up. */
const SILENT_BEATS = 2
/** How long close() waits for the server's end of the connection. */
const CLOSE_MILLIS = 500

export interface ListenerOptions {
  /** The channel to listen to. */
  channel: string
  /** Runs a statement over the pool. */
  send: (query: Query) => Promise<unknown>
  /** Receives the payload of each notice, in the order of the commits. */
  onNotice: (payload: string) => void
  /** Called when the listener listens again: notices may have been lost. */
  onGap: () => void
  /** Called when notices are lost (false), and when they arrive again (true). */
  onChange: (listening: boolean) => void
}

/**
 * Receives notices over a connection of its own, and opens the next connection if that is lost.
 *
 * PostgreSQL delivers notices in the order of the commits. So each second a beat is sent over the pool. When it comes back,
 * every notice committed before the beat was sent has come. The connection does not keep the process alive.
 */
export class PostgresListener {
  readonly #config: ResolvedPostgres
  readonly #options: ListenerOptions
  /** The channel of the beats, which nobody else listens to. */
  readonly #beatChannel = `holdfast_${randomUUID()}`
  readonly #closing = new AbortController()
  #connection: PostgresConnection | undefined
  #isConnecting = false
  #isSending = false
  /** True from the loss of a connection until a beat comes over the next one. */
  #isLost = false
  /** Number of beats that were sent and have not come back. */
  #silentBeats = 0
  #current: Instant = NEVER
  #timer: NodeJS.Timeout | undefined
  #onBeat = () => {}

  private constructor(config: ResolvedPostgres, options: ListenerOptions) {
    this.#config = config
    this.#options = options
  }

  /**
   * Listens, and waits for the first beat. `config` says how to connect.
   *
   * @throws {CONNECTION_FAILED} when the connection cannot be opened, or the beat does not come within
   * `connectionTimeoutMillis`
   */
  static async open(config: ResolvedPostgres, options: ListenerOptions): Promise<PostgresListener> {
    const listener = new PostgresListener(config, options)
    try {
      await listener.#connect()
      await listener.#firstBeat()
    } catch (error) {
      await listener.close()
      throw error
    }
    listener.#timer = setInterval(() => listener.#tick(), BEAT_MILLIS).unref()
    return listener
  }

  /** True if every notice that was committed 2 s ago or earlier has come. */
  get isCurrent(): boolean {
    return millisSince(this.#current) < CURRENT_MILLIS
  }

  /** Returns the statement that sends a notice to every listener of the channel when its transaction commits. */
  notice(payload: string): Query {
    return notify(this.#options.channel, payload)
  }

  /** Ends the connection, within half a second. Safe to repeat. */
  async close(): Promise<void> {
    this.#closing.abort()
    clearInterval(this.#timer)
    const connection = this.#connection
    this.#connection = undefined
    this.#current = NEVER
    await connection?.close(CLOSE_MILLIS)
  }

  async #connect(): Promise<void> {
    const events: ConnectionEvents = {
      idle: () => {},
      closed: (connection) => this.#onClosed(connection),
      isWorking: async () => false,
      notified: (channel, payload) => this.#onNotified(channel, payload),
    }
    const connection = await PostgresConnection.open(this.#config, events, this.#closing.signal)
    const begun = now()
    const abandon = () => connection.abandon()
    this.#closing.signal.addEventListener('abort', abandon)
    try {
      for (const channel of [this.#options.channel, this.#beatChannel]) {
        await connection.run({ sql: `LISTEN "${channel}"`, params: [] })
      }
      this.#closing.signal.throwIfAborted()
    } catch (error) {
      abandon()
      throw error
    } finally {
      this.#closing.signal.removeEventListener('abort', abandon)
    }
    // From here every commit is noticed. What was cached before may be old; what is cached from now on is not.
    this.#options.onGap()
    this.#connection = connection
    this.#silentBeats = 0
    this.#current = begun
  }

  #tick(): void {
    // The beats that came while something blocked the event loop are read before this decides.
    setImmediate(() => {
      if (this.#closing.signal.aborted) return
      if (this.#connection === undefined) void this.#reconnect()
      else if (this.#silentBeats > SILENT_BEATS) this.#connection.abandon()
      else void this.#beat().catch(() => {}) // the pool is out of reach or exhausted
    })
  }

  async #reconnect(): Promise<void> {
    if (this.#isConnecting) return
    this.#isConnecting = true
    try {
      await this.#connect()
      await this.#beat()
    } catch {
      // The next tick tries again.
    } finally {
      this.#isConnecting = false
    }
  }

  async #beat(): Promise<void> {
    if (this.#isSending) return
    this.#isSending = true
    try {
      await this.#options.send(notify(this.#beatChannel, JSON.stringify(now())))
      this.#silentBeats++
    } finally {
      this.#isSending = false
    }
  }

  /** Waits for a beat. Its timer keeps the process alive meanwhile. */
  async #firstBeat(): Promise<void> {
    const { connectionTimeoutMillis } = this.#config
    let timer: NodeJS.Timeout | undefined
    const heard = new Promise<void>((resolve, reject) => {
      this.#onBeat = resolve
      timer = setTimeout(() => reject(unheard(connectionTimeoutMillis)), connectionTimeoutMillis)
    })
    try {
      await Promise.all([heard, this.#beat()])
    } finally {
      clearTimeout(timer)
    }
  }

  #onNotified(channel: string, payload: string): void {
    if (channel !== this.#beatChannel) {
      this.#options.onNotice(payload)
      return
    }
    this.#silentBeats = 0
    this.#current = JSON.parse(payload) as Instant // what #beat sent
    this.#onBeat()
    if (this.#isLost) this.#options.onChange(true)
    this.#isLost = false
  }

  #onClosed(connection: PostgresConnection): void {
    if (connection !== this.#connection) return
    this.#connection = undefined
    this.#current = NEVER
    if (!this.#isLost) this.#options.onChange(false)
    this.#isLost = true
  }
}

function notify(channel: string, payload: string): Query {
  return { sql: 'select pg_notify($1, $2)', params: [channel, payload], writes: true }
}

/** The time of the monotonic clock, and the time of day, which goes on while the machine is suspended. */
type Instant = readonly [monotonic: number, wall: number]

const NEVER: Instant = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]

function now(): Instant {
  return [performance.now(), Date.now()]
}

function millisSince([monotonic, wall]: Instant): number {
  return Math.max(performance.now() - monotonic, Date.now() - wall)
}

function unheard(millis: number): StorageError {
  const message = `A notice that was sent to PostgreSQL did not come back within ${millis} ms: behind a pooler in transaction mode LISTEN does not work, so set cache.options.listenUrl to the same database without the pooler`
  return new StorageError('CONNECTION_FAILED', message)
}
