/** The entry point `holdfast/config`: schemas, types and checks for forms and editors. Imports nothing from Node.js. */
export type { Problem } from '../errors.ts'
export { configJsonSchema } from './json-schema.ts'
export type {
  PostgresAddress,
  RedisAddress,
  ResolvedBlobStore,
  ResolvedCache,
  ResolvedConfig,
  ResolvedDatabase,
  ResolvedInMemoryBlobStore,
  ResolvedInMemoryCache,
  ResolvedInMemoryDatabase,
  ResolvedLocalBlobStore,
  ResolvedPostgres,
  ResolvedRedisCache,
  ResolvedSqlite,
} from './resolved.ts'
export { rootSchema, storageSchema } from './schema.ts'
export { maskSecrets } from './secrets.ts'
export type {
  BlobStoreConfig,
  CacheConfig,
  DatabaseConfig,
  IgnoredPoolFields,
  InMemoryBlobStoreConfig,
  InMemoryCacheConfig,
  InMemoryCacheOptions,
  InMemoryDatabaseConfig,
  LocalBlobStoreConfig,
  PostgresConfig,
  PostgresOptions,
  RedisCacheConfig,
  RedisCacheOptions,
  RedisNode,
  RedisSentinels,
  SqliteConfig,
  SqliteOptions,
  StorageConfig,
  StorageConfigFile,
  TlsOptions,
} from './types.ts'
export type {
  ValidBlobStore,
  ValidCache,
  ValidDatabase,
  ValidInMemoryBlobStore,
  ValidInMemoryCache,
  ValidInMemoryDatabase,
  ValidLocalBlobStore,
  ValidPostgres,
  ValidRedisCache,
  ValidRedisCacheOptions,
  ValidRedisSentinels,
  ValidSqlite,
  ValidStorageConfig,
} from './valid.ts'
export { validateConfig } from './validate.ts'
