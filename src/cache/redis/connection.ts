import type { Cluster, Redis, RedisOptions } from 'ioredis'
import type { RedisAddress, ResolvedRedisCache } from '../../config/resolved.ts'
import { exportsOf, importDriver, unsupportedDriver } from '../../import-driver.ts'
import { SCRIPTS, SCRIPTS_OF_ONE_KEY, type Scripts } from './scripts.ts'

/** The part of ioredis that the cache uses. `Redis` and `Cluster` both have it. */
export type RedisClient = Pick<
  Redis,
  'get' | 'set' | 'unlink' | 'time' | 'ping' | 'select' | 'info' | 'connect' | 'disconnect' | 'status' | 'on' | 'once'
> &
  Scripts

export interface RedisEndpoint {
  client: RedisClient
  /** Subject of messages, such as "Redis at localhost:6379". */
  name: string
  /** Number of the logical database. Always 0 for a cluster. */
  database: number
  isCluster: boolean
  /** Buffers the commands of the current turn of the event loop, which then leave in one write. */
  cork(): void
  /** Returns every node to scan for keys. */
  nodes(): Redis[]
}

/** package.json names the same range. */
const SUPPORTED_VERSIONS = '^5.3 || ^6'

/** No offline queue, no resending and no reconnecting: the circuit breaker alone decides when to reconnect. */
const CLIENT_OPTIONS = { lazyConnect: true, enableOfflineQueue: false }

/**
 * Creates a client, without connecting it.
 *
 * @throws {DRIVER_MISSING} when ioredis is not installed, or its version is not supported
 */
export async function createClient(config: ResolvedRedisCache): Promise<RedisEndpoint> {
  const { Cluster, Redis } = await importDriver('ioredis', loadIoredis)
  const { connection, tls, connectionTimeoutMillis, commandTimeoutMillis } = config
  const options: RedisOptions = {
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    connectTimeout: connectionTimeoutMillis,
    disconnectTimeout: 100,
    tls,
  }
  if ('cluster' in connection) {
    const { cluster: startupNodes, username, password } = connection
    // The breaker sees only the cluster as a whole, so each connection gives up a silent node itself.
    const redisOptions = { ...options, username, password, socketTimeout: 4 * commandTimeoutMillis }
    const cluster = new Cluster(startupNodes, {
      ...CLIENT_OPTIONS,
      scripts: SCRIPTS_OF_ONE_KEY,
      redisOptions,
      enableAutoPipelining: true,
      clusterRetryStrategy: () => null,
    })
    cluster.on('+node', unrefWhenConnected)
    return {
      client: withScripts(cluster),
      name: 'The Redis cluster',
      database: 0,
      isCluster: true,
      cork: () => {}, // enableAutoPipelining does it
      nodes: () => cluster.nodes('master'),
    }
  }
  const address = addressOf(connection, tls, connectionTimeoutMillis)
  const redis = new Redis({
    ...CLIENT_OPTIONS,
    scripts: SCRIPTS,
    ...options,
    ...address,
    tls: tls ?? address.tls,
    retryStrategy: () => null,
  })
  unrefWhenConnected(redis)
  const name = address.name ? `The Redis master ${address.name}` : `Redis at ${address.host}:${address.port}`
  return {
    client: withScripts(redis),
    name,
    database: address.db ?? 0,
    isCluster: false,
    cork: corkUntilNextTick(redis),
    nodes: () => [redis],
  }
}

/** Lets a program that forgets to close its storage end. While a command is waiting, its timeout keeps the process alive. */
function unrefWhenConnected(redis: Redis): void {
  redis.on('connect', () => redis.stream.unref())
}

async function loadIoredis() {
  const driver = exportsOf(await import('ioredis'), 'Redis')
  // Version 4 and 5.0 have no export of this name.
  if (typeof driver.Redis !== 'function') throw unsupportedDriver('ioredis', SUPPORTED_VERSIONS, '6')
  return driver
}

/**
 * Returns a function that corks the socket until the next tick. Faster than ioredis' enableAutoPipelining, which queues
 * commands until the previous pipeline is answered.
 */
function corkUntilNextTick(redis: Redis): () => void {
  let corked = false
  return () => {
    if (corked || redis.status !== 'ready') return
    corked = true
    const { stream } = redis
    stream.cork()
    process.nextTick(() => {
      corked = false
      stream.uncork()
    })
  }
}

function addressOf(
  connection: Exclude<RedisAddress, { cluster: unknown }>,
  tls: ResolvedRedisCache['tls'],
  sentinelCommandTimeout: number,
): RedisOptions {
  if ('url' in connection) return parseUrl(connection.url)
  if ('sentinels' in connection) {
    const { sentinels, database, username, password } = connection
    return {
      name: sentinels.name,
      sentinels: sentinels.nodes,
      sentinelUsername: sentinels.username,
      sentinelPassword: sentinels.password,
      sentinelRetryStrategy: () => null,
      sentinelCommandTimeout,
      // Without these two, ioredis connects to sentinels and master in plain text, whatever `tls` says.
      sentinelTLS: tls,
      enableTLSForSentinelMode: tls !== undefined,
      // READONLY means that this node is no longer the master: ask the sentinels again.
      reconnectOnError: (error) => error.message.startsWith('READONLY'),
      db: database,
      username,
      password,
    }
  }
  const { host, port, database, username, password } = connection
  return { host, port, db: database, username, password }
}

/** Parses a Redis url, which the schema has checked. ioredis' own parser would also take client options from the query. */
function parseUrl(text: string): RedisOptions {
  const { protocol, hostname, port, username, password, pathname } = new URL(text)
  return {
    host: hostname.replace(/^\[|\]$/g, '') || 'localhost',
    port: Number(port || 6379),
    db: Number(pathname.slice(1)),
    username: decodeURIComponent(username) || undefined,
    password: decodeURIComponent(password) || undefined,
    tls: protocol === 'rediss:' ? {} : undefined,
  }
}

function withScripts(client: Redis | Cluster): RedisClient {
  return client as Redis & Scripts // the option `scripts` defines them; Cluster has the same commands
}
