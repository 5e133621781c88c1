import { tmpdir } from 'node:os'
import { extname, resolve } from 'node:path'
import { httpUrl } from './fields.ts'
import { pathOfFileUrl } from './file-url.ts'
import type {
  PostgresAddress,
  RedisAddress,
  ResolvedBlobStore,
  ResolvedCache,
  ResolvedConfig,
  ResolvedDatabase,
  ResolvedRetention,
  ResolvedS3BlobStore,
} from './resolved.ts'
import type {
  ValidBlobStore,
  ValidCache,
  ValidDatabase,
  ValidPostgres,
  ValidRedisCache,
  ValidRetention,
  ValidS3BlobStore,
  ValidSqlite,
  ValidStorageConfig,
} from './valid.ts'
import { configError, validateConfig } from './validate.ts'

export interface ResolveOptions {
  /** The directory that relative paths start from. Default: the working directory. */
  baseDir?: string | undefined
}

/**
 * Validates a configuration, `{ storage: { ... } }` or the content of `storage`, and settles every default and path.
 * Undefined means in-memory everywhere. Reads no file.
 *
 * @throws {CONFIG_INVALID} when the configuration is not valid; the error names every problem
 */
export function resolveConfig(input?: unknown, { baseDir = process.cwd() }: ResolveOptions = {}): ResolvedConfig {
  return resolveValidConfig(withAbsolutePaths(validateConfig(input), resolve(baseDir)))
}

/** Resolves a valid configuration whose paths are absolute. */
export function resolveValidConfig({ cache, database, blobStore, retention }: ValidStorageConfig): ResolvedConfig {
  return {
    cache: resolveCache(cache),
    database: resolveDatabase(database),
    blobStore: resolveBlobStore(blobStore),
    ...(retention && { retention: resolveRetention(retention) }),
  }
}

function resolveRetention({ sessions, kv, ...ages }: ValidRetention): ResolvedRetention {
  return {
    messages: millisOf(ages.messages),
    sessions: { idle: millisOf(sessions.idle) },
    events: millisOf(ages.events),
    toolExecutions: millisOf(ages.toolExecutions),
    abandonedExecutions: millisOf(ages.abandonedExecutions),
    approvals: millisOf(ages.approvals),
    memories: millisOf(ages.memories),
    kv,
  }
}

const HOUR_MILLIS = 3_600_000

/** Returns the milliseconds of a valid age, such as `30d`. */
function millisOf(age: string): number | 'never' {
  if (age === 'never') return age
  return Number.parseInt(age, 10) * (age.endsWith('d') ? 24 * HOUR_MILLIS : HOUR_MILLIS)
}

/** Returns the same configuration with absolute paths, so that it can be opened from any directory. */
export function withAbsolutePaths(config: ValidStorageConfig, base: string): ValidStorageConfig {
  const { database, blobStore } = config
  return {
    ...config,
    database: database.type === 'sqlite' ? { ...database, ...sqlitePath(database, base) } : database,
    blobStore: withAbsoluteStore(blobStore, base),
  }
}

function withAbsoluteStore(blobStore: ValidBlobStore, base: string): ValidBlobStore {
  if (blobStore.type === 'local') {
    return { ...blobStore, storePath: resolve(base, plainPath(blobStore.storePath ?? 'blobs')) }
  }
  if (blobStore.type !== 's3' || blobStore.options.stagingPath === undefined) return blobStore
  const stagingPath = resolve(base, plainPath(blobStore.options.stagingPath))
  return { ...blobStore, options: { ...blobStore.options, stagingPath } }
}

/** Returns the absolute directory and the name of the file in it, or the absolute file as `path` alone. */
function sqlitePath({ path: given = '.', database: name }: ValidSqlite, base: string) {
  const path = plainPath(given)
  const database = name && plainPath(name)
  const isDirectory = extname(path) === '' || /[\\/]$/.test(path)
  return { path: resolve(base, path), database: database ?? (isDirectory ? 'agent.db' : undefined) }
}

/** Returns the path that a `file:` url names, and any other path as it is. */
function plainPath(path: string): string {
  return path.startsWith('file:') ? (pathOfFileUrl(path) ?? path) : path
}

