import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { validateConfig } from '../../src/config/index.ts'
import { isStorageError, type StorageError } from '../../src/errors.ts'

/** Returns the error that validateConfig() throws. */
function errorOf(input: unknown): StorageError<'CONFIG_INVALID'> {
  try {
    validateConfig(input)
  } catch (error) {
    if (isStorageError(error, 'CONFIG_INVALID')) return error
    throw error
  }
  throw new Error('was accepted')
}

/** Returns the problems of an input, one line for each. Expects the same lines in the message of the error. */
function problemsOf(input: unknown): string[] {
  const { message, details } = errorOf(input)
  const lines = details.problems.map((problem) => `${problem.path}: ${problem.message}`)
  expect(message.split('\n').slice(1)).toEqual(lines.map((line) => `  ${line}`))
  return lines
}

const pg = { type: 'postgres', host: 'h', database: 'd', user: 'u' }
const bucket = { type: 's3', bucket: 'agent-files' }

describe('validateConfig()', () => {
  test('reports all problems at once: contradictions, wrong types and unknown keys', () => {
    const lines = problemsOf({
      storage: {
        cache: { type: 'redis', url: 'redis://h', host: 'h', port: '6379', prot: 1, options: { ttlSeconds: 1.5 } },
        database: { type: 'postgres', maxConnections: 0, usr: 'u' },
        blob: { type: 'local', cleanupAfterDays: -1 },
        blobStore: { type: 'local' },
        databse: {},
      },
    })
    expect(lines.map((line) => line.split(': ')[0]).sort()).toEqual([
      'storage.blob',
      'storage.blob.cleanupAfterDays',
      'storage.cache.host',
      'storage.cache.options.ttlSeconds',
      'storage.cache.port',
      'storage.cache.port',
      'storage.cache.prot',
      'storage.database',
      'storage.database.maxConnections',
      'storage.database.usr',
      'storage.databse',
    ])
  })

  test('refuses a retention that is no duration, and says what is one', () => {
    const age = 'expected a duration such as "30d" or "12h", or "never"'
    const retention = { messages: 30, events: '1 week', approvals: '0d', sessions: '90d', kv: '30d', memory: '1d' }
    expect(problemsOf({ retention })).toEqual([
      `retention.messages: ${age}`,
      'retention.sessions: expected object, received string',
      `retention.events: ${age}`,
      `retention.approvals: ${age}`,
      'retention.kv: expected "never": an entry has a time of its own, the option ttlSeconds of kv.set()',
      'retention.memory: unknown key, the nearest known one is "memories"; known are messages, sessions, events, toolExecutions, abandonedExecutions, approvals, memories, kv',
    ])
    expect(problemsOf({ retention: { sessions: { idle: '90' } } })).toEqual([`retention.sessions.idle: ${age}`])
  })

  test('fills in the defaults of a retention, and has none unless it is given', () => {
    expect(validateConfig({})).not.toHaveProperty('retention')
    expect(validateConfig({ retention: { events: '12h' } }).retention).toEqual({
      messages: 'never',
      sessions: { idle: 'never' },
      events: '12h',
      toolExecutions: 'never',
      abandonedExecutions: '7d',
      approvals: 'never',
      memories: 'never',
      kv: 'never',
    })
  })

  test('refuses notices without PostgreSQL or beside Redis, and a listenUrl without notices', () => {
    const options = { invalidation: 'notify' }
    const noPostgres = [
      'cache.options.invalidation: needs a database of type postgres: an in-memory cache sees every write of any other; remove it',
    ]
    expect(problemsOf({ cache: { type: 'in-memory', options }, database: { type: 'sqlite' } })).toEqual(noPostgres)
    expect(problemsOf({ cache: { type: 'in-memory', options } })).toEqual(noPostgres)
    const [besideRedis] = problemsOf({ cache: { type: 'redis', options }, database: pg })
    expect(besideRedis).toContain('cache.options.invalidation: unknown key')
    const alone = { listenUrl: 'postgres://h/d' }
    expect(problemsOf({ cache: { type: 'in-memory', options: alone }, database: pg })).toEqual([
      'cache.options.listenUrl: has no effect without options.invalidation: notify; add that, or remove listenUrl',
    ])
    const other = { invalidation: 'publish', ...alone }
    const [unknown] = problemsOf({ cache: { type: 'in-memory', options: other }, database: pg })
    expect(unknown).toContain('cache.options.invalidation: ')
    validateConfig({ cache: { type: 'in-memory', options: { ...options, ...alone } }, database: pg })
  })

  test.each([
    ['in place of a layer', { databse: {} }, 'databse: ', '"database"'],
    [
      'in place of a field',
      { cache: { type: 'redis', max_connections: 5 } },
      'cache.max_connections: ',
      '"maxConnections"',
    ],
    [
      'that is an option one level too high',
      { cache: { type: 'redis', keyPrefx: 'x' } },
      'cache.keyPrefx: ',
      '"options.keyPrefix"',
    ],
    [
      'in place of an option',
      { database: { ...pg, options: { shcema: 'a' } } },
      'database.options.shcema: ',
      '"schema"',
    ],
    [
      'in place of a field of an option',
      { cache: { type: 'redis', options: { tls: { CA: 'x' } } } },
      'cache.options.tls.CA: ',
      '"ca"',
    ],
    ['with dots', { cache: { type: 'redis', 'a.host': 'x' } }, 'cache["a.host"]: ', '"host"'],
    ['named __proto__', JSON.parse('{"cache":{"type":"redis","__proto__":1}}'), 'cache.__proto__: ', 'unknown key'],
    [
      'in options that have no key',
      { blobStore: { type: 'in-memory', options: { x: 1 } } },
      'blobStore.options.x: ',
      'none is known',
    ],
  ])('names the path and the nearest known key for an unknown key %s', (_, input, path, nearest) => {
    const [line, ...others] = problemsOf(input)
    expect(others).toEqual([])
    expect(line?.startsWith(path)).toBe(true)
    expect(line).toContain(nearest)
  })

  test.each([
    [{ cache: { type: 'memory' } }, 'cache.type: expected one of "in-memory", "redis"; did you mean "in-memory"?'],
    [{ database: { type: 'postgresql' } }, 'did you mean "postgres"?'],
    [{ database: {} }, 'database.type: expected one of "in-memory", "sqlite", "postgres"'],
    [{ database: null }, 'database: expected object, received null'],
    [{ database: { type: 'sqlite', options: { synchronous: 'off' } } }, 'expected one of "full"|"normal"'],
    [{ database: { type: 'sqlite', path: ':memory:' } }, 'database.path: is not a file; use "type: in-memory"'],
    [{ database: { type: 'sqlite', path: 'file::memory:' } }, 'database.path: is not a file; use "type: in-memory"'],
    ...[
      'file:a.db?mode=ro',
      'file://host/a.db',
      'file:',
      'file:///a%2Fb.db',
      'https://host/a.db',
      'sqlite:///a.db',
    ].map((path): [unknown, string] => [
      { database: { type: 'sqlite', path } },
      'database.path: is a url that names no local file; write a path, or a url like file:///data/agent.db',
    ]),
    [{ database: { type: 'sqlite', url: 'a.db' } }, 'the nearest known one is "path"'],
    [{ database: { type: 'sqlite', file: 'a.db' } }, 'the nearest known one is "path"'],
    [{ database: { type: 'sqlite', filename: 'a.db' } }, 'the nearest known one is "path"'],
    [{ database: { ...pg, username: 'u' } }, 'the nearest known one is "user"'],
    [{ cache: { type: 'redis', user: 'u' } }, 'the nearest known one is "username"'],
    [{ blobStore: { type: 'local', path: 'blobs' } }, 'the nearest known one is "storePath"'],
    [{ database: { type: 'pg' } }, 'did you mean "postgres"?'],
    [
      { blobStore: { type: 'local', cleanupAfterDays: 'sometimes' } },
      'blobStore.cleanupAfterDays: expected number or "never"',
    ],
    [
      { blobStore: { type: 'gcs' } },
      'expected one of "in-memory", "local", "database", "s3"; of the buckets only those of S3',
    ],
    [{ blobStore: { type: 'minio' } }, 'did you mean "s3"?'],
    [{ database: pg, blobStore: { type: 's3' } }, 'blobStore.bucket: is missing'],
    [{ database: pg, blobStore: { type: 's3', bucket: 'a/b' } }, 'blobStore.bucket: expected the name of a bucket'],
    [{ blobStore: bucket }, 'blobStore.type: needs a database of type sqlite or postgres'],
    [{ database: pg, blobStore: { ...bucket, prefix: '/a' } }, 'blobStore.prefix: expected letters, digits'],
    [{ database: pg, blobStore: { ...bucket, prefix: 'a/../b' } }, 'blobStore.prefix: expected letters, digits'],
    [{ database: pg, blobStore: { ...bucket, region: 'eu west' } }, 'blobStore.region: expected a region such as'],
    [{ database: pg, blobStore: { ...bucket, endpoint: 'localhost:9000' } }, 'blobStore.endpoint: expected a url like'],
    [{ database: pg, blobStore: { ...bucket, endpoint: 'http://k:s@h' } }, 'blobStore.endpoint: expected a url like'],
    [{ database: pg, blobStore: { ...bucket, maxBlobSize: 6e9 } }, 'blobStore.maxBlobSize: Too big'],
    [{ database: pg, blobStore: { ...bucket, accessKey: 'k' } }, 'the nearest known one is "accessKeyId"'],
    [{ database: pg, blobStore: { ...bucket, url: 'http://h' } }, 'the nearest known one is "endpoint"'],
    [{ database: pg, blobStore: { ...bucket, accessKeyId: 'k' } }, 'blobStore.secretAccessKey: is missing'],
    [{ database: pg, blobStore: { ...bucket, sessionToken: 't' } }, 'blobStore.sessionToken: has no effect without'],
    [{ database: pg, blobStore: { ...bucket, credentials: 'k' } }, 'blobStore.credentials: expected a function'],
    [
      { database: pg, blobStore: { ...bucket, credentials: () => ({}), accessKeyId: 'k' } },
      'blobStore.accessKeyId: contradicts credentials',
    ],
    [{ blobStore: 's3' }, 'blobStore: expected an object, such as { type: in-memory }'],
    [{ database: { type: 'sqlite', path: '~/data' } }, 'database.path: ~ is not expanded'],
    [{ database: { type: 'postgres' } }, 'database: has no address; give url, or host with database and user'],
    [{ database: { type: 'postgres', password: 'x' } }, 'database: has no address'],
    [
      { database: { type: 'postgres', host: 'h', user: 'u' } },
      'database.database: is missing; it is required beside host',
    ],
    [{ database: { type: 'postgres', host: 'h', database: 'd' } }, 'database.user: is missing'],
    [{ database: { ...pg, port: 65_536 } }, 'database.port: Too big: expected number to be <=65535'],
    [{ database: { ...pg, user: 'a\0b' } }, 'database.user: contains a NUL character'],
    [{ database: { ...pg, options: { schema: 'pg_x' } } }, 'database.options.schema: starts with pg_'],
    [{ database: { ...pg, options: { schema: 'é'.repeat(32) } } }, 'database.options.schema: is too long'],
    [
      { database: { ...pg, options: { ssl: 'yes' } } },
      'expected boolean or one of "require"|"allow"|"prefer"|"verify-full" or object',
    ],
    [{ database: { ...pg, connectionTimeoutMillis: 2 ** 31 } }, 'database.connectionTimeoutMillis: Too big'],
    [
      { cache: { type: 'redis', options: { cluster: [{ host: 'a' }, {}] } } },
      'cache.options.cluster[1].host: is missing',
    ],
    [{ cache: { type: 'redis', database: 1, options: { cluster: [{ host: 'a' }] } } }, 'cache.database: is always 0'],
    [5, 'storage: expected object, received number'],
    [{ storage: [] }, 'storage: expected object, received array'],
    [{ storage: {}, cache: {} }, 'cache: unknown key'],
  ])('rejects %j with one problem: %s', (input, expected) => {
    const lines = problemsOf(input)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain(expected)
  })
})

