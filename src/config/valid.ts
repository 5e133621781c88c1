import type {
  DatabaseBlobStoreConfig,
  InMemoryBlobStoreConfig,
  InMemoryCacheConfig,
  InMemoryCacheOptions,
  InMemoryDatabaseConfig,
  InMemoryDatabaseOptions,
  LocalBlobStoreConfig,
  PostgresConfig,
  PostgresOptions,
  RedisCacheConfig,
  RedisCacheOptions,
  RedisNode,
  RedisSentinels,
  RetentionConfig,
  S3BlobStoreConfig,
  S3Options,
  SessionRetentionConfig,
  SqliteConfig,
  SqliteOptions,
} from './types.ts'

// The compiler holds these types to the output of the schemas (test/types/config.ts).

/** A validated configuration with every default filled in. It is a `StorageConfig` too. */
export interface ValidStorageConfig {
  cache: ValidCache
  database: ValidDatabase
  blobStore: ValidBlobStore
  /** How long rows are kept before maintenance removes them. Undefined: everything is kept. */
  retention?: ValidRetention | undefined
}

export interface ValidRetention
  extends Filled<RetentionConfig, Exclude<keyof RetentionConfig, 'sessions'>, 'sessions'> {
  /** How long sessions are kept. */
  sessions: Filled<SessionRetentionConfig, 'idle'>
}

export type ValidCache = ValidInMemoryCache | ValidRedisCache
export type ValidDatabase = ValidInMemoryDatabase | ValidSqlite | ValidPostgres
export type ValidBlobStore = ValidInMemoryBlobStore | ValidLocalBlobStore | ValidDatabaseBlobStore | ValidS3BlobStore

/** The fields of `T`, with their documentation. The fields `K` are required; the fields `Replaced` are left out. */
type Filled<T, K extends keyof T, Replaced extends keyof T = never> = Omit<T, K | Replaced> & {
  [P in K]-?: NonNullable<T[P]>
}

export interface ValidInMemoryCache extends Filled<InMemoryCacheConfig, never, 'options'> {
  options: Filled<InMemoryCacheOptions, 'maxEntries' | 'maxBytes' | 'maxValueBytes'>
}

export interface ValidRedisCache
  extends Filled<RedisCacheConfig, 'maxConnections' | 'connectionTimeoutMillis', 'options'> {
  options: ValidRedisCacheOptions
}

export interface ValidRedisCacheOptions
  extends Filled<
    RedisCacheOptions,
    'keyPrefix' | 'ttlSeconds' | 'commandTimeoutMillis' | 'maxValueBytes' | 'consistency',
    'cluster' | 'sentinels'
  > {
  /** Nodes through which the client finds a Redis Cluster. */
  cluster?: Filled<RedisNode, 'port'>[] | undefined
  /** Sentinels that know the address of the current master. */
  sentinels?: ValidRedisSentinels | undefined
}

export interface ValidRedisSentinels extends Omit<RedisSentinels, 'nodes'> {
  /** The sentinels. */
  nodes: Filled<RedisNode, 'port'>[]
}

export interface ValidInMemoryDatabase extends Filled<InMemoryDatabaseConfig, never, 'options'> {
  options: Filled<InMemoryDatabaseOptions, 'search'>
}

export interface ValidSqlite extends Filled<SqliteConfig, never, 'options'> {
  options: Filled<SqliteOptions, 'synchronous' | 'readonly' | 'busyTimeoutMillis' | 'search'>
}

export interface ValidPostgres
  extends Filled<PostgresConfig, 'maxConnections' | 'idleTimeoutMillis' | 'connectionTimeoutMillis', 'options'> {
  options: Filled<
    PostgresOptions,
    'prepare' | 'migrationLockTimeoutMillis' | 'applicationName' | 'rowLevelSecurity' | 'search'
  >
}

export interface ValidInMemoryBlobStore
  extends Filled<InMemoryBlobStoreConfig, 'maxBlobSize' | 'maxTotalSize' | 'options'> {}

export interface ValidDatabaseBlobStore
  extends Filled<DatabaseBlobStoreConfig, 'maxBlobSize' | 'maxTotalSize' | 'cleanupAfterDays' | 'options'> {}

export interface ValidLocalBlobStore
  extends Filled<LocalBlobStoreConfig, 'maxBlobSize' | 'maxTotalSize' | 'cleanupAfterDays' | 'options'> {}

export interface ValidS3BlobStore
  extends Filled<
    S3BlobStoreConfig,
    | 'maxBlobSize'
    | 'maxTotalSize'
    | 'cleanupAfterDays'
    | 'maxConnections'
    | 'idleTimeoutMillis'
    | 'connectionTimeoutMillis',
    'options'
  > {
  options: Filled<S3Options, 'requestTimeoutMillis' | 'maxAttempts'>
}
