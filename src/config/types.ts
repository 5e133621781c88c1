// The configuration as a user writes it. The compiler holds these types to the schemas (test/types/config.ts), and a
// test holds their comments to the texts of the schemas (test/config/types.test.ts).

/** The content of a `storage:` section. A layer that is left out is in memory. */
export interface StorageConfig {
  /** Keeps copies of rows in front of the database. Default: in memory. */
  cache?: CacheConfig | undefined
  /** Keeps everything but the bytes of blobs. Default: in memory. */
  database?: DatabaseConfig | undefined
  /** Keeps the bytes of blobs. Default: in memory. */
  blobStore?: BlobStoreConfig | undefined
  /** Another name for blobStore. */
  blob?: BlobStoreConfig | undefined
  /** How long rows are kept before maintenance removes them. Default: everything is kept. */
  retention?: RetentionConfig | undefined
}

/** A configuration under its key, as in a file. */
export interface StorageConfigFile {
  /** How the agent stores its data. Default: everything in memory. */
  storage?: StorageConfig | null | undefined
}

/** How long rows are kept: texts such as `30d`, `12h` or `never`. */
export interface RetentionConfig {
  /** Age at which a message is removed, oldest first, such as 30d or 12h, or never. Default never. */
  messages?: string | undefined
  /** How long sessions are kept. */
  sessions?: SessionRetentionConfig | undefined
  /** Age at which an event is removed, or never. Default never. */
  events?: string | undefined
  /** The record of a tool execution is removed this long after its end, or never. Default never. */
  toolExecutions?: string | undefined
  /** A tool execution that has been running for so long counts as left behind by a crash, or never. Default 7d. */
  abandonedExecutions?: string | undefined
  /** An approval is removed this long after its response, or never. Default never. */
  approvals?: string | undefined
  /** A memory that is not pinned is removed this long after its last change, or never. Default never. */
  memories?: string | undefined
  /** Always never: an entry has a time of its own, the option ttlSeconds of kv.set(). */
  kv?: 'never' | undefined
}

export interface SessionRetentionConfig {
  /** A session that was not active for this time is removed with its messages, or never. Default never. */
  idle?: string | undefined
}

export type CacheConfig = InMemoryCacheConfig | RedisCacheConfig
export type DatabaseConfig = InMemoryDatabaseConfig | SqliteConfig | PostgresConfig
export type BlobStoreConfig =
  | InMemoryBlobStoreConfig
  | LocalBlobStoreConfig
  | DatabaseBlobStoreConfig
  | S3BlobStoreConfig

/** Fields that have no effect on a backend without a connection pool. They let a file stay valid when its type changes. */
export interface IgnoredPoolFields {
  /** Accepted on every backend. This backend has no pool to tune. */
  maxConnections?: number | undefined
  /** Accepted on every backend. This backend has no idle connections. */
  idleTimeoutMillis?: number | undefined
  /** Accepted on every backend. This backend does not wait for connections. */
  connectionTimeoutMillis?: number | undefined
}

/** A cache in the memory of this process. */
export interface InMemoryCacheConfig extends IgnoredPoolFields {
  type: 'in-memory'
  /** Limits of the cache. */
  options?: InMemoryCacheOptions | undefined
}

export interface InMemoryCacheOptions {
  /** How many entries are kept. The least recently used entry is evicted first. Default 10,000. */
  maxEntries?: number | undefined
  /** How many bytes keys and serialised values take together. Default 64 MiB. */
  maxBytes?: number | undefined
  /** A serialised value with more bytes is not cached. Default 1 MiB. */
  maxValueBytes?: number | undefined
  /** Time to live of an entry, in seconds. Default 5 in front of PostgreSQL, else none. */
  ttlSeconds?: number | undefined
  /** notify: the instances on one PostgreSQL tell each other of their writes, with NOTIFY. Default: they do not. */
  invalidation?: 'notify' | undefined
  /** Address of the same database for LISTEN, past a pooler. Only with invalidation. Default: as the database. */
  listenUrl?: string | undefined
}

