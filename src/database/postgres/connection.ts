import type net from 'node:net'
import type Postgres from 'postgres'
import type { PostgresConfig } from '../../config/resolve.ts'
import type { Query, Row } from '../query.ts'
import { connectionFailed, connectionLost, noAnswer, notUtf8, postgresError } from './errors.ts'
import { loadPostgres, onlyOnce, onlySocket } from './internals.ts'
import { clientOptions, driverValue } from './options.ts'
import { type Address, addressesOf, closed, connect, connected } from './socket.ts'

/** What the owner of a connection is told. */
export interface ConnectionEvents {
  /** Everything it was sent is answered, and no transaction owns it. */
  idle(connection: PostgresConnection): void
  /** Its socket is closed, by whomever. */
  gone(connection: PostgresConnection): void
  /** It has been silent for a while: returns true if the server still works on what it was sent. */
  isWorking(connection: PostgresConnection): Promise<boolean>
}

/** How many statements a connection prepares on the server: those compiled once, and room for shapes that vary. */
const PREPARED_STATEMENTS = 500

/**
 * One connection: a postgres.js client of one socket. It is thrown away when its socket closes, never reconnected,
 * because postgres.js would send what waits in its queue (the rest of a transaction, say) over the next socket.
 * Queries are pipelined in the order of the calls.
 */
export class PostgresConnection {
  /** Queries sent and not answered yet. */
  load = 0
  /** Whether a transaction owns the connection. */
  exclusive = false
  /** Whether it is to be closed once it is idle, and not to be used again. */
  retired = false
  /** What the connection learned of its server when it was opened. */
  session: Session = { backendPid: 0, isPooled: false, isReadCommitted: true }
  lastUsed = performance.now()
  readonly #client: Postgres.Sql
  readonly #socket: net.Socket
  readonly #config: PostgresConfig
  readonly #events: ConnectionEvents
  readonly #prepared = new Set<string>()
  #silence: NodeJS.Timeout | undefined
  #gone = false

  private constructor(
    postgres: typeof Postgres,
    address: Address,
    socket: net.Socket,
    config: PostgresConfig,
    events: ConnectionEvents,
  ) {
    this.#socket = socket
    this.#config = config
    this.#events = events
    const options = {
      ...clientOptions(config),
      host: address.host,
      port: address.port,
      onclose: () => this.#leave(),
      ...onlySocket(socket, address.host, closed),
    }
    this.#client = 'url' in config.connection ? postgres(config.connection.url, options) : postgres(options)
  }

  /**
   * Tries the addresses in turn, each for `connectionTimeoutMillis`; `abandoned` ends it early.
   * Errors: DRIVER_MISSING, CONNECTION_FAILED (retryable where the server may come back).
   */
  static async open(
    config: PostgresConfig,
    events: ConnectionEvents,
    abandoned: AbortSignal,
  ): Promise<PostgresConnection> {
    const postgres = await loadPostgres()
    let failure: unknown
    for (const address of addressesOf(config.connection)) {
      const socket = connect(address)
      let timedOut = false
      const deadline = setTimeout(() => {
        timedOut = true
        socket.destroy()
      }, config.connectionTimeoutMillis)
      const abandon = () => socket.destroy()
      abandoned.addEventListener('abort', abandon)
      try {
        await connected(socket)
        const connection = new PostgresConnection(postgres, address, socket, config, events)
        await connection.#introduce()
        return connection
      } catch (error) {
        socket.destroy()
        failure = timedOut ? noAnswer() : error
      } finally {
        clearTimeout(deadline)
        abandoned.removeEventListener('abort', abandon)
      }
    }
    throw connectionFailed(failure)
  }

