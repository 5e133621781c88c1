import * as z from 'zod/mini'
import {
  connections,
  described,
  duration,
  idleTimeout,
  ignoredPoolFields,
  int32,
  integer,
  node,
  optional,
  password,
  port,
  postgresUrl,
  rejectFields,
  runAlways,
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

export const inMemoryCache = z
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
          'Address of the same database for LISTEN, past a pooler. Only with invalidation. Default: as the database.',
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

/** Other clients take a database and options from the query. What is not understood is refused: it would lead to database 0. */
const redisUrl = url('redis://user:password@host:6379/0', 'redis', 'rediss').check(
  z.refine(
    (value) => /^\w+:\/\/[^/?]*(?:\/\d{0,10})?$/.test(value),
    'expected nothing behind the host but the number of a database, such as /0; the other fields take options',
  ),
)

const redisCache = z
  .strictObject({
    type: z.literal('redis'),
    url: optional(
      redisUrl,
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
          'strict: while Redis is away, a write to cached rows fails with CACHE_UNAVAILABLE. available (default): it is done.',
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

/** The configuration of a cache. */
export const cache = z.discriminatedUnion('type', [inMemoryCache, redisCache])
