import * as z from 'zod'
import { blobStore, inMemoryBlobStore } from './blob-store-schema.ts'
import {
  age,
  connections,
  duration,
  idleTimeout,
  ignoredPoolFields,
  int32,
  integer,
  node,
  parsedOnce,
  password,
  path,
  port,
  rejectFields,
  runAlways,
  schemaName,
  text,
  tls,
  url,
} from './fields.ts'

const maxValueBytes = integer()
  .default(1_048_576)
  .describe('A serialised value with more bytes is not cached. Default 1 MiB.')

const postgresUrl = url('postgres://user:password@host:5432/database', 'postgres', 'postgresql')

const inMemoryCache = z
  .strictObject({
    type: z.literal('in-memory'),
    ...ignoredPoolFields,
    options: z
      .strictObject({
        maxEntries: integer()
          .default(10_000)
          .describe('How many entries are kept. The least recently used entry is evicted first. Default 10,000.'),
        maxBytes: integer()
          .default(67_108_864)
          .describe('How many bytes keys and serialised values take together. Default 64 MiB.'),
        maxValueBytes,
        ttlSeconds: duration
          .optional()
          .describe('Time to live of an entry, in seconds. Default 5 in front of PostgreSQL, else none.'),
        invalidation: z
          .enum(['notify'])
          .optional()
          .describe(
            'notify: the instances on one PostgreSQL tell each other of their writes, with NOTIFY. Default: they do not.',
          ),
        listenUrl: postgresUrl
          .optional()
          .describe(
            'Address of the same database for LISTEN, past a pooler in transaction mode. Beside invalidation. Default: as the database.',
          ),
      })
      .prefault({})
      .describe('Limits of the cache.'),
  })
  .superRefine(({ options }, ctx) => {
    // Optional chaining: options may have the wrong type, which is reported already.
    if (options?.invalidation !== undefined) return
    const message = 'has no effect without options.invalidation: notify; add that, or remove listenUrl'
    rejectFields(ctx, { 'options.listenUrl': options?.listenUrl }, message)
  }, runAlways)

const redisCache = z
  .strictObject({
    type: z.literal('redis'),
    url: url('redis://user:password@host:6379/0', 'redis', 'rediss')
      .optional()
      .describe(
        'Address, user, password and database in one; rediss:// for TLS. Instead of the fields of the address.',
      ),
    host: text.optional().meta({ description: 'Host name or address. Default localhost.', default: 'localhost' }),
    port: port.optional().meta({ description: 'TCP port. Default 6379.', default: 6379 }),
    username: text.optional().describe('User of the access control list. Default: the default user.'),
    password: password.optional().describe('Password of the user.'),
    database: integer(int32, 0)
      .optional()
      .meta({ description: 'Number of the logical database. Default 0.', default: 0 }),
    maxConnections: connections
      .default(10)
      .describe('Upper limit of connections. One connection serves all commands. Default 10.'),
    idleTimeoutMillis: idleTimeout
      .optional()
      .describe('Accepted on every backend. The connection to Redis stays open.'),
    connectionTimeoutMillis: duration
      .default(5000)
      .describe('Longest wait for a connection, in milliseconds. Default 5,000.'),
    options: z
      .strictObject({
        keyPrefix: z
          .string()
          .default('holdfast:')
          .describe('Prefix of every key; separates two agents on one Redis. Default holdfast:'),
        ttlSeconds: duration.default(3600).describe('Time to live of an entry, in seconds. Default 3,600.'),
        commandTimeoutMillis: duration
          .default(250)
          .describe('Longest wait for an answer, in milliseconds. After it, the database answers. Default 250.'),
        maxValueBytes,
        consistency: z
          .enum(['available', 'strict'])
          .default('available')
          .describe(
            'strict: while Redis is away, a write to cached rows fails with CACHE_UNAVAILABLE. available: it is done. Default available.',
          ),
        tls: z
          .union([z.boolean(), tls])
          .optional()
          .describe('TLS: true, or its options. Default: as the url says, else no TLS.'),
        cluster: z
          .array(node(6379))
          .min(1)
          .optional()
          .describe('Nodes through which the client finds a Redis Cluster. Instead of url and host.'),
        sentinels: z
          .strictObject({
            name: text.describe('Name of the group whose master is used.'),
            nodes: z.array(node(26379)).min(1).describe('The sentinels.'),
            username: text.optional().describe('User of the sentinels themselves.'),
            password: password.optional().describe('Password of the sentinels themselves.'),
          })
          .optional()
          .describe('Sentinels that know the address of the current master. Instead of url and host.'),
      })
      .prefault({})
      .describe('Options of Redis.'),
  })
  .superRefine(({ url, host, port, username, password, database, options }, ctx) => {
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
      rejectFields(ctx, { host, port }, 'contradicts options.sentinels, which names the server; remove one of the two')
    }
  }, runAlways)