/** A cache in Redis. Its address is a url, or a host, or options.cluster, or options.sentinels. */
export interface RedisCacheConfig {
  type: 'redis'
  /** Address, user, password and database in one; rediss:// for TLS. Instead of the fields of the address. */
  url?: string | undefined
  /** Host name or address. Default localhost. */
  host?: string | undefined
  /** TCP port. Default 6379. */
  port?: number | undefined
  /** User of the access control list. Default: the default user. */
  username?: string | undefined
  /** Password of the user. */
  password?: string | undefined
  /** Number of the logical database. Default 0. */
  database?: number | undefined
  /** Upper limit of connections. One connection serves all commands. Default 10. */
  maxConnections?: number | undefined
  /** Accepted on every backend. The connection to Redis stays open. */
  idleTimeoutMillis?: number | undefined
  /** Longest wait for a connection, in milliseconds. Default 5,000. */
  connectionTimeoutMillis?: number | undefined
  /** Options of Redis. */
  options?: RedisCacheOptions | undefined
}

export interface RedisCacheOptions {
  /** Prefix of every key; separates two agents on one Redis. Default holdfast: */
  keyPrefix?: string | undefined
  /** Time to live of an entry, in seconds. Default 3,600. */
  ttlSeconds?: number | undefined
  /** Longest wait for an answer, in milliseconds. After it, the database answers. Default 250. */
  commandTimeoutMillis?: number | undefined
  /** A serialised value with more bytes is not cached. Default 1 MiB. */
  maxValueBytes?: number | undefined
  /** strict: while Redis is away, a write to cached rows fails with CACHE_UNAVAILABLE. available (default): it is done. */
  consistency?: 'available' | 'strict' | undefined
  /** TLS: true, or its options. Default: as the url says, else no TLS. */
  tls?: boolean | TlsOptions | undefined
  /** Nodes through which the client finds a Redis Cluster. Instead of url and host. */
  cluster?: readonly RedisNode[] | undefined
  /** Sentinels that know the address of the current master. Instead of url and host. */
  sentinels?: RedisSentinels | undefined
}

export interface RedisNode {
  /** Host name or address. */
  host: string
  /** TCP port. Default 6379, for a sentinel 26379. */
  port?: number | undefined
}

export interface RedisSentinels {
  /** Name of the group whose master is used. */
  name: string
  /** The sentinels. */
  nodes: readonly RedisNode[]
  /** User of the sentinels themselves. */
  username?: string | undefined
  /** Password of the sentinels themselves. */
  password?: string | undefined
}

/** A database in the memory of this process. Its data is lost when the process ends. */
export interface InMemoryDatabaseConfig extends IgnoredPoolFields {
  type: 'in-memory'
  /** Options of the database. */
  options?: InMemoryDatabaseOptions | undefined
}

/** Which texts are indexed: none, what people and models say, or also the inputs and outputs of tools. */
export type SearchSetting = boolean | 'with-tools'

export interface InMemoryDatabaseOptions {
  /** Index messages and memories, so that they can be searched; with-tools: also what tools get and return. Default false. */
  search?: SearchSetting | undefined
}

/** A SQLite file. */
export interface SqliteConfig extends IgnoredPoolFields {
  type: 'sqlite'
  /** The file, if it has an extension and database is not given; else the directory. Default: the base directory. */
  path?: string | undefined
  /** The file in that directory. Default agent.db. */
  database?: string | undefined
  /** Options of SQLite. */
  options?: SqliteOptions | undefined
}

export interface SqliteOptions {
  /** full: an acknowledged write survives a power failure. normal: only a crash of the process. Default full. */
  synchronous?: 'full' | 'normal' | undefined
  /** Open an existing file for reading only. Default false. */
  readonly?: boolean | undefined
  /** Longest wait for another process that writes, in milliseconds. Default 5,000. */
  busyTimeoutMillis?: number | undefined
  /** Index messages and memories, so that they can be searched; with-tools: also what tools get and return. Default false. */
  search?: SearchSetting | undefined
}

