import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PostgresConfig } from '../../config/resolve.ts'
import { isStorageError, StorageError } from '../../errors.ts'
import { type ConnectionEvents, PostgresConnection } from './connection.ts'
import { noAnswer, transactionPooler } from './errors.ts'

const FIRST_PAUSE_MILLIS = 50
const LONGEST_PAUSE_MILLIS = 1000
/** How long a pooler may take to answer a second connection. */
const POOLER_ANSWER_MILLIS = 1000
/** How long an answer may take from a server that says it has given it. */
const ANSWER_ON_ITS_WAY_MILLIS = 200
/** For a connection outside of the pool, which asks one thing and is closed. */
const UNWATCHED: ConnectionEvents = { idle: () => {}, gone: () => {}, isWorking: async () => false }

interface Waiter {
  take: (connection: PostgresConnection) => void
  reject: (error: unknown) => void
  timer: NodeJS.Timeout
}

/**
 * At most `maxConnections` connections, each either owned by a transaction or shared by pipelined statements. Who finds
 * none waits in line for at most `connectionTimeoutMillis`, during which a server that refuses or starts is tried again.
 * When a connection is lost, those of its time are retired: idle ones at once, others when their work is done.
 */
export class PostgresPool {
  readonly #config: PostgresConfig
  /** Those that are open, until their sockets are closed. */
  readonly #connections = new Set<PostgresConnection>()
  readonly #opening = new Set<Promise<void>>()
  readonly #waiters: Waiter[] = []
  readonly #closing = new AbortController()
  #idleTimer: NodeJS.Timeout | undefined
  #failure: unknown
  /** Set after a failure, until opening is tried again. */
  #pause: NodeJS.Timeout | undefined
  #pauseMillis = FIRST_PAUSE_MILLIS

  private constructor(config: PostgresConfig) {
    this.#config = config
    setMaxListeners(0, this.#closing.signal) // each connection that is being opened listens
  }

  /** Opens the first connection, so that a wrong address or password shows here and at once. */
  static async open(config: PostgresConfig): Promise<PostgresPool> {
    const pool = new PostgresPool(config)
    const first = await pool.#connect()
    if (config.prepare && first.session.isPooled && (await pool.#sharesBackend(first))) {
      await first.close()
      throw transactionPooler()
    }
    pool.#connections.add(first)
    const { idleTimeoutMillis } = config
    if (idleTimeoutMillis > 0) {
      const check = () => pool.#closeIdle()
      pool.#idleTimer = setInterval(check, Math.max(idleTimeoutMillis / 4, 10)).unref()
    }
    return pool
  }

  /**
   * Returns true if a second connection reaches the same backend as an idle first one: then a pooler hands backends out
   * by the transaction, and statements prepared on one are missing on the other.
   */
  async #sharesBackend(first: PostgresConnection): Promise<boolean> {
    // A pooler that keeps sessions may have no backend left for a second one, and would let it wait.
    const patience = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(POOLER_ANSWER_MILLIS)])
    const second = await PostgresConnection.open(this.#config, UNWATCHED, patience).catch(() => undefined)
    await second?.close()
    return second?.session.backendPid === first.session.backendPid
  }