const search = z
  .union([z.boolean(), z.literal('with-tools')])
  .default(false)
  .describe(
    'Index the texts of messages and memories, so that they can be searched; with-tools: also what goes to and comes from tools. Default false.',
  )

const inMemoryDatabase = z.strictObject({
  type: z.literal('in-memory'),
  ...ignoredPoolFields,
  options: z.strictObject({ search }).prefault({}).describe('Options of the database.'),
})

const sqliteDatabase = z.strictObject({
  type: z.literal('sqlite'),
  path: path
    .optional()
    .describe(
      'The file, if it has an extension and database is not given; else the directory. Default: the base directory.',
    ),
  database: path.optional().describe('The file in that directory. Default agent.db.'),
  ...ignoredPoolFields,
  options: z
    .strictObject({
      synchronous: z
        .enum(['full', 'normal'])
        .default('full')
        .describe(
          'full: an acknowledged write survives a power failure. normal: only a crash of the process. Default full.',
        ),
      readonly: z.boolean().default(false).describe('Open an existing file for reading only. Default false.'),
      busyTimeoutMillis: duration
        .default(5000)
        .describe('Longest wait for another process that writes, in milliseconds. Default 5,000.'),
      search,
    })
    .prefault({})
    .describe('Options of SQLite.'),
})

const postgresDatabase = z
  .strictObject({
    type: z.literal('postgres'),
    url: postgresUrl
      .optional()
      .describe('Address, user, password and database in one. Instead of the fields of the address.'),
    connectionString: postgresUrl.optional().describe('Another name for url.'),
    host: text.optional().describe('Host name, address, or directory of the Unix socket.'),
    port: port.optional().meta({ description: 'TCP port. Default 5432.', default: 5432 }),
    database: text.optional().describe('Name of the database. Required beside host.'),
    user: text.optional().describe('User to connect as. Required beside host.'),
    password: password.optional().describe('Password of the user.'),
    maxConnections: connections.default(10).describe('Size of the connection pool. Default 10.'),
    idleTimeoutMillis: idleTimeout
      .default(30_000)
      .describe('An idle connection is closed after this time, in milliseconds; 0: never. Default 30,000.'),
    connectionTimeoutMillis: duration
      .default(10_000)
      .describe('Longest wait for a connection, in milliseconds. Default 10,000.'),
    options: z
      .strictObject({
        schema: schemaName
          .optional()
          .describe('Schema of the tables; separates two agents in one database. Default: as the server says.'),
        ssl: z
          .union([z.boolean(), z.enum(['require', 'allow', 'prefer', 'verify-full']), tls])
          .optional()
          .describe('TLS: true, a mode, or its options. Default: as the url says, else no TLS.'),
        prepare: z
          .boolean()
          .default(true)
          .describe(
            'Prepare statements on the server. Set it to false behind a pooler in transaction mode. Default true.',
          ),
        statementTimeoutMillis: duration
          .optional()
          .describe('The server cancels a statement after this time, in milliseconds. Default: as the server says.'),
        migrationLockTimeoutMillis: duration
          .default(60_000)
          .describe(
            'Longest wait at open for another process that migrates, or for a table in use, in milliseconds. Default 60,000.',
          ),
        applicationName: text
          .default('holdfast')
          .describe('Name of the program in pg_stat_activity. Default holdfast.'),
        rowLevelSecurity: z
          .boolean()
          .default(false)
          .describe(
            'Have PostgreSQL show a scope the rows of its owner alone. The tables need policies, see docs/owners.md. Default false.',
          ),
        search,
      })
      .prefault({})
      .describe('Options of PostgreSQL.'),
  })
  .superRefine(({ url, connectionString, host, port, database, user, password }, ctx) => {
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
  }, runAlways)

