import type {
  DatabaseBlobStoreConfig,
  InMemoryBlobStoreConfig,
  InMemoryCacheOptions,
  InMemoryDatabaseOptions,
  LocalBlobStoreConfig,
  PostgresConfig,
  PostgresOptions,
  RedisCacheConfig,
  RedisCacheOptions,
  S3BlobStoreConfig,
  S3Options,
  SqliteOptions,
  TlsOptions,
} from './types.ts'

/** A configuration with nothing left to decide: every default is filled in, and every path is absolute. */
export interface ResolvedConfig {
  cache: ResolvedCache
  database: ResolvedDatabase
  blobStore: ResolvedBlobStore
  /** Undefined: everything is kept. */
  retention?: ResolvedRetention | undefined
}

/** How long rows are kept, in milliseconds. */
export interface ResolvedRetention {
  messages: number | 'never'
  sessions: { idle: number | 'never' }
  events: number | 'never'
  toolExecutions: number | 'never'
  abandonedExecutions: number | 'never'
  approvals: number | 'never'
  memories: number | 'never'
  kv: 'never'
}

export type ResolvedCache = ResolvedInMemoryCache | ResolvedRedisCache
export type ResolvedDatabase = ResolvedInMemoryDatabase | ResolvedSqlite | ResolvedPostgres
export type ResolvedBlobStore =
  | ResolvedInMemoryBlobStore
  | ResolvedLocalBlobStore
  | ResolvedDatabaseBlobStore
  | ResolvedS3BlobStore

/** The fields `K` of `T` with their documentation, each with a value. */
type Filled<T, K extends keyof T> = { [P in K]-?: NonNullable<T[P]> }

export interface ResolvedInMemoryCache
  extends Filled<InMemoryCacheOptions, 'maxEntries' | 'maxBytes'>,
    Pick<InMemoryCacheOptions, 'invalidation' | 'listenUrl'> {
  type: 'in-memory'
  /** A serialised value with more bytes is not cached. At most maxBytes. */
  maxValueBytes: number
  /** Time to live of an entry, in seconds. Undefined: 5 in front of PostgreSQL, else none. */
  ttlSeconds?: number | undefined
}

export interface ResolvedRedisCache
  extends Filled<RedisCacheConfig, 'maxConnections' | 'connectionTimeoutMillis'>,
    Filled<RedisCacheOptions, 'keyPrefix' | 'ttlSeconds' | 'commandTimeoutMillis' | 'maxValueBytes' | 'consistency'> {
  type: 'redis'
  connection: RedisAddress
  /** Undefined: as the url says, else no TLS. */
  tls?: TlsOptions | undefined
}

interface ServerAddress {
  host: string
  port: number
}

interface Credentials {
  username?: string | undefined
  password?: string | undefined
}

/** How the Redis servers are found. */
export type RedisAddress =
  | { url: string }
  | ({ cluster: ServerAddress[] } & Credentials)
  | ({ sentinels: { name: string; nodes: ServerAddress[] } & Credentials; database: number } & Credentials)
  | (ServerAddress & { database: number } & Credentials)

export interface ResolvedInMemoryDatabase extends Filled<InMemoryDatabaseOptions, 'search'> {
  type: 'in-memory'
}

export interface ResolvedSqlite
  extends Filled<SqliteOptions, 'synchronous' | 'readonly' | 'busyTimeoutMillis' | 'search'> {
  type: 'sqlite'
  /** Absolute path. Its directory may not exist yet. */
  file: string
}

export interface ResolvedPostgres
  extends Filled<PostgresConfig, 'maxConnections' | 'idleTimeoutMillis' | 'connectionTimeoutMillis'>,
    Filled<
      PostgresOptions,
      'prepare' | 'migrationLockTimeoutMillis' | 'applicationName' | 'rowLevelSecurity' | 'search'
    >,
    Pick<PostgresOptions, 'schema' | 'ssl' | 'statementTimeoutMillis'> {
  type: 'postgres'
  connection: PostgresAddress
}

/** How the PostgreSQL server is found. */
export type PostgresAddress =
  | { url: string }
  | (ServerAddress & { database: string; user: string; password?: string | undefined })

export interface ResolvedInMemoryBlobStore
  extends Filled<InMemoryBlobStoreConfig, 'maxBlobSize' | 'maxTotalSize'>,
    Pick<InMemoryBlobStoreConfig, 'offloadAboveBytes'> {
  type: 'in-memory'
}

export interface ResolvedLocalBlobStore
  extends Filled<LocalBlobStoreConfig, 'maxBlobSize' | 'maxTotalSize' | 'cleanupAfterDays'>,
    Pick<LocalBlobStoreConfig, 'offloadAboveBytes'> {
  type: 'local'
  /** Absolute path of the directory. It may not exist yet. */
  storePath: string
}

export interface ResolvedDatabaseBlobStore
  extends Filled<DatabaseBlobStoreConfig, 'maxBlobSize' | 'maxTotalSize' | 'cleanupAfterDays'>,
    Pick<DatabaseBlobStoreConfig, 'offloadAboveBytes'> {
  type: 'database'
}

export interface ResolvedS3BlobStore
  extends Filled<
      S3BlobStoreConfig,
      | 'bucket'
      | 'region'
      | 'endpoint'
      | 'forcePathStyle'
      | 'maxBlobSize'
      | 'maxTotalSize'
      | 'cleanupAfterDays'
      | 'maxConnections'
      | 'idleTimeoutMillis'
      | 'connectionTimeoutMillis'
    >,
    Filled<S3Options, 'requestTimeoutMillis' | 'maxAttempts' | 'stagingPath'>,
    Pick<S3BlobStoreConfig, 'accessKeyId' | 'secretAccessKey' | 'sessionToken' | 'credentials' | 'offloadAboveBytes'> {
  type: 's3'
  /** Empty, or with a slash at its end. */
  prefix: string
}
