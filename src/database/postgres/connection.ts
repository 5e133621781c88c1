import type net from 'node:net'
import type Postgres from 'postgres'
import type { ResolvedPostgres } from '../../config/resolved.ts'
import { type DatabaseAddress, isStorageError, type StorageError } from '../../errors.ts'
import type { Query, Row } from '../query.ts'
import {
  beginRefused,
  connectionFailed,
  connectionLost,
  endsConnection,
  isReadOnlyServer,
  noAnswer,
  notUtf8,
  postgresError,
  tlsRefused,
} from './errors.ts'
import { loadPostgres, onlyOnce, onlySocket } from './internals.ts'
import { clientOptions, driverValue } from './options.ts'
import { addressesOf, closed, connect, connected, drop } from './socket.ts'

/** The calls that a connection makes to its owner. */
export interface ConnectionEvents {
  /** Reports that every query is answered and no transaction owns the connection. */
  idle(connection: PostgresConnection): void
  /** Reports that the server has refused a write because it is read-only. */
  readOnly?(): void
  /** Reports, once, that the socket is closed, by either side. */
  closed(connection: PostgresConnection): void
  /** Returns true if the server still works on the queries in flight. Called after a while of silence. */
  isWorking(connection: PostgresConnection): Promise<boolean>
  /** Receives a notice of a channel that the connection listens to. */
  notified?(channel: string, payload: string): void
}

/** Maximum number of statements that a connection prepares on the server: the fixed ones, and room for shapes that vary. */
const PREPARED_STATEMENTS = 500

/**
 * One connection: a postgres.js client with one socket. It is discarded when the socket closes and never reconnects, because
 * postgres.js would send what waits in its queue (the rest of a transaction, say) over the next socket. Queries are
 * pipelined in the order of the calls.
 */
export class PostgresConnection {
  /** Number of queries in flight. */
  load = 0
  /** True while a transaction owns the connection. */
  exclusive = false
  /** True if the connection takes no new work, and is closed as soon as it is idle. */
  retired = false
  /** What the connection learned about its server when it was opened. */
  session: Session = { backendPid: 0, isPooled: false, isReadCommitted: true, isFiltered: false }
  /** When the last answer came, or what is in flight since was sent. */
  lastUsed = performance.now()
  readonly #client: Postgres.Sql
  readonly #socket: net.Socket
  readonly #address: DatabaseAddress
  readonly #config: ResolvedPostgres
  readonly #events: ConnectionEvents
  readonly #prepared = new Set<string>()
  #silenceTimer: NodeJS.Timeout | undefined
  #isClosed = false

  private constructor(
    postgres: typeof Postgres,
    address: DatabaseAddress,
    socket: net.Socket,
    config: ResolvedPostgres,
    events: ConnectionEvents,
  ) {
    this.#socket = socket
    this.#address = address
    this.#config = config
    this.#events = events
    const options = {
      ...clientOptions(config),
      host: address.host,
      port: address.port,
      onclose: () => this.#onClosed(),
      onnotify: events.notified,
      ...onlySocket(socket, address.host, closed),
    }
    this.#client = 'url' in config.connection ? postgres(config.connection.url, options) : postgres(options)
  }

  /**
   * Opens a connection to the first address that answers. Each gets `connectionTimeoutMillis`; `abandoned` ends the attempt
   * early.
   *
   * @throws {DRIVER_MISSING} when postgres.js is not installed, or its version is not supported
   * @throws {CONNECTION_FAILED} when no address accepts the connection; retryable if the server may come back
   */
  static async open(
    config: ResolvedPostgres,
    events: ConnectionEvents,
    abandoned: AbortSignal,
  ): Promise<PostgresConnection> {
    const postgres = await loadPostgres()
    let failure: StorageError | undefined
    for (const address of addressesOf(config.connection)) {
      const socket = connect(address)
      let timedOut = false
      let isTlsRefused = false
      const deadline = setTimeout(() => {
        timedOut = true
        socket.destroy()
      }, config.connectionTimeoutMillis)
      const abandon = () => socket.destroy()
      abandoned.addEventListener('abort', abandon)
      try {
        await connected(socket)
        // Only the refusal of TLS is an answer of this one byte. Without TLS the server's first message is longer.
        socket.once('data', (first) => {
          isTlsRefused = first.length === 1 && first.toString() === 'N'
        })
        const connection = new PostgresConnection(postgres, address, socket, config, events)
        await connection.#startSession()
        socket.unref() // an idle connection does not keep the process alive
        return connection
      } catch (error) {
        socket.destroy()
        failure = timedOut ? noAnswer(address) : connectionFailed(isTlsRefused ? tlsRefused(error) : error, address)
      } finally {
        clearTimeout(deadline)
        abandoned.removeEventListener('abort', abandon)
      }
    }
    throw failure ?? connectionLost()
  }

