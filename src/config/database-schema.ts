import * as z from 'zod/mini'
import {
  connections,
  duration,
  idleTimeout,
  ignoredPoolFields,
  optional,
  password,
  path,
  port,
  postgresUrl,
  rejectFields,
  runAlways,
  schemaName,
  section,
  text,
  tls,
  withDefault,
} from './fields.ts'

const search = withDefault(
  z.union([z.boolean(), z.literal('with-tools')]),
  false,
  'Index messages and memories, so that they can be searched; with-tools: also what tools get and return. Default false.',
)

export const inMemoryDatabase = z.strictObject({
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

/** The configuration of a database. */
export const database = z.discriminatedUnion('type', [inMemoryDatabase, sqliteDatabase, postgresDatabase])
