import { randomUUID } from 'node:crypto'
import type { ResolvedRedisCache } from '../../config/resolved.ts'
import type { Finding } from '../../diagnosis/findings.ts'
import type { StorageError } from '../../errors.ts'
import { LEASE } from '../store.ts'
import { CommandTimeout } from './command-timeout.ts'
import { createClient, type RedisClient, type RedisEndpoint } from './connection.ts'
import { diagnoseMemory } from './diagnosis.ts'
import { MARK_MILLIS } from './marks.ts'
import { isReply, refusal } from './refusal.ts'
import { scan } from './scan.ts'
import { isReplica, runOf, serverOf } from './server-watch.ts'

const KEYS_AT_ONCE = 500
const PROBES = ['probe', 'probe of another slot']
/** How long to wait for the client's `end` event, which ioredis may never emit. */
const DISCONNECT_MILLIS = 500

/** A Redis server or cluster: connects again after a failure, names the keys, and lets no command wait without a limit. */
export class RedisServer {
  /** Replaced after each failure: ioredis may never settle the commands in flight. */
  #endpoint: RedisEndpoint
  readonly #config: ResolvedRedisCache
  readonly #timeout: CommandTimeout
  /** Timeout of commands that no call waits for: probes, and invalidations while the breaker is open. */
  readonly patient: CommandTimeout
  /** Called when a connection closes. */
  onClose: (cause: unknown) => void = () => {}
  /** Names this process in the marks that it leaves on keys. */
  readonly #writer = randomUUID()
  /**
   * The run id of the server. It is part of every key: a server restarted from an old snapshot, or a replica promoted
   * without the last removals, would otherwise answer with stale rows.
   */
  #run = ''
  #version: string | undefined
  #lastError: unknown
  #isClosed = false

  /**
   * Makes the client of a server, without connecting it.
   *
   * @throws {DRIVER_MISSING} when ioredis is not installed
   */
  static async create(config: ResolvedRedisCache): Promise<RedisServer> {
    return new RedisServer(await createClient(config), config)
  }

  private constructor(endpoint: RedisEndpoint, config: ResolvedRedisCache) {
    this.#endpoint = endpoint
    this.#config = config
    this.#timeout = new CommandTimeout(config.commandTimeoutMillis)
    this.patient = new CommandTimeout(config.connectionTimeoutMillis)
    this.#listen(endpoint)
  }

  get client(): RedisClient {
    return this.#endpoint.client
  }

  /** Subject of messages, such as "Redis at localhost:6379". */
  get name(): string {
    return this.#endpoint.name
  }

  get isCluster(): boolean {
    return this.#endpoint.isCluster
  }

  /** The run id that the keys in use belong to. */
  get run(): string {
    return this.#run
  }

  /** Name and version, such as `Redis 7.2.4`. Undefined before the first connection, and of a cluster. */
  get version(): string | undefined {
    return this.#version
  }

  /** What went wrong with the current connection, if anything did. */
  get lastError(): unknown {
    return this.#lastError
  }

