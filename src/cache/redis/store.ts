import { randomUUID } from 'node:crypto'
import type { ResolvedRedisCache } from '../../config/resolved.ts'
import type { Finding } from '../../diagnosis/findings.ts'
import { StorageError } from '../../errors.ts'
import type { Logger } from '../../logger.ts'
import { BYPASS, type CacheEntry, type CacheStore, type CacheStoreStats, LEASE } from '../store.ts'
import { CircuitBreaker, type GuardedServer } from './circuit-breaker.ts'
import { CommandTimeout } from './command-timeout.ts'
import { createClient, type RedisClient, type RedisEndpoint } from './connection.ts'
import { diagnoseMemory } from './diagnosis.ts'
import { Gathered } from './gathered.ts'
import { MARK_MILLIS, Marks } from './marks.ts'
import { OutageReport } from './outage-report.ts'
import { isDemotion, isReply, refusal, unavailable } from './refusal.ts'
import { scan } from './scan.ts'
import { isReplica, runOf, ServerWatch, serverOf } from './server-watch.ts'

const KEYS_AT_ONCE = 500
const LAST_TRY_MILLIS = 1000
/** Longest interval between two probes while writes are refused. */
const STRICT_PROBE_MILLIS = 1000
/** How long to wait for the client's `end` event, which ioredis may never emit. */
const DISCONNECT_MILLIS = 500

export interface RedisCacheStoreOptions {
  /** Receives a message whenever Redis goes out of reach or is back. */
  logger?: Logger
  /**
   * Number of keys to remember while Redis is out of reach. If there are more, all keys of the prefix are removed.
   * Default 10,000.
   */
  maxDirtyKeys?: number
}

/**
 * A cache store in Redis, behind a circuit breaker: no call but `ping`, and `announce` of a strict cache, fails, and none
 * waits beyond the command timeout.
 */
export class RedisCacheStore implements CacheStore {
  readonly type = 'redis'
  /** Replaced after each failure: ioredis may never settle the commands in flight. */
  #endpoint: RedisEndpoint
  readonly #config: ResolvedRedisCache
  readonly #logger: Logger | undefined
  readonly #outage: OutageReport
  readonly #breaker: CircuitBreaker
  readonly #commandTimeout: CommandTimeout
  /** Timeout of commands that no call waits for: probes, and invalidations while the breaker is open. */
  readonly #patientTimeout: CommandTimeout
  readonly #watch: ServerWatch
  /** Names this process in the marks that it leaves on keys. */
  readonly #writer = randomUUID()
  readonly #marks = new Marks((keys) => void this.#announce(keys).catch(() => {}))
  readonly #announcements = new Gathered((keys) => this.#breaker.announce(keys))
  /** Removals of announced keys. */
  readonly #removals = new Gathered((keys) => this.#breaker.remove(keys))
  /**
   * The run id of the server. It is part of every key: a server restarted from an old snapshot, or a replica promoted
   * without the last removals, would otherwise answer with stale rows.
   */
  #run = ''
  #server: string | undefined
  #lastError: unknown
  #refusals = 0
  #closing: Promise<void> | undefined