describe('validateConfig() of contradictory fields', () => {
  const url = 'postgres://u:p@h/d'
  const cluster = [{ host: 'a' }]
  const sentinels = { name: 'm', nodes: [{ host: 'a' }] }
  test.each([
    [{ database: { type: 'postgres', url, connectionString: url } }, ['database.connectionString']],
    [
      { database: { ...pg, url, port: 1, password: 'x' } },
      ['host', 'port', 'database', 'user', 'password'].map((k) => `database.${k}`),
    ],
    [{ database: { ...pg, connectionString: url } }, ['database.host', 'database.database', 'database.user']],
    [{ cache: { type: 'redis', url: 'redis://h', password: 'x' } }, ['cache.password']],
    [{ cache: { type: 'redis', url: 'redis://h', options: { cluster } } }, ['cache.options.cluster']],
    [{ cache: { type: 'redis', options: { cluster, sentinels } } }, ['cache.options.sentinels']],
    [{ cache: { type: 'redis', host: 'h', options: { sentinels } } }, ['cache.host']],
  ])('rejects %j with problems at %j', (input, paths) => {
    const lines = problemsOf(input)
    expect(lines.map((line) => line.split(':')[0])).toEqual(paths)
    for (const line of lines) expect(line).toContain('remove one of the two')
  })
})