  /** Returns the error that says what Redis refuses, or undefined if it cannot be reached at all. */
  refusal(failure: unknown): StorageError | undefined {
    return refusal(failure, this.#endpoint.name, this.#endpoint.database)
  }

  /** Returns the name of a key on the server. */
  at(key: string): string {
    return `${this.#config.keyPrefix}${this.#run}:${key}`
  }

  /** Sends a command, and rejects when the answer takes too long. */
  send<T>(command: () => Promise<T>, timeout = this.#timeout): Promise<T> {
    // A lone command is written at once.
    if (timeout.pending) this.#endpoint.cork()
    return timeout.race(command())
  }

  /** Connects if necessary, and checks that the server can do what the cache needs. */
  async reach(): Promise<void> {
    if (this.client.status !== 'ready') await this.#connect()
    const { database, isCluster, name, client } = this.#endpoint
    const ask = <T>(command: () => Promise<T>) => this.send(command, this.patient)
    try {
      // ioredis ignores a failed SELECT and goes on with database 0, so SELECT once more to see the error.
      if (database > 0) await ask(() => client.select(database))
      if (!isCluster) {
        const [server, replication] = [
          await ask(() => client.info('server')),
          await ask(() => client.info('replication')),
        ]
        if (isReplica(replication)) throw new Error(`${name} is a replica`)
        this.#run = runOf(server)
        this.#version = serverOf(server)
      }
      // Check that this user may store, remove and scan, and that the server can.
      await ask(() => client.claim(this.at('probe'), LEASE, 1))
      // Sent by themselves first: a refusal within a script does not name the command.
      await ask(() => client.unlink(this.at('probe')))
      await ask(() => client.time())
      // Of two keys, which a node of a cluster refuses: their slots differ.
      await this.#inParts(
        PROBES,
        (part) => client.announce(...this.#keysOf(part), this.#writer, MARK_MILLIS),
        this.patient,
      )
      await this.withdraw(PROBES, () => false, this.patient)
      for (const node of this.#endpoint.nodes()) await ask(() => node.scan('0', 'COUNT', 1))
    } catch (error) {
      // No answer: the host may be gone. Drop the connection, or the next probe would wait on it again.
      if (!isReply(error)) this.client.disconnect()
      throw error
    }
  }

  /** Marks keys as being written by this process. */
  async announce(keys: readonly string[]): Promise<void> {
    const mark = [this.#writer, MARK_MILLIS]
    await this.#inParts(keys, (part) => this.client.announce(...this.#keysOf(part), ...mark))
  }

  /** Removes entries, and the marks of keys for which `keepsMark` returns false. Returns the number of entries. */
  async withdraw(
    keys: readonly string[],
    keepsMark: (key: string) => boolean,
    timeout = this.#timeout,
  ): Promise<number> {
    const withdraw = (part: readonly string[]) => {
      const stays = part.map((key) => (keepsMark(key) ? 1 : 0))
      return this.client.withdraw(...this.#keysOf(part), this.#writer, ...stays)
    }
    return sumOf(await this.#inParts(keys, withdraw, timeout))
  }

  /** Removes all keys that begin with the prefix. Returns how many. */
  async unlinkAll(prefix: string, timeout = this.#timeout): Promise<number> {
    let removed = 0
    for await (const names of this.#scan(prefix, timeout)) {
      removed += sumOf(await this.#inParts(names, (part) => this.client.unlink(...part), timeout))
    }
    return removed
  }

  /** Yields the keys that begin with the prefix, some at a time. */
  async *keys(prefix: string): AsyncGenerator<string[], void, void> {
    const { length } = this.at('')
    for await (const names of this.#scan(prefix, this.#timeout)) yield names.map((name) => name.slice(length))
  }

  /** Says how much memory each node has. Leaves out those that do not answer. */
  async diagnose(): Promise<Finding[]> {
    const nodes = [...this.#endpoint.nodes()]
    const infos = await Promise.all(nodes.map((node) => this.send(() => node.info('memory')).catch(() => undefined)))
    return infos.flatMap((info) => (info === undefined ? [] : [diagnoseMemory(this.name, info)])) // `ping` says why not
  }

  /** Closes the connection. */
  async close(): Promise<void> {
    this.#isClosed = true
    if (this.client.status !== 'end') {
      const end = new Promise<void>((resolve) => this.client.once('end', () => resolve()))
      this.client.disconnect()
      await new CommandTimeout(DISCONNECT_MILLIS).race(end).catch(() => {})
    }
    this.#timeout.stop()
    this.patient.stop()
  }

  #listen(endpoint: RedisEndpoint): void {
    const isCurrent = () => this.#endpoint === endpoint
    // An error reply explains more than the closing of the connection that follows it.
    const note = (error: unknown) => {
      if (isCurrent() && !isReply(this.#lastError)) this.#lastError = error
    }
    endpoint.client.on('error', note)
    endpoint.client.on('node error', note)
    endpoint.client.on('close', () => {
      if (!isCurrent()) return
      this.#lastError ??= new Error('The connection was closed')
      this.onClose(this.#lastError)
    })
  }

  async #connect(): Promise<void> {
    this.#lastError = undefined
    if (this.client.status !== 'wait') {
      this.client.disconnect()
      const endpoint = await createClient(this.#config)
      if (this.#isClosed) throw new Error('The connection was closed')
      this.#endpoint = endpoint
      this.#listen(endpoint)
    }
    try {
      await this.patient.race(this.client.connect())
    } catch (error) {
      this.client.disconnect()
      throw this.#lastError ?? error
    }
  }

  /** Returns the first arguments of a script of several keys. */
  #keysOf(keys: readonly string[]): (string | number)[] {
    const names = keys.map((key) => this.at(key))
    return this.isCluster ? names : [names.length, ...names]
  }

  /** Sends a command for each part of the keys: in a cluster a part is one key, as the keys of a command share a slot. */
  #inParts<T>(
    keys: readonly string[],
    command: (part: readonly string[]) => Promise<T>,
    timeout = this.#timeout,
  ): Promise<T[]> {
    const size = this.isCluster ? 1 : KEYS_AT_ONCE
    const sent: Promise<T>[] = []
    for (let i = 0; i < keys.length; i += size) sent.push(this.send(() => command(keys.slice(i, i + size)), timeout))
    return Promise.all(sent)
  }

  #scan(prefix: string, timeout: CommandTimeout): AsyncGenerator<string[]> {
    return scan(this.#endpoint.nodes(), this.at(prefix), (command) => this.send(command, timeout))
  }
}

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0)
}