/** A PostgreSQL database. Its address is a url, or a host with database and user. */
export interface PostgresConfig {
  type: 'postgres'
  /** Address, user, password and database in one. Instead of the fields of the address. */
  url?: string | undefined
  /** Another name for url. */
  connectionString?: string | undefined
  /** Host name, address, or directory of the Unix socket. */
  host?: string | undefined
  /** TCP port. Default 5432. */
  port?: number | undefined
  /** Name of the database. Required beside host. */
  database?: string | undefined
  /** User to connect as. Required beside host. */
  user?: string | undefined
  /** Password of the user. */
  password?: string | undefined
  /** Size of the connection pool. Default 10. */
  maxConnections?: number | undefined
  /** An idle connection is closed after this time, in milliseconds; 0: never. Default 30,000. */
  idleTimeoutMillis?: number | undefined
  /** Longest wait for a connection, in milliseconds. Default 10,000. */
  connectionTimeoutMillis?: number | undefined
  /** Options of PostgreSQL. */
  options?: PostgresOptions | undefined
}

export interface PostgresOptions {
  /** Schema of the tables; separates two agents in one database. Default: as the server says. */
  schema?: string | undefined
  /** TLS: true, a mode, or its options. Default: as the url says, else no TLS. */
  ssl?: boolean | 'require' | 'allow' | 'prefer' | 'verify-full' | TlsOptions | undefined
  /** Prepare statements on the server. Set it to false behind a pooler in transaction mode. Default true. */
  prepare?: boolean | undefined
  /** The server cancels a statement after this time, in milliseconds. Default: as the server says. */
  statementTimeoutMillis?: number | undefined
  /** Longest wait at open for another process that migrates, or for a table in use, in milliseconds. Default 60,000. */
  migrationLockTimeoutMillis?: number | undefined
  /** Name of the program in pg_stat_activity. Default holdfast. */
  applicationName?: string | undefined
  /** Have PostgreSQL show a scope the rows of its owner alone. The tables need policies, see docs/owners.md. Default false. */
  rowLevelSecurity?: boolean | undefined
  /** Index messages and memories, so that they can be searched; with-tools: also what tools get and return. Default false. */
  search?: SearchSetting | undefined
}

/** Blobs in the memory of this process. */
export interface InMemoryBlobStoreConfig extends IgnoredPoolFields {
  type: 'in-memory'
  /** Size of the largest blob, in bytes. Default 10 MiB. */
  maxBlobSize?: number | undefined
  /** Size of all blobs together, in bytes. Default 100 MiB. */
  maxTotalSize?: number | undefined
  /** Data in a message becomes a blob if it has more bytes than this. Default: messages keep all data. */
  offloadAboveBytes?: number | undefined
  /** This backend has no further options. */
  options?: Record<string, never> | undefined
}

/** Blobs as files in a directory. */
export interface LocalBlobStoreConfig extends IgnoredPoolFields {
  type: 'local'
  /** Directory of the blobs. Default: blobs in the base directory. */
  storePath?: string | undefined
  /** Size of the largest blob, in bytes. Default 50 MiB. */
  maxBlobSize?: number | undefined
  /** Size of all blobs together, in bytes. Default 1 GiB. */
  maxTotalSize?: number | undefined
  /** A blob that nothing refers to is removed after this many days without use, or never. Default 30. */
  cleanupAfterDays?: number | 'never' | undefined
  /** Data in a message becomes a blob if it has more bytes than this. Default: messages keep all data. */
  offloadAboveBytes?: number | undefined
  /** This backend has no further options. */
  options?: Record<string, never> | undefined
}