describe('validateConfig() of a url', () => {
  test.each([
    'postgres://h/d',
    'postgresql://u:p%40%2F@h:5433/d?sslmode=require&application_name=a@b',
    'postgres://u:p@ss@h/d',
    'postgres://u:a,b@h1:5432,h2:5433/d',
    'postgres://u@[::1]:5432/d',
    'postgres://u@%2Fvar%2Frun%2Fpostgresql/d',
    'postgres:///d',
  ])('accepts %s for PostgreSQL', (url) => {
    expect(validateConfig({ database: { type: 'postgres', url } })).toBeDefined()
  })

  test.each(['redis://h', 'redis://h/', 'rediss://:p%3F@h:6380/1', 'redis://[::1]:6379/15'])(
    'accepts %s for Redis',
    (url) => {
      expect(validateConfig({ cache: { type: 'redis', url } })).toBeDefined()
    },
  )

  test.each(['?db=3', '/0?db=3', '/?family=6', '?', '/1e3', '/0x1', '/cache', '/-1', '/1/2', '/%31', '/99999999999'])(
    'rejects redis://h%s: nobody would know the database',
    (rest) => {
      const [problem, ...others] = problemsOf({ cache: { type: 'redis', url: `redis://:geheim@h${rest}` } })
      expect(problem).toContain('cache.url: expected nothing behind the host but the number of a database')
      expect(problem).not.toContain('geheim')
      expect(others).toEqual([])
    },
  )

  test.each([
    'h',
    'mysql://u:geheim@h/d',
    'postgres:geheim',
    'postgres://u:geheim#1@h/d',
    'postgres://u:1#geheim@h/d',
    'postgres://u:1/geheim@h/d',
    'postgres://u:geheim%@h/d',
    'postgres://u:geheim@h:port/d',
    'xpostgres://geheim@h',
    '',
  ])('rejects %s without quoting it', (url) => {
    const error = errorOf({ database: { type: 'postgres', url } })
    expect(error.message).toContain('database.url: expected a url like postgres://')
    expect(JSON.stringify([error.message, error.details, error.stack, error.cause])).not.toContain('geheim')
  })
})

