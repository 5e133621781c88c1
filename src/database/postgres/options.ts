import type Postgres from 'postgres'
import type { PostgresConfig } from '../../config/resolve.ts'

/** What postgres.js is told for one connection, apart from its address. */
export function clientOptions(config: PostgresConfig): Postgres.Options<Record<string, Postgres.PostgresType>> {
  const { connection } = config
  return {
    max: 1,
    prepare: config.prepare,
    fetch_types: false,
    // The pool sees to these; a url or the environment could set them.
    max_lifetime: null,
    idle_timeout: undefined,
    connect_timeout: 0,
    onnotice: () => {},
    types: textTypes,
    connection: {
      application_name: config.applicationName,
      // How timestamps are written, whatever the role or the server has set.
      TimeZone: 'UTC',
      DateStyle: 'ISO',
      ...(config.schema !== undefined && { search_path: `"${config.schema.replaceAll('"', '""')}"` }),
      ...(config.statementTimeoutMillis !== undefined && { statement_timeout: config.statementTimeoutMillis }),
    },
    ...(config.ssl !== undefined && { ssl: config.ssl }),
    ...('user' in connection && {
      database: connection.database,
      username: connection.user,
      ...(connection.password !== undefined && { password: connection.password }),
    }),
  }
}

/** Parameters are text already; what comes back is what the columns' codecs, and those of drizzle's drivers, read. */
const text = (oid: number): Postgres.PostgresType => ({
  to: oid,
  from: [oid],
  serialize: (value: unknown) => value,
  parse: (raw: unknown) => raw,
})
/** "2026-02-03 04:05:06.789+00", as the connection has it. Date reads that, but takes the year 99 for 1999 unless it is ISO 8601. */
function instant(raw: unknown): Date {
  const written = String(raw)
  return new Date(written.startsWith('00') ? written.replace(' ', 'T').replace('+00', 'Z') : written)
}

const textTypes = {
  json: { ...text(114), parse: (raw: unknown) => JSON.parse(String(raw)) },
  date: { ...text(1184), parse: instant },
  bool: { ...text(16), parse: (raw: unknown) => raw === 't' },
}

/** Text for everything: the server then knows the types from the statement, and one SQL text is one prepared statement. */
export function driverValue(value: unknown): string | null {
  if (value === null) return null
  if (value instanceof Date) return value.toISOString()
  return String(value)
}
