import * as z from 'zod/mini'
import { blobStore, inMemoryBlobStore } from './blob-store-schema.ts'
import {
  age,
  connections,
  described,
  duration,
  idleTimeout,
  ignoredPoolFields,
  int32,
  integer,
  node,
  optional,
  parsedOnce,
  password,
  path,
  port,
  rejectFields,
  runAlways,
  schemaName,
  section,
  text,
  tls,
  url,
  withDefault,
} from './fields.ts'

const maxValueBytes = withDefault(
  integer(),
  1_048_576,
  'A serialised value with more bytes is not cached. Default 1 MiB.',
)

const postgresUrl = url('postgres://user:password@host:5432/database', 'postgres', 'postgresql')

const inMemoryCache = z
  .strictObject({
    type: z.literal('in-memory'),
    ...ignoredPoolFields,
    options: section(
      {
        maxEntries: withDefault(
          integer(),
          10_000,
          'How many entries are kept. The least recently used entry is evicted first. Default 10,000.',
        ),
        maxBytes: withDefault(
          integer(),
          67_108_864,
          'How many bytes keys and serialised values take together. Default 64 MiB.',
        ),
        maxValueBytes,
        ttlSeconds: optional(
          duration,
          'Time to live of an entry, in seconds. Default 5 in front of PostgreSQL, else none.',
        ),
        invalidation: optional(
          z.enum(['notify']),
          'notify: the instances on one PostgreSQL tell each other of their writes, with NOTIFY. Default: they do not.',
        ),
        listenUrl: optional(
          postgresUrl,
          'Address of the same database for LISTEN, past a pooler in transaction mode. Beside invalidation. Default: as the database.',
        ),
      },
      'Limits of the cache.',
    ),
  })
  .check(
    z.superRefine(({ options }, ctx) => {
      // Optional chaining: options may have the wrong type, which is reported already.
      if (options?.invalidation !== undefined) return
      const message = 'has no effect without options.invalidation: notify; add that, or remove listenUrl'
      rejectFields(ctx, { 'options.listenUrl': options?.listenUrl }, message)
    }, runAlways),
  )

const redisCache = z
  .strictObject({
    type: z.literal('redis'),
    url: optional(
      url('redis://user:password@host:6379/0', 'redis', 'rediss'),
      'Address, user, password and database in one; rediss:// for TLS. Instead of the fields of the address.',
    ),
    host: optional(text, 'Host name or address. Default localhost.', 'localhost'),
    port: optional(port, 'TCP port. Default 6379.', 6379),
    username: optional(text, 'User of the access control list. Default: the default user.'),
    password: optional(password, 'Password of the user.'),
    database: optional(integer(int32, 0), 'Number of the logical database. Default 0.', 0),
    maxConnections: withDefault(
      connections,
      10,
      'Upper limit of connections. One connection serves all commands. Default 10.',
    ),
    idleTimeoutMillis: optional(idleTimeout, 'Accepted on every backend. The connection to Redis stays open.'),
    connectionTimeoutMillis: withDefault(
      duration,
      5000,
      'Longest wait for a connection, in milliseconds. Default 5,000.',
    ),
    options: section(
      {
        keyPrefix: withDefault(
          z.string(),
          'holdfast:',
          'Prefix of every key; separates two agents on one Redis. Default holdfast:',
        ),
        ttlSeconds: withDefault(duration, 3600, 'Time to live of an entry, in seconds. Default 3,600.'),
        commandTimeoutMillis: withDefault(
          duration,
          250,
          'Longest wait for an answer, in milliseconds. After it, the database answers. Default 250.',
        ),
        maxValueBytes,
        consistency: withDefault(
          z.enum(['available', 'strict']),
          'available',
          'strict: while Redis is away, a write to cached rows fails with CACHE_UNAVAILABLE. available: it is done. Default available.',
        ),
        tls: optional(z.union([z.boolean(), tls]), 'TLS: true, or its options. Default: as the url says, else no TLS.'),
        cluster: optional(
          z.array(node(6379)).check(z.minLength(1)),
          'Nodes through which the client finds a Redis Cluster. Instead of url and host.',
        ),
        sentinels: optional(
          z.strictObject({
            name: described(text, 'Name of the group whose master is used.'),
            nodes: described(z.array(node(26379)).check(z.minLength(1)), 'The sentinels.'),
            username: optional(text, 'User of the sentinels themselves.'),
            password: optional(password, 'Password of the sentinels themselves.'),
          }),
          'Sentinels that know the address of the current master. Instead of url and host.',
        ),
      },
      'Options of Redis.',
    ),
  })
  .check(
    z.superRefine(({ url, host, port, username, password, database, options }, ctx) => {
      // Optional chaining: options may have the wrong type, which is reported already.
      const cluster = options?.cluster
      const sentinels = options?.sentinels
      const elsewhere = { 'options.cluster': cluster, 'options.sentinels': sentinels }
      if (url !== undefined) {
        const beside = { host, port, username, password, database, ...elsewhere }
        rejectFields(ctx, beside, 'contradicts url, which is the whole address; remove one of the two')
      } else if (cluster !== undefined) {
        const beside = { host, port, 'options.sentinels': sentinels }
        rejectFields(ctx, beside, 'contradicts options.cluster, which names the servers; remove one of the two')
        rejectFields(ctx, { database }, 'is always 0 in a cluster; remove it')
      } else if (sentinels !== undefined) {
        rejectFields(
          ctx,
          { host, port },
          'contradicts options.sentinels, which names the server; remove one of the two',
        )
      }
    }, runAlways),
  )