const json = fc.jsonValue({ depthSize: 'small' })

test('validateConfig() never quotes a value in its error', () => {
  const secret = 'S3CRET'
  const fields = [
    'type',
    'url',
    'host',
    'port',
    'password',
    'user',
    'path',
    'maxConnections',
    'options',
    'tls',
    'schema',
    'cluster',
  ]
  const section = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom(secret, `redis://u:${secret}@h:x`, 5, true, null),
      tie('object'),
      fc.array(tie('value'), { maxLength: 2 }),
    ),
    object: fc.dictionary(fc.constantFrom(...fields), tie('value')),
  })).object
  const backend = fc
    .tuple(fc.constantFrom('redis', 'sqlite', 'postgres', 'local', secret), section)
    .map(([type, rest]) => ({ ...Object(rest), type }))
  fc.assert(
    fc.property(backend, backend, backend, (cache, database, blobStore) => {
      try {
        validateConfig({ storage: { cache, database, blobStore } })
      } catch (error) {
        if (!isStorageError(error, 'CONFIG_INVALID')) throw error
        expect(JSON.stringify([error.message, error.details, error.stack, error.cause])).not.toContain(secret)
      }
    }),
    { numRuns: 1000 },
  )
})

test('validateConfig() accepts any JSON or throws CONFIG_INVALID', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        json,
        json.map((storage) => ({ storage })),
        json.map((cache) => ({ cache })),
      ),
      (input) => {
        try {
          validateConfig(input)
        } catch (error) {
          expect(isStorageError(error, 'CONFIG_INVALID')).toBe(true)
        }
      },
    ),
    { numRuns: 1000 },
  )
})

test.each([
  { input: undefined },
  { input: { storage: null } },
  {
    input: {
      cache: { type: 'redis', url: 'redis://h' },
      blob: { type: 'local' },
      database: { type: 'postgres', connectionString: 'postgres://h' },
    },
  },
  {
    input: {
      cache: { type: 'redis', options: { cluster: [{ host: 'a' }, { host: 'b', port: 7 }] } },
      database: { type: 'sqlite', database: 'x' },
    },
  },
  {
    input: {
      database: { ...pg, idleTimeoutMillis: 0, options: { ssl: { ca: ['a', 'b'], rejectUnauthorized: false } } },
    },
  },
])('validateConfig() returns its own result unchanged for %j', ({ input }) => {
  const config = validateConfig(input)
  expect(validateConfig(config)).toEqual(config)
  expect(validateConfig({ storage: config })).toEqual(config)
})
