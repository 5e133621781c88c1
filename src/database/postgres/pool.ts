import { setMaxListeners } from 'node:events'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import type { ResolvedPostgres } from '../../config/resolved.ts'
import { isStorageError, StorageError } from '../../errors.ts'
import type { DatabaseCounters } from '../../observability/counters.ts'
import { storageClosed } from '../closed.ts'
import { type ConnectionEvents, PostgresConnection } from './connection.ts'
import { noAnswer, transactionPooler } from './errors.ts'
import { addressesOf } from './socket.ts'

/** How long after a failure a connection is tried again. Doubles with each failure, up to the longest. */
const FIRST_RETRY_MILLIS = 50
const LONGEST_RETRY_MILLIS = 1000
/** How long a pooler may take to answer a second connection. */
const POOLER_ANSWER_MILLIS = 1000
/** How long an answer may take on its way from a server that has finished its work. */
const ANSWER_ON_ITS_WAY_MILLIS = 200
/** A connection is silent that had no answer for this share of the time for which a caller waits. */
const SILENT_SHARE = 0.9
/** A connection that was used this recently is used at once. */
const RECENT_MILLIS = 100
/** In so many turns of the event loop a socket reads that the server has ended the connection, and closes. TLS needs no more. */
const TURNS_TO_CLOSE = 5
/** The events of a connection outside of the pool, which runs one query and is closed. */
const UNWATCHED: ConnectionEvents = { idle: () => {}, closed: () => {}, isWorking: async () => false }

interface Waiter {
  take: (connection: PostgresConnection) => void
  reject: (error: unknown) => void
  timer: NodeJS.Timeout
}

/**
 * At most `maxConnections` connections, and those of `own()`. Each of the former is either owned by a transaction or shared by
 * pipelined statements. A caller waits up to `connectionTimeoutMillis` for a free connection, in order of arrival; meanwhile a
 * server that refuses or starts is tried again. After a connection is lost, or has turned read-only, all connections opened so
 * far are retired: idle ones now, busy ones when done.
 */
export class PostgresPool {
  readonly #config: ResolvedPostgres
  readonly #counters: Pick<DatabaseCounters, 'poolPending'>
  /** The open connections. A retired one counts until its socket is closed. */
  readonly #connections = new Set<PostgresConnection>()
  /** Those of callers that keep a connection for long. */
  readonly #own = new Set<PostgresConnection>()
  readonly #opening = new Set<Promise<void>>()
  readonly #waiters: Waiter[] = []
  readonly #closing = new AbortController()
  #idleTimer: NodeJS.Timeout | undefined
  #noticing: Promise<void> | undefined
  /** When the sockets had last said if they are closed, other than by an answer. */
  #noticedAt = 0
  #failure: unknown
  /** Set from a failure to open a connection until the next attempt. */
  #retryTimer: NodeJS.Timeout | undefined
  #retryMillis = FIRST_RETRY_MILLIS

  private constructor(config: ResolvedPostgres, counters: Pick<DatabaseCounters, 'poolPending'>) {
    this.#config = config
    this.#counters = counters
    setMaxListeners(0, this.#closing.signal) // every connection that is being opened listens
  }

  /** Opens the pool with its first connection, so that a wrong address or password fails here and at once. */
  static async open(config: ResolvedPostgres, counters: Pick<DatabaseCounters, 'poolPending'>): Promise<PostgresPool> {
    const pool = new PostgresPool(config, counters)
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
   * Returns true if a second connection reaches the backend of the first, idle one. Then a pooler assigns a backend per
   * transaction, and a statement prepared on one backend is missing on another.
   */
  async #sharesBackend(first: PostgresConnection): Promise<boolean> {
    // A pooler in session mode may have no backend left for the second connection, and would let it wait.
    const patience = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(POOLER_ANSWER_MILLIS)])
    const second = await PostgresConnection.open(this.#config, UNWATCHED, patience).catch(() => undefined)
    await second?.close()
    return second?.session.backendPid === first.session.backendPid
  }