  /**
   * Calls `send` as soon as there is a connection that no transaction owns. What it sends within the call follows what
   * others have sent, and nothing comes in between.
   */
  shared<T>(send: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    const connection = this.#waiters.length === 0 ? this.#choose() : undefined // first come, first served
    if (connection !== undefined) return send(connection)
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
        reject(this.#failure ?? (this.#connections.size === 0 ? noAnswer() : this.#exhausted()))
      }, this.#config.connectionTimeoutMillis)
      const waiter: Waiter = { take: (connection) => resolve(send(connection)), reject, timer }
      this.#waiters.push(waiter)
      this.#openMore()
    })
  }

  /** A connection for one transaction; statements that were sent on it come first. Give it back with `release`. */
  exclusive(): Promise<PostgresConnection> {
    return this.shared(async (connection) => {
      connection.exclusive = true
      return connection
    })
  }

  release(connection: PostgresConnection): void {
    connection.exclusive = false
    if (connection.idle) this.#onIdle(connection)
  }

  /** For when nothing is in flight. */
  async close(): Promise<void> {
    this.#closing.abort()
    clearInterval(this.#idleTimer)
    clearTimeout(this.#pause)
    await Promise.all(this.#opening)
    await Promise.all([...this.#connections].map((connection) => connection.close()))
  }

  /** The connection with the least to do: an idle one, or where no more may be opened the shortest line. */
  #choose(): PostgresConnection | undefined {
    let best: PostgresConnection | undefined
    for (const connection of this.#connections) {
      if (connection.exclusive || connection.retired) continue
      if (best === undefined || connection.load < best.load) best = connection
    }
    if (best === undefined || best.load === 0) return best
    const { maxConnections, prepare } = this.#config
    const more = this.#pause === undefined && this.#connections.size < maxConnections
    // PgBouncer in transaction mode answers nobody whose statement is pipelined behind another caller's COMMIT.
    return more || !prepare ? undefined : best
  }

  #exhausted(): StorageError {
    const { maxConnections, connectionTimeoutMillis } = this.#config
    const message = `None of the ${maxConnections} connections became free in ${connectionTimeoutMillis} ms: raise maxConnections, or shorten transactions`
    return new StorageError('TIMEOUT', message, { retryable: true })
  }

  #serve(): void {
    for (let waiter = this.#waiters[0]; waiter !== undefined; waiter = this.#waiters[0]) {
      const connection = this.#choose()
      if (connection === undefined) break
      this.#waiters.shift()
      clearTimeout(waiter.timer)
      waiter.take(connection)
    }
    this.#openMore()
  }

  #openMore(): void {
    const { maxConnections } = this.#config
    while (
      this.#pause === undefined &&
      this.#opening.size < this.#waiters.length &&
      this.#connections.size + this.#opening.size < maxConnections
    ) {
      const opening = this.#openOne().finally(() => {
        this.#opening.delete(opening)
        this.#serve()
      })
      this.#opening.add(opening)
    }
  }

  async #openOne(): Promise<void> {
    try {
      this.#connections.add(await this.#connect())
      this.#failure = undefined
      this.#pauseMillis = FIRST_PAUSE_MILLIS
    } catch (error) {
      this.#onFailure(error)
    }
  }

  /** Those who wait go on waiting for the next attempt, or for a connection that is there; unless neither can help. */
  #onFailure(error: unknown): void {
    if (this.#closing.signal.aborted) return
    this.#failure = error
    const mayPass = error instanceof StorageError && error.retryable
    if (!mayPass && this.#connections.size === 0) {
      for (const waiter of this.#waiters.splice(0)) {
        clearTimeout(waiter.timer)
        waiter.reject(error)
      }
    }
    if (this.#pause !== undefined) return
    this.#pause = setTimeout(() => {
      this.#pause = undefined
      this.#serve()
    }, this.#pauseMillis).unref()
    // Shorter than anyone's wait, so that nobody waits without an attempt.
    const longest = Math.min(LONGEST_PAUSE_MILLIS, this.#config.connectionTimeoutMillis / 4)
    this.#pauseMillis = Math.min(this.#pauseMillis * 2, longest)
  }

  #connect(): Promise<PostgresConnection> {
    const events = {
      idle: (connection: PostgresConnection) => this.#onIdle(connection),
      gone: (connection: PostgresConnection) => this.#onGone(connection),
      isWorking: (connection: PostgresConnection) => this.#isWorking(connection),
    }
    return PostgresConnection.open(this.#config, events, this.#closing.signal)
  }

  /** Asks over a new connection whether the server still works on what a silent connection was sent. */
  async #isWorking(silent: PostgresConnection): Promise<boolean> {
    let probe: PostgresConnection | undefined
    try {
      probe = await PostgresConnection.open(this.#config, UNWATCHED, this.#closing.signal)
      if (silent.session.isPooled) return true // the pooler answers, and tells nothing of the backend
      const sql = 'select state from pg_stat_activity where pid = $1'
      const patience = sleep(this.#config.connectionTimeoutMillis, undefined, { ref: false })
      const rows = await Promise.race([probe.run({ sql, params: [silent.session.backendPid] }), patience])
      if (rows?.[0]?.[0] === 'active') return true
      await sleep(ANSWER_ON_ITS_WAY_MILLIS)
      return false
    } catch (error) {
      // A server that is out of connections is there.
      return isStorageError(error, 'CONNECTION_FAILED') && error.details.postgresCode === '53300'
    } finally {
      void probe?.close()
    }
  }

  #onIdle(connection: PostgresConnection): void {
    if (connection.retired) void connection.close()
    else if (this.#waiters.length > 0) this.#serve()
  }

  #onGone(gone: PostgresConnection): void {
    this.#connections.delete(gone)
    if (!gone.retired) {
      // What ended one connection has likely ended the others of its time; the next statement must not be spent on them.
      for (const connection of this.#connections) this.#retire(connection)
    }
    this.#serve()
  }

  /** It counts until its socket is closed. */
  #retire(connection: PostgresConnection): void {
    connection.retired = true
    if (connection.idle) void connection.close()
  }

  #closeIdle(): void {
    const oldest = performance.now() - this.#config.idleTimeoutMillis
    for (const connection of this.#connections) {
      if (connection.idle && !connection.retired && connection.lastUsed < oldest) this.#retire(connection)
    }
  }
}
