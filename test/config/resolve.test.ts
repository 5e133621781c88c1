import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { maskSecrets } from '../../src/config/index.ts'
import { resolveConfig } from '../../src/config/resolve.ts'
import { validateConfig } from '../../src/config/validate.ts'

/** Returns the SQLite file that the fields resolve to. */
const file = (fields: object, baseDir?: string) => {
  const { database } = resolveConfig({ database: { type: 'sqlite', ...fields } }, { baseDir })
  return database.type === 'sqlite' ? database.file : undefined
}

test.each([
  [{}, '/base/agent.db'],
  [{ path: 'data' }, '/base/data/agent.db'],
  [{ path: 'data/my.sqlite' }, '/base/data/my.sqlite'],
  [{ path: 'v1.2/' }, '/base/v1.2/agent.db'],
  [{ path: '.data' }, '/base/.data/agent.db'],
  [{ path: '/abs' }, '/abs/agent.db'],
  [{ path: '/abs/my.db' }, '/abs/my.db'],
  [{ path: '../up' }, '/up/agent.db'],
  [{ database: 'my.db' }, '/base/my.db'],
  [{ database: 'plain' }, '/base/plain'],
  [{ path: 'data', database: 'my.db' }, '/base/data/my.db'],
  [{ path: 'data.d', database: 'plain' }, '/base/data.d/plain'],
  [{ path: 'file:a.db' }, '/base/a.db'],
  [{ path: 'file:data/my%20agent.db' }, '/base/data/my agent.db'],
  [{ path: 'file:///abs/x.db' }, '/abs/x.db'],
  [{ path: 'file:/abs/x.db' }, '/abs/x.db'],
  [{ path: 'file:///abs/data' }, '/abs/data/agent.db'],
  [{ path: 'file:///abs', database: 'file:x.db' }, '/abs/x.db'],
])('resolveConfig() resolves the SQLite fields %j to %s', (fields, expected) => {
  expect(file(fields, '/base')).toBe(resolve(expected))
})

test('resolveConfig() accepts a base directory that looks like a file, is relative, or is left out', () => {
  expect(file({}, '/srv/my.agent')).toBe(resolve('/srv/my.agent/agent.db'))
  expect(file({}, 'sub')).toBe(join(process.cwd(), 'sub', 'agent.db'))
  expect(file({})).toBe(join(process.cwd(), 'agent.db'))
  expect(resolveConfig({ blob: { type: 'local' } }).blobStore).toMatchObject({
    storePath: join(process.cwd(), 'blobs'),
  })
})

test('resolveConfig() replaces no variables in an object', () => {
  const { database } = resolveConfig({ database: { type: 'postgres', host: '$HOST', database: 'd$$', user: '$U' } })
  expect(database).toMatchObject({ connection: { host: '$HOST', port: 5432, database: 'd$$', user: '$U' } })
})

test.each([
  [{}, { host: 'localhost', port: 6379, database: 0 }],
  [
    { port: 1, username: 'u', password: 'p', database: 3 },
    { host: 'localhost', port: 1, database: 3, username: 'u', password: 'p' },
  ],
  [{ url: 'rediss://h' }, { url: 'rediss://h' }],
  [
    { password: 'p', options: { cluster: [{ host: 'a' }] } },
    { cluster: [{ host: 'a', port: 6379 }], password: 'p' },
  ],
  [
    { database: 1, options: { sentinels: { name: 'm', nodes: [{ host: 'a' }], password: 's' } } },
    { sentinels: { name: 'm', nodes: [{ host: 'a', port: 26379 }], password: 's' }, database: 1 },
  ],
])('resolveConfig() resolves the Redis fields %j to the connection %j', (fields, connection) => {
  expect(resolveConfig({ cache: { type: 'redis', ...fields } }).cache).toMatchObject({ connection })
})

test('resolveConfig() limits maxValueBytes to the size of the cache', () => {
  expect(resolveConfig({ cache: { type: 'in-memory', options: { maxBytes: 1000 } } }).cache).toMatchObject({
    maxValueBytes: 1000,
  })
})

test('resolveConfig() resolves tls: true to TLS with default options, and tls: false to none', () => {
  expect(resolveConfig({ cache: { type: 'redis', options: { tls: true } } }).cache).toMatchObject({ tls: {} })
  expect(resolveConfig({ cache: { type: 'redis', options: { tls: false } } }).cache).toHaveProperty('tls', undefined)
})