  /**
   * Calls `send` as soon as there is a connection that no transaction owns. What `send` sends before it returns is sent in
   * one piece: no query of another caller comes in between.
   *
   * @throws {TIMEOUT} when no connection became free within `connectionTimeoutMillis`
   * @throws {CONNECTION_FAILED} when no connection could be opened
   * @throws {CLOSED} when the pool is closed, also while the call waits
   */
  shared<T>(send: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    if (this.#closing.signal.aborted) return Promise.reject(storageClosed())
    const connection = this.#waiters.length === 0 ? this.#leastBusy() : undefined // first come, first served
    if (connection?.idle && this.#mayBeClosed(connection)) return this.#noticeClosed().then(() => this.shared(send))
    if (connection !== undefined) return send(connection)
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
        this.#counters.poolPending--
        // Those that are being closed are held by nobody: a server that says nothing does not close them either.
        const isHeld = [...this.#connections].some(({ retired, idle }) => !retired || !idle)
        const [address] = addressesOf(this.#config.connection)
        reject(this.#failure ?? (isHeld ? this.#exhausted() : noAnswer(address)))
      }, this.#config.connectionTimeoutMillis)
      const waiter: Waiter = { take: (connection) => resolve(send(connection)), reject, timer }
      this.#waiters.push(waiter)
      this.#counters.poolPending++
      this.#openMore()
    })
  }

  /**
   * Returns a connection that one transaction owns until `release`. Queries in flight on the connection come first. If `check`
   * throws when the turn comes, the connection goes to the next caller.
   */
  exclusive(check = () => {}): Promise<PostgresConnection> {
    return this.shared(async (connection) => {
      check()
      connection.exclusive = true
      return connection
    })
  }

  /** Ends the ownership of a connection. */
  release(connection: PostgresConnection): void {
    connection.exclusive = false
    if (connection.idle) this.#onIdle(connection)
  }

  /**
   * Opens a connection for a caller that keeps it for as long as its work takes, beside the `maxConnections`: others, and its own
   * calls, would wait for it. A server that is full or starts is tried again for `connectionTimeoutMillis`. The caller closes the
   * connection, or `close()` does.
   *
   * @throws {CONNECTION_FAILED} when it could not be opened
   * @throws {CLOSED} when the pool is closed
   */
  async own(): Promise<PostgresConnection> {
    const giveUpAt = performance.now() + this.#config.connectionTimeoutMillis
    for (let pause = FIRST_RETRY_MILLIS; ; pause = Math.min(2 * pause, LONGEST_RETRY_MILLIS)) {
      try {
        return await this.#openOwn()
      } catch (error) {
        const mayPass = isStorageError(error, 'CONNECTION_FAILED') && error.retryable
        if (!mayPass || performance.now() + pause > giveUpAt) throw error
      }
      await sleep(pause)
    }
  }

  async #openOwn(): Promise<PostgresConnection> {
    const closed = (connection: PostgresConnection) => void this.#own.delete(connection)
    const isWorking = (connection: PostgresConnection) => this.#isWorking(connection)
    if (this.#closing.signal.aborted) throw storageClosed()
    const connection = await PostgresConnection.open(
      this.#config,
      { idle: () => {}, closed, isWorking },
      this.#closing.signal,
    )
    this.#own.add(connection)
    if (!this.#closing.signal.aborted) return connection
    await connection.close() // close() has not seen it
    throw storageClosed()
  }

  /** Closes all connections, and rejects who waits for one. The caller has waited for the queries in flight. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#rejectWaiters(storageClosed())
    clearInterval(this.#idleTimer)
    clearTimeout(this.#retryTimer)
    await Promise.all(this.#opening)
    await Promise.all([...this.#connections, ...this.#own].map((connection) => connection.close()))
  }

  /** Returns an idle connection; if there is none and no more may be opened, the one with the fewest queries in flight. */
  #leastBusy(): PostgresConnection | undefined {
    let best: PostgresConnection | undefined
    for (const connection of this.#connections) {
      if (connection.exclusive || connection.retired) continue
      if (best === undefined || connection.load < best.load) best = connection
    }
    if (best === undefined || best.load === 0) return best
    const { maxConnections, prepare } = this.#config
    const more = this.#retryTimer === undefined && this.#connections.size < maxConnections
    // PgBouncer in transaction mode never answers a statement that is pipelined behind another caller's COMMIT.
    return more || !prepare ? undefined : best
  }

  /** Returns true if the process may have been frozen, or busy, since the connection was used: it may not know of its end. */
  #mayBeClosed({ lastUsed }: PostgresConnection): boolean {
    const recent = performance.now() - RECENT_MILLIS
    return lastUsed < recent && this.#noticedAt < recent
  }

  /** Lets the sockets say that they are closed. A statement that is sent over such a socket fails with CONNECTION_LOST. */
  #noticeClosed(): Promise<void> {
    const notice = async () => {
      for (let turns = 0; turns < TURNS_TO_CLOSE; turns++) await turn()
      this.#noticedAt = performance.now()
      this.#noticing = undefined
    }
    this.#noticing ??= notice()
    return this.#noticing
  }