const search = withDefault(
  z.union([z.boolean(), z.literal('with-tools')]),
  false,
  'Index the texts of messages and memories, so that they can be searched; with-tools: also what goes to and comes from tools. Default false.',
)

const inMemoryDatabase = z.strictObject({
  type: z.literal('in-memory'),
  ...ignoredPoolFields,
  options: section({ search }, 'Options of the database.'),
})

const sqliteDatabase = z.strictObject({
  type: z.literal('sqlite'),
  path: optional(
    path,
    'The file, if it has an extension and database is not given; else the directory. Default: the base directory.',
  ),
  database: optional(path, 'The file in that directory. Default agent.db.'),
  ...ignoredPoolFields,
  options: section(
    {
      synchronous: withDefault(
        z.enum(['full', 'normal']),
        'full',
        'full: an acknowledged write survives a power failure. normal: only a crash of the process. Default full.',
      ),
      readonly: withDefault(z.boolean(), false, 'Open an existing file for reading only. Default false.'),
      busyTimeoutMillis: withDefault(
        duration,
        5000,
        'Longest wait for another process that writes, in milliseconds. Default 5,000.',
      ),
      search,
    },
    'Options of SQLite.',
  ),
})

const postgresDatabase = z
  .strictObject({
    type: z.literal('postgres'),
    url: optional(postgresUrl, 'Address, user, password and database in one. Instead of the fields of the address.'),
    connectionString: optional(postgresUrl, 'Another name for url.'),
    host: optional(text, 'Host name, address, or directory of the Unix socket.'),
    port: optional(port, 'TCP port. Default 5432.', 5432),
    database: optional(text, 'Name of the database. Required beside host.'),
    user: optional(text, 'User to connect as. Required beside host.'),
    password: optional(password, 'Password of the user.'),
    maxConnections: withDefault(connections, 10, 'Size of the connection pool. Default 10.'),
    idleTimeoutMillis: withDefault(
      idleTimeout,
      30_000,
      'An idle connection is closed after this time, in milliseconds; 0: never. Default 30,000.',
    ),
    connectionTimeoutMillis: withDefault(
      duration,
      10_000,
      'Longest wait for a connection, in milliseconds. Default 10,000.',
    ),
    options: section(
      {
        schema: optional(
          schemaName,
          'Schema of the tables; separates two agents in one database. Default: as the server says.',
        ),
        ssl: optional(
          z.union([z.boolean(), z.enum(['require', 'allow', 'prefer', 'verify-full']), tls]),
          'TLS: true, a mode, or its options. Default: as the url says, else no TLS.',
        ),
        prepare: withDefault(
          z.boolean(),
          true,
          'Prepare statements on the server. Set it to false behind a pooler in transaction mode. Default true.',
        ),
        statementTimeoutMillis: optional(
          duration,
          'The server cancels a statement after this time, in milliseconds. Default: as the server says.',
        ),
        migrationLockTimeoutMillis: withDefault(
          duration,
          60_000,
          'Longest wait at open for another process that migrates, or for a table in use, in milliseconds. Default 60,000.',
        ),
        applicationName: withDefault(text, 'holdfast', 'Name of the program in pg_stat_activity. Default holdfast.'),
        rowLevelSecurity: withDefault(
          z.boolean(),
          false,
          'Have PostgreSQL show a scope the rows of its owner alone. The tables need policies, see docs/owners.md. Default false.',
        ),
        search,
      },
      'Options of PostgreSQL.',
    ),
  })
  .check(
    z.superRefine(({ url, connectionString, host, port, database, user, password }, ctx) => {
      if (url !== undefined) rejectFields(ctx, { connectionString }, 'is another name for url; remove one of the two')
      if (url !== undefined || connectionString !== undefined) {
        const name = url === undefined ? 'connectionString' : 'url'
        const message = `contradicts ${name}, which is the whole address; remove one of the two`
        rejectFields(ctx, { host, port, database, user, password }, message)
      } else if (host === undefined) {
        ctx.addIssue({ code: 'custom', message: 'has no address; give url, or host with database and user' })
      } else {
        for (const [field, value] of Object.entries({ database, user })) {
          const message = 'is missing; it is required beside host'
          if (value === undefined) ctx.addIssue({ code: 'custom', path: [field], message })
        }
      }
    }, runAlways),
  )