function resolveCache(cache: ValidCache): ResolvedCache {
  if (cache.type === 'in-memory') {
    const { maxValueBytes, ...options } = cache.options
    return { type: 'in-memory', ...options, maxValueBytes: Math.min(maxValueBytes, options.maxBytes) }
  }
  const { maxConnections, connectionTimeoutMillis } = cache
  const { keyPrefix, ttlSeconds, commandTimeoutMillis, maxValueBytes, consistency, tls } = cache.options
  return {
    type: 'redis',
    connection: redisConnection(cache),
    tls: tls === true ? {} : tls || undefined,
    maxConnections,
    connectionTimeoutMillis,
    commandTimeoutMillis,
    keyPrefix,
    ttlSeconds,
    maxValueBytes,
    consistency,
  }
}

function redisConnection({
  url,
  host,
  port,
  username,
  password,
  database = 0,
  options,
}: ValidRedisCache): RedisAddress {
  const { cluster, sentinels } = options
  if (url !== undefined) return { url }
  if (cluster) return { cluster, username, password }
  if (sentinels) return { sentinels, database, username, password }
  return { host: host ?? 'localhost', port: port ?? 6379, database, username, password }
}

function resolveDatabase(config: ValidDatabase): ResolvedDatabase {
  if (config.type === 'in-memory') return { type: 'in-memory', ...config.options }
  if (config.type === 'sqlite') {
    const { path = '.', database = '', options } = config
    return { type: 'sqlite', file: resolve(path, database), ...options }
  }
  const { maxConnections, idleTimeoutMillis, connectionTimeoutMillis, options } = config
  return {
    type: 'postgres',
    connection: postgresConnection(config),
    maxConnections,
    idleTimeoutMillis,
    connectionTimeoutMillis,
    ...options,
  }
}

/** Returns the address. The schema has checked that there is a url, or host, database and user. */
function postgresConnection(config: ValidPostgres): PostgresAddress {
  const { url = config.connectionString, host = '', port = 5432, database = '', user = '', password } = config
  return url === undefined ? { host, port, database, user, password } : { url }
}

function resolveBlobStore(blobStore: ValidBlobStore): ResolvedBlobStore {
  const { maxBlobSize, maxTotalSize, offloadAboveBytes } = blobStore
  const limits = { maxBlobSize, maxTotalSize, ...(offloadAboveBytes !== undefined && { offloadAboveBytes }) }
  if (blobStore.type === 'in-memory') return { type: 'in-memory', ...limits }
  if (blobStore.type === 's3') return resolveS3(blobStore)
  if (blobStore.type === 'database') {
    return { type: 'database', ...limits, cleanupAfterDays: blobStore.cleanupAfterDays }
  }
  const { storePath = '', cleanupAfterDays } = blobStore
  return { type: 'local', storePath, ...limits, cleanupAfterDays }
}

/** Returns what is to be known of a bucket. The address may be in the environment, as for the tools of AWS. */
function resolveS3({ options, prefix = '', ...config }: ValidS3BlobStore, env = process.env): ResolvedS3BlobStore {
  const given = config.endpoint ?? endpointIn(env)
  const named = config.region ?? (env.AWS_REGION || env.AWS_DEFAULT_REGION || undefined)
  const region = named ?? (given === undefined ? undefined : 'us-east-1')
  if (region === undefined) {
    const message = 'is missing; name the region of the bucket, or set AWS_REGION'
    throw configError([{ path: 'blobStore.region', message }], 'The storage configuration')
  }
  const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com'
  const folder = prefix.replace(/\/$/, '')
  return {
    ...config,
    ...options,
    region,
    endpoint: given ?? `https://s3.${region}.${domain}`,
    prefix: folder === '' ? '' : `${folder}/`,
    forcePathStyle: config.forcePathStyle ?? (given !== undefined || config.bucket.includes('.')),
    stagingPath: options.stagingPath ?? tmpdir(),
  }
}

/** Returns the address that the environment names, which is checked like that of a configuration. */
function endpointIn(env: NodeJS.ProcessEnv): string | undefined {
  const name = ['AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL'].find((candidate) => env[candidate])
  if (name === undefined) return undefined
  const { success, data } = httpUrl.safeParse(env[name])
  if (success) return data
  const message = `is not given, and the environment variable ${name} is no url like http://localhost:9000`
  throw configError([{ path: 'blobStore.endpoint', message }], 'The storage configuration')
}