  #exhausted(): StorageError {
    const { maxConnections, connectionTimeoutMillis } = this.#config
    const silentSince = performance.now() - connectionTimeoutMillis * SILENT_SHARE
    const silent = [...this.#connections].filter(({ load, lastUsed }) => load > 0 && lastUsed < silentSince)
    const none = `None of the ${maxConnections} connections became free in ${connectionTimeoutMillis} ms`
    const message =
      silent.length === 0
        ? `${none}: raise maxConnections, or shorten transactions`
        : `${none}, and ${silent.length} of them had no answer from PostgreSQL meanwhile: check if the server can be reached, and what its statements wait for`
    return new StorageError('TIMEOUT', message, { retryable: true })
  }

  #serveWaiters(): void {
    for (let waiter = this.#waiters[0]; waiter !== undefined; waiter = this.#waiters[0]) {
      const connection = this.#leastBusy()
      if (connection === undefined) break
      this.#waiters.shift()
      this.#counters.poolPending--
      clearTimeout(waiter.timer)
      waiter.take(connection)
    }
    this.#openMore()
  }

  #openMore(): void {
    const { maxConnections } = this.#config
    while (
      this.#retryTimer === undefined &&
      this.#opening.size < this.#waiters.length &&
      this.#connections.size + this.#opening.size < maxConnections
    ) {
      const opening = this.#openOne().finally(() => {
        this.#opening.delete(opening)
        this.#serveWaiters()
      })
      this.#opening.add(opening)
    }
  }

  async #openOne(): Promise<void> {
    try {
      this.#connections.add(await this.#connect())
      this.#failure = undefined
      this.#retryMillis = FIRST_RETRY_MILLIS
    } catch (error) {
      this.#onFailure(error)
    }
  }

  /**
   * Schedules the next attempt. Waiters stay queued for it or for an open connection. If the failure is permanent and no
   * connection is open, they are rejected.
   */
  #onFailure(error: unknown): void {
    if (this.#closing.signal.aborted) return
    this.#failure = error
    const isTransient = error instanceof StorageError && error.retryable
    if (!isTransient && this.#connections.size === 0) this.#rejectWaiters(error)
    if (this.#retryTimer !== undefined) return
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined
      this.#serveWaiters()
    }, this.#retryMillis).unref()
    // Shorter than `connectionTimeoutMillis`, so that every waiter sees at least one attempt.
    const longest = Math.min(LONGEST_RETRY_MILLIS, this.#config.connectionTimeoutMillis / 4)
    this.#retryMillis = Math.min(this.#retryMillis * 2, longest)
  }

  #rejectWaiters(error: unknown): void {
    for (const waiter of this.#waiters.splice(0)) {
      this.#counters.poolPending--
      clearTimeout(waiter.timer)
      waiter.reject(error)
    }
  }

  #connect(): Promise<PostgresConnection> {
    const events = {
      idle: (connection: PostgresConnection) => this.#onIdle(connection),
      readOnly: () => this.#retireAll(),
      closed: (connection: PostgresConnection) => this.#onClosed(connection),
      isWorking: (connection: PostgresConnection) => this.#isWorking(connection),
    }
    return PostgresConnection.open(this.#config, events, this.#closing.signal)
  }

  /** Asks the server, over a new connection, if it still works on the queries of a silent connection. */
  async #isWorking(silent: PostgresConnection): Promise<boolean> {
    let probe: PostgresConnection | undefined
    try {
      probe = await PostgresConnection.open(this.#config, UNWATCHED, this.#closing.signal)
      if (silent.session.isPooled) return true // the pooler answers, and hides the backend
      const sql = 'select state from pg_stat_activity where pid = $1'
      const patience = sleep(this.#config.connectionTimeoutMillis, undefined, { ref: false })
      const rows = await Promise.race([probe.run({ sql, params: [silent.session.backendPid] }), patience])
      if (rows?.[0]?.[0] === 'active') return true
      await sleep(ANSWER_ON_ITS_WAY_MILLIS)
      return false
    } catch (error) {
      // A server that has no connection left is alive.
      return isStorageError(error, 'CONNECTION_FAILED') && error.details.postgresCode === '53300'
    } finally {
      void probe?.close()
    }
  }

  #onIdle(connection: PostgresConnection): void {
    if (connection.retired) void connection.close()
    else if (this.#waiters.length > 0) this.#serveWaiters()
  }

  #onClosed(lost: PostgresConnection): void {
    this.#connections.delete(lost)
    if (!lost.retired) {
      // What closed one connection has probably broken the others. The next statements must not be lost on them.
      this.#retireAll()
    }
    this.#serveWaiters()
  }

  #retireAll(): void {
    for (const connection of this.#connections) this.#retire(connection)
  }

  /** Takes a connection out of use. It counts towards `maxConnections` until its socket is closed. */
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