  /** Settles how statements run on this connection, and learns what answers it. */
  async #introduce(): Promise<void> {
    const settings = this.#config.prepare ? SETTINGS : {}
    const set = Object.entries(settings).map(([name, value]) => `, set_config('${name}', '${value}', false)`)
    const result = await this.#client
      .unsafe(
        `select pg_backend_pid(), current_setting('server_encoding'), current_setting('default_transaction_isolation')${set.join('')}`,
      )
      .values()
    const [[backendPid, encoding, isolation] = []] = result
    if (encoding !== 'UTF8') throw notUtf8(String(encoding))
    this.session = {
      backendPid: Number(backendPid),
      // A pooler tells its clients a process id of its own making.
      isPooled: result.state.pid !== Number(backendPid),
      isReadCommitted: this.#config.prepare || isolation === 'read committed',
    }
  }

  get idle(): boolean {
    return this.load === 0 && !this.exclusive
  }

  async run(query: Pick<Query, 'sql' | 'params'>): Promise<readonly Row[]> {
    const result = await this.#send(query.sql, query.params)
    // Taken out of it: a query of postgres.js is of a subclass of Promise, and those, with what they resolved to, V8 frees
    // only when it collects its whole heap.
    return result.splice(0) as unknown as readonly Row[] // values() makes rows arrays
  }

  /** A statement such as BEGIN or COMMIT; returns the command that the server says it did. */
  async command(sql: string): Promise<string> {
    return (await this.#send(sql, [])).command
  }

  async #send(sql: string, params: readonly unknown[]) {
    if (this.#gone) throw connectionLost()
    if (this.load++ === 0) this.#watch()
    try {
      const prepare = params.length > 0 && this.#mayPrepare(sql)
      return await onlyOnce(this.#client.unsafe(sql, params.map(driverValue), { prepare }).values())
    } catch (error) {
      const meaning = postgresError(error)
      // The socket's own event may come later, and until then nobody should be given this connection.
      if (meaning.code === 'CONNECTION_LOST') this.#leave()
      throw meaning
    } finally {
      if (--this.load === 0) clearTimeout(this.#silence)
      else this.#silence?.refresh()
      this.lastUsed = performance.now()
      if (this.idle) this.#events.idle(this)
    }
  }

  /** Watches for silence: a server that is frozen or out of reach ends nothing by itself. */
  #watch(): void {
    const { statementTimeoutMillis, connectionTimeoutMillis } = this.#config
    const patience = (statementTimeoutMillis ?? 0) + connectionTimeoutMillis
    this.#silence = setTimeout(() => void this.#onSilence(), patience)
  }

  /** Drops the connection unless the server still works on what it was sent. A lock may well take longer than our patience. */
  async #onSilence(): Promise<void> {
    const { lastUsed } = this
    // With a statement timeout the server would have answered by now.
    const isWorking = this.#config.statementTimeoutMillis === undefined && (await this.#events.isWorking(this))
    if (this.#gone || this.load === 0 || this.lastUsed !== lastUsed) return // an answer came meanwhile
    if (isWorking) this.#watch()
    else this.#socket.destroy()
  }

  #mayPrepare(sql: string): boolean {
    if (!this.#config.prepare) return false
    if (this.#prepared.size < PREPARED_STATEMENTS) this.#prepared.add(sql)
    return this.#prepared.has(sql)
  }

  #leave(): void {
    if (this.#gone) return
    this.#gone = true
    this.#events.gone(this)
    void this.#client.end({ timeout: 0 }) // what waits in its queue fails
  }

  /** Waits for what was sent, then closes. A server that does not answer is left after `connectionTimeoutMillis`. */
  async close(): Promise<void> {
    await this.#client.end({ timeout: this.#config.connectionTimeoutMillis / 1000 })
    this.#socket.destroy()
  }
}

/** What a connection learns of its server when it is opened. */
export interface Session {
  /** The process id of the backend that answered. */
  backendPid: number
  /** True if a pooler stands in between. */
  isPooled: boolean
  /** True if a statement outside of a transaction runs at READ COMMITTED. */
  isReadCommitted: boolean
}

/**
 * The settings of a session that is ours alone. A pooler in transaction mode would hand them on to other clients.
 *
 * - Statements are planned once, for any values: planning them at each call takes longer than running them.
 * - They are planned along an index, in its order: a bitmap loses the order, and then all rows have to be sorted.
 * - Isolation does not depend on the server's or the role's default: above READ COMMITTED, concurrent writes fail.
 */
const SETTINGS = {
  plan_cache_mode: 'force_generic_plan',
  enable_bitmapscan: 'off',
  default_transaction_isolation: 'read committed',
}