  /**
   * Connects to Redis. If Redis cannot be reached, logs one warning, opens without it, and uses it once it answers.
   *
   * @throws {DRIVER_MISSING} when ioredis is not installed
   * @throws {CONFIG_INVALID} when the database in the url is not a number
   * @throws {CONNECTION_FAILED} when Redis refuses the user, the password, a command or the database
   */
  static async open(config: ResolvedRedisCache, options: RedisCacheStoreOptions = {}): Promise<RedisCacheStore> {
    const cache = new RedisCacheStore(await createClient(config), config, options)
    const failure = await cache.#breaker.recover()
    if (failure === undefined) return cache
    const refused = refusal(failure, cache.#endpoint.name, cache.#endpoint.database)
    if (refused) {
      await cache.close()
      throw refused
    }
    cache.#outage.report('open', cache.#endpoint.name, failure)
    return cache
  }

  private constructor(
    endpoint: RedisEndpoint,
    config: ResolvedRedisCache,
    { logger, maxDirtyKeys }: RedisCacheStoreOptions,
  ) {
    this.#endpoint = endpoint
    this.#config = config
    this.#logger = logger
    this.#outage = new OutageReport(logger, this.#isStrict)
    this.#commandTimeout = new CommandTimeout(config.commandTimeoutMillis)
    this.#patientTimeout = new CommandTimeout(config.connectionTimeoutMillis)
    const server: GuardedServer = {
      reach: () => this.#reach(),
      announce: (keys) => this.#announce(keys),
      remove: (keys) => this.#withdraw(keys),
      removeEventually: (keys) => this.#withdraw(keys, this.#patientTimeout),
      clear: (prefix) => this.#unlinkAll(prefix),
      clearEventually: (prefix) => this.#unlinkAll(prefix, this.#patientTimeout),
      checkPace: async () => void (await this.#send(() => this.#client.ping())),
    }
    this.#breaker = new CircuitBreaker(server, {
      maxDirtyKeys,
      maxDelayMillis: this.#isStrict ? STRICT_PROBE_MILLIS : undefined,
      onChange: (state, cause) => this.#outage.report(state, this.#endpoint.name, cause),
    })
    this.#watch = new ServerWatch({
      info: async (section) => (this.#isWatched() ? this.#send(() => this.#client.info(section)) : undefined),
      run: () => this.#run,
      onChange: (cause) => this.#breaker.trip(cause),
    })
    this.#listen(endpoint)
  }

  get #isStrict(): boolean {
    return this.#config.consistency === 'strict'
  }

  get #client(): RedisClient {
    return this.#endpoint.client
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
      if (isCurrent()) this.#breaker.trip(this.#lastError ?? new Error('The connection was closed'))
    })
  }

  /** Returns false for a cluster, which has neither a run id nor a role: its nodes redirect what they do not hold. */
  #isWatched(): boolean {
    return !this.#endpoint.isCluster && this.#breaker.state === 'closed'
  }

  lookup(key: string): Promise<CacheEntry | null> {
    return this.#ask(key, () => this.#client.get(this.#at(key)), BYPASS)
  }

  lookupMany(keys: readonly string[]): Promise<(CacheEntry | null)[]> {
    // Not MGET, whose keys must share a slot in a cluster. Single GETs leave in one write, too.
    return Promise.all(keys.map((key) => this.lookup(key)))
  }

  claim(key: string, lease: CacheEntry, ttlMillis: number): Promise<CacheEntry> {
    return this.#ask(key, () => this.#client.claim(this.#at(key), lease, ttlMillis), BYPASS)
  }

  async fill(key: string, lease: CacheEntry, entry: CacheEntry, ttlMillis: number): Promise<boolean> {
    return (await this.#ask(key, () => this.#client.fill(this.#at(key), lease, entry, ttlMillis), 0)) === 1
  }

  async put(key: string, entry: CacheEntry, ttlMillis: number): Promise<void> {
    const answer = await this.#ask(key, () => this.#client.set(this.#at(key), entry, 'PX', ttlMillis), null)
    if (answer !== 'OK') await this.#breaker.remove([key])
  }

  announce(keys: readonly string[]): Promise<void> {
    if (this.#isStrict && this.#breaker.state === 'open') throw unavailable(this.#endpoint.name, this.#lastError)
    this.#marks.begin(keys)
    return this.#announcements.add(keys).then((failure) => {
      if (this.#isStrict && failure !== undefined) throw unavailable(this.#endpoint.name, failure)
    })
  }

  async remove(keys: readonly string[]): Promise<number> {
    const wereAnnounced = this.#marks.end(keys)
    this.#announcements.flush() // a mark that follows its removal would stay
    if (!wereAnnounced) return this.#breaker.remove(keys)
    await this.#removals.add(keys)
    return 0 // an announced key has no entry
  }

  async *keys(prefix: string): AsyncGenerator<string[], void, void> {
    if (this.#breaker.state !== 'closed') return
    const { length } = this.#at('')
    try {
      for await (const names of this.#scan(prefix)) {
        this.#breaker.succeeded()
        yield names.map((name) => name.slice(length)).filter((key) => this.#breaker.allows(key))
      }
    } catch (error) {
      this.#failed(error)
    }
  }

  clear(prefix: string): Promise<number> {
    return this.#breaker.clear(prefix)
  }

  async ping(): Promise<void> {
    try {
      await this.#send(() => this.#client.ping())
    } catch (cause) {
      if (cause instanceof StorageError) throw cause
      throw new StorageError('CONNECTION_LOST', `${this.#endpoint.name} cannot be reached`, { cause, retryable: true })
    }
  }

  stats(): CacheStoreStats {
    const { state, dirtyKeys } = this.#breaker
    const server = this.#server
    return { type: this.type, ...(server && { server }), breaker: state, dirtyKeys, refusals: this.#refusals }
  }

  async diagnose(): Promise<Finding[]> {
    const { name } = this.#endpoint
    const nodes = [...this.#endpoint.nodes()]
    const infos = await Promise.all(nodes.map((node) => this.#send(() => node.info('memory')).catch(() => undefined)))
    return infos.flatMap((info) => (info === undefined ? [] : [diagnoseMemory(name, info)])) // `ping` says why not
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    // Only this process knows that these keys are stale: try once more to remove them.
    if (this.#breaker.dirtyKeys > 0) {
      const lastTry = new CommandTimeout(LAST_TRY_MILLIS)
      await lastTry.race(this.#breaker.recover()).catch(() => {})
      lastTry.stop()
    }
    const { dirtyKeys } = this.#breaker
    if (dirtyKeys > 0) {
      const message =
        'Redis did not receive the last invalidations: other processes may read stale rows until their TTL ends'
      this.#logger?.warn(message, { component: 'cache', code: 'INVALIDATIONS_LOST', dirtyKeys })
    }
    this.#watch.stop()
    this.#marks.stop()
    this.#breaker.stop()
    if (this.#client.status !== 'end') {
      const end = new Promise<void>((resolve) => this.#client.once('end', () => resolve()))
      this.#client.disconnect()
      await new CommandTimeout(DISCONNECT_MILLIS).race(end).catch(() => {})
    }
    this.#commandTimeout.stop()
    this.#patientTimeout.stop()
  }

  async #ask<T, U>(key: string, command: () => Promise<T>, otherwise: U): Promise<T | U> {
    if (!this.#breaker.allows(key)) return otherwise
    try {
      const answer = await this.#send(command)
      this.#breaker.succeeded()
      return answer
    } catch (error) {
      this.#failed(error)
      return otherwise
    }
  }

  #failed(error: unknown): void {
    // An error reply shows that the server is up. A replica no longer receives every invalidation, so trip.
    if (isDemotion(error)) this.#breaker.trip(error)
    else if (isReply(error)) this.#refusals++
    else this.#breaker.failed(error)
  }

  #send<T>(command: () => Promise<T>, timeout = this.#commandTimeout): Promise<T> {
    // A lone command is written at once.
    if (timeout.pending) this.#endpoint.cork()
    return timeout.race(command())
  }

  #at(key: string): string {
    return `${this.#config.keyPrefix}${this.#run}:${key}`
  }

  /** Returns the first arguments of a script of several keys. */
  #keysOf(keys: readonly string[]): (string | number)[] {
    const names = keys.map((key) => this.#at(key))
    return this.#endpoint.isCluster ? names : [names.length, ...names]
  }

  async #reach(): Promise<void> {
    if (this.#client.status !== 'ready') await this.#connect()
    const { database, isCluster, name, client } = this.#endpoint
    const ask = <T>(command: () => Promise<T>) => this.#send(command, this.#patientTimeout)
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
        this.#server = serverOf(server)
      }
      // Check that this user may store, remove and scan, and that the server can.
      await ask(() => client.claim(this.#at('probe'), LEASE, 1))
      // Sent by themselves first: a refusal within a script does not name the command.
      await ask(() => client.unlink(this.#at('probe')))
      await ask(() => client.time())
      await ask(() => client.announce(...this.#keysOf(['probe']), this.#writer, MARK_MILLIS))
      await ask(() => client.withdraw(...this.#keysOf(['probe']), this.#writer, 0))
      for (const node of this.#endpoint.nodes()) await ask(() => node.scan('0', 'COUNT', 1))
    } catch (error) {
      // No answer: the host may be gone. Drop the connection, or the next probe would wait on it again.
      if (!isReply(error)) this.#client.disconnect()
      throw error
    }
  }

  async #connect(): Promise<void> {
    this.#lastError = undefined
    if (this.#client.status !== 'wait') {
      this.#client.disconnect()
      this.#endpoint = await createClient(this.#config)
      this.#listen(this.#endpoint)
    }
    try {
      await this.#patientTimeout.race(this.#client.connect())
    } catch (error) {
      this.#client.disconnect()
      throw this.#lastError ?? error
    }
  }

  async #announce(keys: readonly string[]): Promise<void> {
    const mark = [this.#writer, MARK_MILLIS]
    await this.#inParts(keys, (part) => this.#client.announce(...this.#keysOf(part), ...mark))
  }

  async #withdraw(keys: readonly string[], timeout = this.#commandTimeout): Promise<number> {
    const withdraw = (part: readonly string[]) => {
      const stays = part.map((key) => (this.#marks.has(key) ? 1 : 0))
      return this.#client.withdraw(...this.#keysOf(part), this.#writer, ...stays)
    }
    return (await this.#inParts(keys, withdraw, timeout)).reduce((sum, count) => sum + count, 0)
  }

  /** Sends a command for each part of the keys: in a cluster a part is one key, as the keys of a command share a slot. */
  #inParts<T>(
    keys: readonly string[],
    command: (part: readonly string[]) => Promise<T>,
    timeout = this.#commandTimeout,
  ): Promise<T[]> {
    const size = this.#endpoint.isCluster ? 1 : KEYS_AT_ONCE
    const sent: Promise<T>[] = []
    for (let i = 0; i < keys.length; i += size) sent.push(this.#send(() => command(keys.slice(i, i + size)), timeout))
    return Promise.all(sent)
  }

  async #unlinkAll(prefix: string, timeout = this.#commandTimeout): Promise<number> {
    let removed = 0
    for await (const names of this.#scan(prefix, timeout)) {
      const counts = await this.#inParts(names, (part) => this.#client.unlink(...part), timeout)
      removed += counts.reduce((sum, count) => sum + count, 0)
    }
    return removed
  }

  #scan(prefix: string, timeout = this.#commandTimeout): AsyncGenerator<string[]> {
    return scan(this.#endpoint.nodes(), this.#at(prefix), (command) => this.#send(command, timeout))
  }
}