/** Blobs as objects in a bucket of S3, or of a server that speaks the protocol of S3. */
export interface S3BlobStoreConfig {
  type: 's3'
  /** Name of the bucket, which must exist. */
  bucket: string
  /** Region of the bucket. Default: AWS_REGION or AWS_DEFAULT_REGION; beside endpoint us-east-1. */
  region?: string | undefined
  /** Address of a server that is not of AWS. Default: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, else AWS. */
  endpoint?: string | undefined
  /** Folder in the bucket; separates two stores. Default: the whole bucket. */
  prefix?: string | undefined
  /** Name the bucket in the path of a URL instead of its host. Default: true beside endpoint, or if the name has a dot. */
  forcePathStyle?: boolean | undefined
  /** Access key. Default: AWS_ACCESS_KEY_ID, with AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. */
  accessKeyId?: string | undefined
  /** Secret of the access key. Required beside accessKeyId. */
  secretAccessKey?: string | undefined
  /** Token of a temporary access key. */
  sessionToken?: string | undefined
  /** Function that returns the keys, asked again before they expire. Instead of accessKeyId; not in a file. */
  credentials?: (() => S3Credentials | Promise<S3Credentials>) | undefined
  /** Size of the largest blob, in bytes, at most 5 GiB. Default 50 MiB. */
  maxBlobSize?: number | undefined
  /** Size of all blobs together, in bytes. Default 1 GiB. */
  maxTotalSize?: number | undefined
  /** A blob that nothing refers to is removed after this many days without use, or never. Default 30. */
  cleanupAfterDays?: number | 'never' | undefined
  /** Data in a message becomes a blob if it has more bytes than this. Default: messages keep all data. */
  offloadAboveBytes?: number | undefined
  /** Upper limit of requests under way, and so of connections. Default 64. */
  maxConnections?: number | undefined
  /** An idle connection is closed after this time, in milliseconds. Default 10,000. */
  idleTimeoutMillis?: number | undefined
  /** Longest wait for a connection, in milliseconds. Default 10,000. */
  connectionTimeoutMillis?: number | undefined
  /** Options of the requests. */
  options?: S3Options | undefined
}

export interface S3Options {
  /** Longest wait for an answer, and for the next bytes of one, in milliseconds. Default 30,000. */
  requestTimeoutMillis?: number | undefined
  /** How often a request is sent at most, if it fails for a passing reason. Default 5. */
  maxAttempts?: number | undefined
  /** Directory for the bytes of puts in progress. Default: the temporary directory of the system. */
  stagingPath?: string | undefined
}

/** Keys for a bucket, as the credential providers of AWS return them. */
export interface S3Credentials {
  accessKeyId: string
  secretAccessKey: string
  /** The token of temporary keys. */
  sessionToken?: string | undefined
  /** When temporary keys expire. Default: never. */
  expiration?: Date | undefined
}

/** Blobs in the database, in the same backup and the same transaction as everything else. For megabytes, not for gigabytes. */
export interface DatabaseBlobStoreConfig extends IgnoredPoolFields {
  type: 'database'
  /** Size of the largest blob, in bytes. Default 10 MiB. */
  maxBlobSize?: number | undefined
  /** Size of all blobs together, in bytes. Default 1 GiB. */
  maxTotalSize?: number | undefined
  /** A blob that nothing refers to is removed after this many days without use, or never. Default 30. */
  cleanupAfterDays?: number | 'never' | undefined
  /** Data in a message becomes a blob if it has more bytes than this. Default: messages keep all data. */
  offloadAboveBytes?: number | undefined
  /** This backend has no further options. */
  options?: Record<string, never> | undefined
}

/** Options of a TLS connection. Certificates and keys are PEM texts, not file names. */
export interface TlsOptions {
  /** Trusted certificate authorities, PEM: one text or a list. Default: the authorities of Node.js. */
  ca?: string | string[] | undefined
  /** Client certificate, PEM. */
  cert?: string | undefined
  /** Private key of the client certificate, PEM. */
  key?: string | undefined
  /** Passphrase of the private key. */
  passphrase?: string | undefined
  /** Server name to verify (SNI). Default: the host. */
  servername?: string | undefined
  /** Refuse a server whose certificate cannot be verified. Default true. */
  rejectUnauthorized?: boolean | undefined
}
