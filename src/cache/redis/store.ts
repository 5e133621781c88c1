import { messageOf } from '../../caught.ts'
import type { ResolvedRedisCache } from '../../config/resolved.ts'
import type { Finding } from '../../diagnosis/findings.ts'
import { StorageError } from '../../errors.ts'
import type { Logger } from '../../logger.ts'
import { BYPASS, type CacheEntry, type CacheStore, type CacheStoreStats } from '../store.ts'
import { CircuitBreaker, type GuardedServer } from './circuit-breaker.ts'
import { CommandTimeout } from './command-timeout.ts'
import type { RedisClient } from './connection.ts'
import { Gathered } from './gathered.ts'
import { Marks } from './marks.ts'
import { OutageReport } from './outage-report.ts'
import { isDemotion, isReply, unavailable, withoutCommand } from './refusal.ts'
import { RedisServer } from './server.ts'
import { ServerWatch } from './server-watch.ts'

const LAST_TRY_MILLIS = 1000
/** Longest interval between two probes while writes are refused. */
const STRICT_PROBE_MILLIS = 1000

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
  readonly #server: RedisServer
  readonly #isStrict: boolean
  readonly #logger: Logger | undefined
  readonly #outage: OutageReport
  readonly #breaker: CircuitBreaker
  readonly #watch: ServerWatch
  readonly #marks = new Marks((keys) => void this.#server.announce(keys).catch(() => {}))
  readonly #announcements = new Gathered((keys) => this.#breaker.announce(keys))
  /** Removals of announced keys. */
  readonly #removals = new Gathered((keys) => this.#breaker.remove(keys))
  #refusals = 0
  #closing: Promise<void> | undefined

  /**
   * Connects to Redis. If Redis cannot be reached, logs one warning, opens without it, and uses it once it answers.
   *
   * @throws {DRIVER_MISSING} when ioredis is not installed
   * @throws {CONNECTION_FAILED} when Redis refuses the user, the password, a command or the database
   */
  static async open(config: ResolvedRedisCache, options: RedisCacheStoreOptions = {}): Promise<RedisCacheStore> {
    const server = await RedisServer.create(config)
    const cache = new RedisCacheStore(server, config, options)
    const failure = await cache.#breaker.recover()
    if (failure === undefined) return cache
    const refused = server.refusal(failure)
    if (refused) {
      await cache.close()
      throw refused
    }
    cache.#outage.report('open', server.name, failure)
    return cache
  }

  private constructor(
    server: RedisServer,
    { consistency }: ResolvedRedisCache,
    { logger, maxDirtyKeys }: RedisCacheStoreOptions,
  ) {
    this.#server = server
    this.#isStrict = consistency === 'strict'
    this.#logger = logger
    this.#outage = new OutageReport(logger, this.#isStrict)
    const keepsMark = (key: string) => this.#marks.has(key)
    const counted = <T>(answer: Promise<T>) => answer.catch((error) => this.#countRefusal(error))
    const guarded: GuardedServer = {
      reach: () => server.reach(),
      announce: (keys) => counted(server.announce(keys)),
      remove: (keys) => counted(server.withdraw(keys, keepsMark)),
      removeEventually: (keys) => counted(server.withdraw(keys, keepsMark, server.patient)),
      clear: (prefix) => counted(server.unlinkAll(prefix)),
      clearEventually: (prefix) => counted(server.unlinkAll(prefix, server.patient)),
      checkPace: async () => void (await server.send(() => server.client.ping())),
    }
    this.#breaker = new CircuitBreaker(guarded, {
      maxDirtyKeys,
      maxDelayMillis: this.#isStrict ? STRICT_PROBE_MILLIS : undefined,
      onChange: (state, cause) => this.#outage.report(state, server.name, cause),
    })
    server.onClose = (cause) => this.#breaker.trip(cause)
    // A cluster has neither a run id nor a role: its nodes redirect what they do not hold.
    const isWatched = () => !server.isCluster && this.#breaker.state === 'closed'
    this.#watch = new ServerWatch({
      info: async (section) => (isWatched() ? server.send(() => server.client.info(section)) : undefined),
      run: () => server.run,
      onChange: (cause) => this.#breaker.trip(cause),
    })
  }

  lookup(key: string): Promise<CacheEntry | null> {
    return this.#ask(key, (client, name) => client.get(name), BYPASS)
  }

  lookupMany(keys: readonly string[]): Promise<(CacheEntry | null)[]> {
    // Not MGET, whose keys must share a slot in a cluster. Single GETs leave in one write, too.
    return Promise.all(keys.map((key) => this.lookup(key)))
  }

  claim(key: string, lease: CacheEntry, ttlMillis: number): Promise<CacheEntry> {
    return this.#ask(key, (client, name) => client.claim(name, lease, ttlMillis), BYPASS)
  }

  async fill(key: string, lease: CacheEntry, entry: CacheEntry, ttlMillis: number): Promise<boolean> {
    return (await this.#ask(key, (client, name) => client.fill(name, lease, entry, ttlMillis), 0)) === 1
  }

  async put(key: string, entry: CacheEntry, ttlMillis: number): Promise<void> {
    const answer = await this.#ask(key, (client, name) => client.set(name, entry, 'PX', ttlMillis), null)
    if (answer !== 'OK') await this.#breaker.remove([key])
  }

  announce(keys: readonly string[]): Promise<void> {
    if (this.#isStrict && this.#breaker.state === 'open') {
      throw unavailable(this.#server.name, this.#server.lastError ?? this.#outage.cause)
    }
    this.#marks.begin(keys)
    return this.#announcements.add(keys).then((failure) => {
      if (this.#isStrict && failure !== undefined) throw unavailable(this.#server.name, failure)
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
    try {
      for await (const keys of this.#server.keys(prefix)) {
        this.#breaker.succeeded()
        yield keys.filter((key) => this.#breaker.allows(key))
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
      await this.#server.send(() => this.#server.client.ping())
    } catch (cause) {
      if (cause instanceof StorageError) throw cause
      throw this.#lost('cannot be reached', this.#server.lastError ?? cause)
    }
    if (this.#breaker.state === 'open') throw this.#lost('answers, and is not in use', this.#outage.cause)
  }

  #lost(what: string, cause: unknown): StorageError {
    const message = `${this.#server.name} ${what}: ${messageOf(cause)}`
    return new StorageError('CONNECTION_LOST', message, { cause: withoutCommand(cause), retryable: true })
  }

  stats(): CacheStoreStats {
    const { state, dirtyKeys } = this.#breaker
    const { version } = this.#server
    return { type: this.type, ...(version && { server: version }), breaker: state, dirtyKeys, refusals: this.#refusals }
  }

  diagnose(): Promise<Finding[]> {
    return this.#server.diagnose()
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
    await this.#server.close()
  }

  async #ask<T, U>(
    key: string,
    command: (client: RedisClient, name: string) => Promise<T>,
    otherwise: U,
  ): Promise<T | U> {
    if (!this.#breaker.allows(key)) return otherwise
    try {
      const answer = await this.#server.send(() => command(this.#server.client, this.#server.at(key)))
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

  #countRefusal(error: unknown): never {
    if (isReply(error)) this.#refusals++
    throw error
  }
}