test('maskSecrets() masks secrets at any depth and nothing else', () => {
  const config = {
    cache: {
      type: 'redis',
      url: 'redis://user:geheim@h:1/2',
      options: {
        tls: { key: 'geheim', passphrase: 'geheim', cert: 'PEM' },
        sentinels: { name: 'm', nodes: [{ host: 'a' }], password: 'geheim' },
      },
    },
    database: {
      type: 'postgres',
      connectionString: 'postgres://u:ge@geheim@h,h2/d?password=geheim&sslmode=require',
      password: 'geheim',
    },
    blobStore: { type: 'local', storePath: '/a:b@c', password: undefined },
  }
  expect(maskSecrets(config)).toEqual({
    cache: {
      type: 'redis',
      url: 'redis://user:***@h:1/2',
      options: {
        tls: { key: '***', passphrase: '***', cert: 'PEM' },
        sentinels: { name: 'm', nodes: [{ host: 'a' }], password: '***' },
      },
    },
    database: {
      type: 'postgres',
      connectionString: 'postgres://u:***@h,h2/d?password=***&sslmode=require',
      password: '***',
    },
    blobStore: { type: 'local', storePath: '/a:b@c' },
  })
  expect(config.database.password).toBe('geheim')
  expect(maskSecrets({ url: 'rediss://:geheim@h' })).toEqual({ url: 'rediss://:***@h' })
  // As they were written, before anything has refused them.
  expect(maskSecrets({ password: 4711, url: 'postgres://ada:ge/he?im#@db/agents' })).toEqual({
    password: '***',
    url: 'postgres://ada:***@db/agents',
  })
})

test('validateConfig() returns new defaults in each call', () => {
  const changed = validateConfig({})
  Object.assign(changed.cache.options, { maxEntries: 1 })
  Object.assign(changed.blobStore, { maxBlobSize: 1 })
  expect(validateConfig({})).toMatchObject({
    cache: { options: { maxEntries: 10_000 } },
    blobStore: { maxBlobSize: 10_485_760 },
  })
})

describe('a bucket', () => {
  const resolve = (fields: object = {}) =>
    resolveConfig({ database: { type: 'sqlite' }, blobStore: { type: 's3', bucket: 'files', ...fields } }).blobStore
  const without = ['AWS_REGION', 'AWS_DEFAULT_REGION', 'AWS_ENDPOINT_URL', 'AWS_ENDPOINT_URL_S3']
  beforeEach(() => {
    for (const name of without) vi.stubEnv(name, undefined)
  })
  afterEach(() => {
    vi.unstubAllEnvs()
  })

  test('is one of AWS, in the host, unless there is an endpoint', () => {
    const endpoint = 'https://s3.eu-central-1.amazonaws.com'
    const aws = { region: 'eu-central-1', endpoint, forcePathStyle: false, prefix: '', maxConnections: 64 }
    expect(resolve({ region: 'eu-central-1' })).toMatchObject(aws)
    expect(resolve({ region: 'cn-north-1' })).toMatchObject({ endpoint: 'https://s3.cn-north-1.amazonaws.com.cn' })
    expect(resolve({ region: 'eu-central-1', bucket: 'my.files' })).toMatchObject({ forcePathStyle: true })
    const other = { region: 'us-east-1', endpoint: 'http://localhost:9000', forcePathStyle: true }
    expect(resolve({ endpoint: 'http://localhost:9000' })).toMatchObject(other)
    expect(resolve({ ...other, forcePathStyle: false })).toMatchObject({ forcePathStyle: false })
    for (const prefix of ['a/b', 'a/b/']) expect(resolve({ ...other, prefix })).toMatchObject({ prefix: 'a/b/' })
  })

  test('takes the region and the endpoint of the environment', () => {
    expect(() => resolve()).toThrow('blobStore.region: is missing; name the region of the bucket, or set AWS_REGION')
    vi.stubEnv('AWS_DEFAULT_REGION', 'eu-west-1')
    expect(resolve()).toMatchObject({ region: 'eu-west-1' })
    vi.stubEnv('AWS_REGION', 'eu-west-2')
    vi.stubEnv('AWS_ENDPOINT_URL', 'http://localhost:1')
    expect(resolve()).toMatchObject({ region: 'eu-west-2', endpoint: 'http://localhost:1', forcePathStyle: true })
    vi.stubEnv('AWS_ENDPOINT_URL_S3', 'http://localhost:2')
    expect(resolve()).toMatchObject({ endpoint: 'http://localhost:2' })
    expect(resolve({ endpoint: 'http://localhost:3', region: 'x' })).toMatchObject({
      endpoint: 'http://localhost:3',
      region: 'x',
    })
  })

  test.each(['localhost:9000', 'minio', 'ftp://minio', 'https://ada:geheim@minio', 'https://:geheim@minio'])(
    'refuses the endpoint %s, in the environment too',
    (endpoint) => {
      expect(() => resolve({ endpoint })).toThrow('blobStore.endpoint: expected a url')
      vi.stubEnv('AWS_ENDPOINT_URL', endpoint)
      const message =
        'blobStore.endpoint: is not given, and the environment variable AWS_ENDPOINT_URL is no url like http://localhost:9000'
      expect(() => resolve()).toThrow(message)
    },
  )

  test('has secrets that maskSecrets() masks', () => {
    const keys = { accessKeyId: 'id', secretAccessKey: 'geheim', sessionToken: 'geheim' }
    const masked = maskSecrets(resolve({ region: 'x', ...keys }))
    expect(masked).toMatchObject({ accessKeyId: 'id', secretAccessKey: '***', sessionToken: '***' })
    expect(JSON.stringify(masked)).not.toContain('geheim')
  })
})
