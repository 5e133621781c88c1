import type { Cluster, Redis, RedisOptions } from 'ioredis'
import type { RedisCacheConfig, RedisConnection } from '../../config/resolve.ts'
import { StorageError } from '../../errors.ts'
import { importDriver } from '../../import-driver.ts'
import { SCRIPTS, type Scripts } from './scripts.ts'

/** What of ioredis the cache uses: both of its clients have it. */
export type RedisClient = Pick<
  Redis,
  'get' | 'set' | 'unlink' | 'ping' | 'select' | 'info' | 'connect' | 'disconnect' | 'status' | 'on' | 'once'
> &
  Scripts

export interface RedisEndpoint {
  client: RedisClient
  /** For messages. */
  name: string
  /** Its number; a cluster has database 0 only. */
  database: number
  isCluster: boolean
  /** Called before commands: what is sent in one turn of the event loop leaves in one write. */
  cork(): void
  /** Whom to ask for keys that one does not know. */
  nodes(): Redis[]
}

/** Nothing waits in the client for better times, nothing is sent twice, and the breaker alone decides when to reconnect. */
const CLIENT_OPTIONS = { lazyConnect: true, enableOfflineQueue: false, scripts: SCRIPTS }

/** A client that is not connected yet. Errors: DRIVER_MISSING; CONFIG_INVALID where the url's database is no number. */
export async function createClient(config: RedisCacheConfig): Promise<RedisEndpoint> {
  const { Cluster, Redis } = await importDriver('ioredis', () => import('ioredis'))
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
    // The breaker sees the cluster as a whole; a node that went silent is given up by its own connection.
    const redisOptions = { ...options, username, password, socketTimeout: 4 * commandTimeoutMillis }
    const cluster = new Cluster(startupNodes, {
      ...CLIENT_OPTIONS,
      redisOptions,
      enableAutoPipelining: true,
      clusterRetryStrategy: () => null,
    })
    return {
      client: withScripts(cluster),
      name: 'The Redis cluster',
      database: 0,
      isCluster: true,
      cork: () => {}, // enableAutoPipelining does it
      nodes: () => cluster.nodes('master'),
    }
  }
  const address = addressOf(connection, connectionTimeoutMillis)
  const redis = new Redis({
    ...CLIENT_OPTIONS,
    ...options,
    ...address,
    tls: tls ?? address.tls,
    retryStrategy: () => null,
  })
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

/** Faster than ioredis' enableAutoPipelining, and without its queue, which waits for the pipeline before to be answered. */
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
  connection: Exclude<RedisConnection, { cluster: unknown }>,
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
      // Whoever refuses writes is the master no more: ask the sentinels again.
      reconnectOnError: (error) => error.message.startsWith('READONLY'),
      db: database,
      username,
      password,
    }
  }
  const { host, port, database, username, password } = connection
  return { host, port, db: database, username, password }
}

/** Not ioredis' own parser, which takes options of the client from the query. */
function parseUrl(text: string): RedisOptions {
  const { protocol, hostname, port, username, password, pathname } = new URL(text)
  const database = Number(pathname.slice(1))
  if (!Number.isSafeInteger(database) || database < 0) {
    throw new StorageError(
      'CONFIG_INVALID',
      'cache.url: what follows the host must be the number of a database, such as /0',
    )
  }
  return {
    host: hostname.replace(/^\[|\]$/g, '') || 'localhost',
    port: Number(port || 6379),
    db: database,
    username: decodeURIComponent(username) || undefined,
    password: decodeURIComponent(password) || undefined,
    tls: protocol === 'rediss:' ? {} : undefined,
  }
}

function withScripts(client: Redis | Cluster): RedisClient {
  return client as Redis & Scripts // defined by the option `scripts`; Cluster speaks the same commands
}