const retention = z.strictObject({
  messages: withDefault(
    age,
    'never',
    'Age at which a message is removed, oldest first, such as 30d or 12h, or never. Default never.',
  ),
  sessions: section(
    {
      idle: withDefault(
        age,
        'never',
        'A session that was not active for this time is removed with its messages, or never. Default never.',
      ),
    },
    'How long sessions are kept.',
  ),
  events: withDefault(age, 'never', 'Age at which an event is removed, or never. Default never.'),
  toolExecutions: withDefault(
    age,
    'never',
    'The record of a tool execution is removed this long after its end, or never. Default never.',
  ),
  abandonedExecutions: withDefault(
    age,
    '7d',
    'A tool execution that has been running for so long counts as left behind by a crash, or never. Default 7d.',
  ),
  approvals: withDefault(age, 'never', 'An approval is removed this long after its response, or never. Default never.'),
  memories: withDefault(
    age,
    'never',
    'A memory that is not pinned is removed this long after its last change, or never. Default never.',
  ),
  kv: withDefault(
    z.literal('never', {
      error: 'expected "never": an entry has a time of its own, the option ttlSeconds of kv.set()',
    }),
    'never',
    'Always never: an entry has a time of its own, the option ttlSeconds of kv.set().',
  ),
})

const inMemory = { type: 'in-memory' } as const
const filledIn = <T>(layer: z.ZodMiniType<T>): T => layer.parse(inMemory, parsedOnce)
const cache = z.discriminatedUnion('type', [inMemoryCache, redisCache])
const database = z.discriminatedUnion('type', [inMemoryDatabase, sqliteDatabase, postgresDatabase])

/** The content of a `storage:` section. A layer that is left out is in memory. Every default is filled in. */
export const storageSchema = z.pipe(
  z
    .strictObject({
      cache: optional(cache, 'Keeps copies of rows in front of the database. Default: in memory.', inMemory),
      database: optional(database, 'Keeps everything but the bytes of blobs. Default: in memory.', inMemory),
      blobStore: optional(blobStore, 'Keeps the bytes of blobs. Default: in memory.'),
      blob: optional(blobStore, 'Another name for blobStore.'),
      retention: optional(
        retention,
        'How long rows are kept before maintenance removes them. Default: everything is kept.',
      ),
    })
    .check(
      z.superRefine(({ cache, database, blobStore, blob }, ctx) => {
        if (cache?.type === 'in-memory' && database?.type !== 'postgres') {
          const message =
            'needs a database of type postgres: an in-memory cache sees every write of any other; remove it'
          rejectFields(ctx, { 'cache.options.invalidation': cache.options?.invalidation }, message)
        }
        for (const [name, store] of Object.entries({ blobStore, blob })) {
          if (store?.type !== 's3' || (database !== undefined && database.type !== 'in-memory')) continue
          const message = 'needs a database of type sqlite or postgres, which keeps the records of the blobs'
          rejectFields(ctx, { [`${name}.type`]: store.type }, message)
        }
        if (blobStore !== undefined) rejectFields(ctx, { blob }, 'is another name for blobStore; remove one of the two')
      }, runAlways),
    ),
  z.transform(({ cache, database, blobStore, blob, retention }) => ({
    cache: cache ?? filledIn(inMemoryCache),
    database: database ?? filledIn(inMemoryDatabase),
    blobStore: blobStore ?? blob ?? filledIn(inMemoryBlobStore),
    ...(retention && { retention }),
  })),
)

/** A `storage:` section under its key, as in a file. */
export const rootSchema = z.strictObject({
  storage: described(z.nullish(storageSchema), 'How the agent stores its data. Default: everything in memory.'),
})