const retention = z.strictObject({
  messages: age
    .default('never')
    .describe('Age at which a message is removed, oldest first, such as 30d or 12h, or never. Default never.'),
  sessions: z
    .strictObject({
      idle: age
        .default('never')
        .describe('A session that was not active for this time is removed with its messages, or never. Default never.'),
    })
    .prefault({})
    .describe('How long sessions are kept.'),
  events: age.default('never').describe('Age at which an event is removed, or never. Default never.'),
  toolExecutions: age
    .default('never')
    .describe('The record of a tool execution is removed this long after its end, or never. Default never.'),
  abandonedExecutions: age
    .default('7d')
    .describe(
      'A tool execution that has been running for so long counts as left behind by a crash, or never. Default 7d.',
    ),
  approvals: age
    .default('never')
    .describe('An approval is removed this long after its response, or never. Default never.'),
  memories: age
    .default('never')
    .describe('A memory that is not pinned is removed this long after its last change, or never. Default never.'),
  kv: z
    .literal('never', { error: 'expected "never": an entry has a time of its own, the option ttlSeconds of kv.set()' })
    .default('never')
    .describe('Always never: an entry has a time of its own, the option ttlSeconds of kv.set().'),
})

const inMemory = { type: 'in-memory' } as const
const filledIn = <T>(layer: z.ZodType<T>): T => layer.parse(inMemory, parsedOnce)
const cache = z.discriminatedUnion('type', [inMemoryCache, redisCache])
const database = z.discriminatedUnion('type', [inMemoryDatabase, sqliteDatabase, postgresDatabase])

/** The content of a `storage:` section. A layer that is left out is in memory. Every default is filled in. */
export const storageSchema = z
  .strictObject({
    cache: cache
      .optional()
      .meta({ description: 'Keeps copies of rows in front of the database. Default: in memory.', default: inMemory }),
    database: database
      .optional()
      .meta({ description: 'Keeps everything but the bytes of blobs. Default: in memory.', default: inMemory }),
    blobStore: blobStore.optional().describe('Keeps the bytes of blobs. Default: in memory.'),
    blob: blobStore.optional().describe('Another name for blobStore.'),
    retention: retention
      .optional()
      .describe('How long rows are kept before maintenance removes them. Default: everything is kept.'),
  })
  .superRefine(({ cache, database, blobStore, blob }, ctx) => {
    if (cache?.type === 'in-memory' && database?.type !== 'postgres') {
      const message = 'needs a database of type postgres: an in-memory cache sees every write of any other; remove it'
      rejectFields(ctx, { 'cache.options.invalidation': cache.options?.invalidation }, message)
    }
    for (const [name, store] of Object.entries({ blobStore, blob })) {
      if (store?.type !== 's3' || (database !== undefined && database.type !== 'in-memory')) continue
      const message = 'needs a database of type sqlite or postgres, which keeps the records of the blobs'
      rejectFields(ctx, { [`${name}.type`]: store.type }, message)
    }
    if (blobStore !== undefined) rejectFields(ctx, { blob }, 'is another name for blobStore; remove one of the two')
  }, runAlways)
  .transform(({ cache, database, blobStore, blob, retention }) => ({
    cache: cache ?? filledIn(inMemoryCache),
    database: database ?? filledIn(inMemoryDatabase),
    blobStore: blobStore ?? blob ?? filledIn(inMemoryBlobStore),
    ...(retention && { retention }),
  }))

/** A `storage:` section under its key, as in a file. */
export const rootSchema = z.strictObject({
  storage: storageSchema.nullish().describe('How the agent stores its data. Default: everything in memory.'),
})
