import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadStorageConfig } from '../../src/config/load.ts'
import { resolveConfig } from '../../src/config/resolve.ts'
import type { ResolvedConfig } from '../../src/config/resolved.ts'
import { configFile, yamlBlocks } from './blocks.ts'

const blocks = await yamlBlocks(new URL('fixtures/storage-configuration.md', import.meta.url))
const docs = await yamlBlocks(new URL('../../docs/configuration.md', import.meta.url))

const env = {
  DB_PASSWORD: 'p$ss',
  REDIS_URL: 'redis://cache.example.com:6380/2',
  POSTGRES_CONNECTION_STRING: 'postgres://u:p@db.example.com/prod',
}

const memory = {
  cache: { type: 'in-memory', maxEntries: 10_000, maxBytes: 64 * 2 ** 20, maxValueBytes: 2 ** 20 },
  database: { type: 'in-memory', search: false },
  blobStore: { type: 'in-memory', maxBlobSize: 10 * 2 ** 20, maxTotalSize: 100 * 2 ** 20 },
} satisfies ResolvedConfig
const redis = {
  type: 'redis',
  connection: { host: 'localhost', port: 6379, database: 0 },
  maxConnections: 10,
  connectionTimeoutMillis: 5000,
  commandTimeoutMillis: 250,
  keyPrefix: 'holdfast:',
  ttlSeconds: 3600,
  maxValueBytes: 2 ** 20,
  consistency: 'available',
} as const
const sqlite = { type: 'sqlite', synchronous: 'full', readonly: false, busyTimeoutMillis: 5000, search: false } as const
const postgres = {
  type: 'postgres',
  idleTimeoutMillis: 30_000,
  connectionTimeoutMillis: 10_000,
  prepare: true,
  applicationName: 'holdfast',
  rowLevelSecurity: false,
  migrationLockTimeoutMillis: 60_000,
  search: false,
} as const
const local = { type: 'local', maxBlobSize: 50 * 2 ** 20, maxTotalSize: 2 ** 30, cleanupAfterDays: 30 } as const

/** What each block of the reference resolves to, in their order. `dir` is the directory of the file. */
const meanings: ((dir: string) => Partial<ResolvedConfig>)[] = [
  () => ({}),
  () => ({ cache: { ...redis, maxConnections: 50 } }),
  (dir) => ({ database: { ...sqlite, file: join(dir, 'data/my-agent.db') } }),
  () => ({
    database: {
      ...postgres,
      connection: { host: 'db.example.com', port: 5432, database: 'dexto_prod', user: 'dexto_user', password: 'p$ss' },
      maxConnections: 20,
    },
  }),
  () => ({ blobStore: { type: 'in-memory', maxBlobSize: 5_242_880, maxTotalSize: 52_428_800 } }),
  (dir) => ({
    blobStore: {
      type: 'local',
      storePath: join(dir, 'blobs'),
      maxBlobSize: 104_857_600,
      maxTotalSize: 10_737_418_240,
      cleanupAfterDays: 60,
    },
  }),
  () => ({}),
  () => ({
    cache: { ...redis, connection: { url: env.REDIS_URL }, maxConnections: 100 },
    database: { ...postgres, connection: { url: env.POSTGRES_CONNECTION_STRING }, maxConnections: 25 },
    blobStore: { ...local, storePath: '/var/data/dexto/blobs', cleanupAfterDays: 60 },
  }),
  (dir) => ({
    database: { ...sqlite, file: join(dir, 'my-dexto-agent.sqlite') },
    blobStore: { ...local, storePath: join(dir, 'blobs') },
  }),
  (dir) => ({
    cache: redis,
    database: { ...sqlite, file: join(dir, 'data/dexto.db') },
    blobStore: { ...local, storePath: join(dir, 'data/blobs') },
  }),
]

test('every block of the reference has an expected result here', () => {
  expect(blocks).toHaveLength(meanings.length)
})

test.each(meanings.map((meaning, i) => ({ meaning, block: blocks[i] ?? '' })))(
  'resolveConfig() resolves block %$ of the reference as expected',
  async ({ meaning, block }) => {
    const { file, directory } = await configFile(block)
    const config = resolveConfig(await loadStorageConfig(file, { env }))
    expect(config).toEqual({ ...memory, ...meaning(directory) })
  },
)

test.each(docs.map((block) => ({ block })))(
  'loadStorageConfig() accepts block %$ of docs/configuration.md',
  async ({ block }) => {
    const { file } = await configFile(block)
    const more = { REDIS_HOST: 'h', REDIS_PORT: '6380', AGENT_NAME: 'a', REDIS_PASSWORD: 's', REDIS_CA: 'PEM' }
    const s3 = { DATABASE_URL: 'postgres://h/d', S3_KEY: 'k', S3_SECRET: 's' }
    const config = await loadStorageConfig(file, { env: { ...env, ...more, ...s3 } })
    expect(resolveConfig(config)).toEqual(resolveConfig(JSON.parse(JSON.stringify(config)), { baseDir: '/elsewhere' }))
  },
)

const scenarios = [
  ['in-memory', 'in-memory', 'in-memory'],
  ['redis', 'sqlite', 'local'],
  ['redis', 'postgres', 'local'],
  ['in-memory', 'sqlite', 'in-memory'],
]
test.each(scenarios)('resolveConfig() accepts %s, %s and %s together', (cache, database, blobStore) => {
  const address = database === 'postgres' ? { url: 'postgres://h/d' } : {}
  const config = resolveConfig({
    cache: { type: cache },
    database: { type: database, ...address },
    blobStore: { type: blobStore },
  })
  expect([config.cache.type, config.database.type, config.blobStore.type]).toEqual([cache, database, blobStore])
})