  /** Sets how statements run on this connection, and learns which server answers. */
  async #startSession(): Promise<void> {
    const settings = this.#config.prepare ? SETTINGS : {}
    const set = Object.entries(settings).map(([name, value]) => `, set_config('${name}', '${value}', false)`)
    const result = await this.#client
      .unsafe(
        `select pg_backend_pid(), current_setting('server_encoding'), current_setting('default_transaction_isolation'),
          row_security_active(to_regclass('sessions'))${set.join('')}`,
      )
      .values()
    const [[backendPid, encoding, isolation, isFiltered] = []] = result
    if (encoding !== 'UTF8') throw notUtf8(String(encoding))
    this.session = {
      backendPid: Number(backendPid),
      // A pooler announces a made-up process id when a client connects.
      isPooled: result.state.pid !== Number(backendPid),
      isReadCommitted: this.#config.prepare || isolation === 'read committed',
      isFiltered: isFiltered === true,
    }
  }

  get idle(): boolean {
    return this.load === 0 && !this.exclusive
  }

  async run(query: Pick<Query, 'sql' | 'params'>): Promise<readonly Row[]> {
    const result = await this.#send(query.sql, query.params)
    // Moves the rows out of the result. A query of postgres.js is a subclass of Promise, and V8 frees such a promise and its
    // result only in a full garbage collection.
    return result.splice(0) as unknown as readonly Row[] // values() makes rows arrays
  }

  /**
   * Runs a statement such as BEGIN or COMMIT. Returns the command that the server reports: a COMMIT may come back as
   * ROLLBACK.
   */
  async command(sql: string): Promise<string> {
    return (await this.#send(sql, [])).command
  }

  /**
   * Begins a transaction whose statements are pipelined behind BEGIN. If the server refuses BEGIN, such as after a timeout,
   * it runs each of them by itself: then the connection is dropped, so that none follows.
   *
   * @throws {CONNECTION_LOST} when BEGIN failed, as nobody knows what was done behind it
   */
  async begin(sql: string): Promise<void> {
    try {
      await this.command(sql)
    } catch (error) {
      this.abandon()
      throw isStorageError(error, 'CONNECTION_LOST') ? error : beginRefused(error, this.#address)
    }
  }

  async #send(sql: string, params: readonly unknown[]) {
    if (this.#isClosed) throw connectionLost(undefined, this.#address)
    if (this.load++ === 0) this.#onBusy()
    try {
      const prepare = params.length > 0 && this.#shouldPrepare(sql)
      return await onlyOnce(this.#client.unsafe(sql, params.map(driverValue), { prepare }).values())
    } catch (error) {
      const meaning = postgresError(error, this.#address, sql)
      // The socket's event may come later. Until then no caller should get this connection.
      if (endsConnection(meaning)) this.#onClosed()
      if (isReadOnlyServer(meaning)) this.#events.readOnly?.()
      throw meaning
    } finally {
      if (--this.load === 0) this.#onAnswered()
      else this.#silenceTimer?.refresh()
      this.lastUsed = performance.now()
      if (this.idle) this.#events.idle(this)
    }
  }

  #onBusy(): void {
    this.lastUsed = performance.now()
    this.#socket.ref()
    this.#startSilenceTimer()
  }

  #onAnswered(): void {
    this.#socket.unref()
    clearTimeout(this.#silenceTimer)
  }

  /** Starts the timer that notices a server that is frozen or out of reach: nothing else would end the queries. */
  #startSilenceTimer(): void {
    const { statementTimeoutMillis, connectionTimeoutMillis } = this.#config
    const patience = (statementTimeoutMillis ?? 0) + connectionTimeoutMillis
    this.#silenceTimer = setTimeout(() => void this.#onSilence(), patience)
  }

  /** Drops the connection, unless the server still works on the queries: a lock may take longer than the timer. */
  async #onSilence(): Promise<void> {
    const { lastUsed } = this
    // With a statement timeout the server would have answered by now.
    const isWorking = this.#config.statementTimeoutMillis === undefined && (await this.#events.isWorking(this))
    if (this.#isClosed || this.load === 0 || this.lastUsed !== lastUsed) return // an answer came meanwhile
    if (isWorking) this.#startSilenceTimer()
    else drop(this.#socket)
  }

  #shouldPrepare(sql: string): boolean {
    if (!this.#config.prepare) return false
    if (this.#prepared.size < PREPARED_STATEMENTS) this.#prepared.add(sql)
    return this.#prepared.has(sql)
  }

  /** Drops the connection. What was sent fails with CONNECTION_LOST. */
  abandon(): void {
    drop(this.#socket)
    this.#onClosed()
  }

  #onClosed(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#events.closed(this)
    void this.#client.end({ timeout: 0 }) // rejects the queries that were not sent yet
  }

  /** Closes the connection after the queries in flight are answered, or after `timeoutMillis`. */
  async close(timeoutMillis = this.#config.connectionTimeoutMillis): Promise<void> {
    await this.#client.end({ timeout: timeoutMillis / 1000 })
    drop(this.#socket)
  }
}

/** What a connection learns about its server when it is opened. */
export interface Session {
  /** The process id of the backend that answered. */
  backendPid: number
  /** True if a pooler stands between this process and the server. */
  isPooled: boolean
  /** True if a statement outside of a transaction runs at READ COMMITTED. */
  isReadCommitted: boolean
  /** True if policies of row-level security decide which rows of our tables this user sees. */
  isFiltered: boolean
}

/**
 * The settings of a session that no other client uses. A pooler in transaction mode would pass them on to other clients.
 *
 * - Statements are planned once, for any values: planning them at each call takes longer than running them.
 * - They are planned along an index, in its order: a bitmap loses the order, and then all rows have to be sorted.
 * - Nothing is compiled: for statements of some hundred rows that takes 50 ms and more, and the work a millisecond.
 * - Isolation does not depend on the server's or the role's default: above READ COMMITTED, concurrent writes fail.
 * - Timestamps have one format: the parameters of a url override those of clientOptions.
 * - A backslash in a statement is a backslash, and NULL in the text of an array is null.
 */
const SETTINGS = {
  plan_cache_mode: 'force_generic_plan',
  enable_bitmapscan: 'off',
  jit: 'off',
  default_transaction_isolation: 'read committed',
  TimeZone: 'UTC',
  DateStyle: 'ISO',
  standard_conforming_strings: 'on',
  array_nulls: 'on',
}
