import type Postgres from 'postgres'
import type { ResolvedPostgres } from '../../config/resolved.ts'

/** Returns the options of postgres.js for one connection, except its address. */
export function clientOptions(config: ResolvedPostgres): Postgres.Options<Record<string, Postgres.PostgresType>> {
  const { connection } = config
  return {
    max: 1,
    prepare: config.prepare,
    fetch_types: false,
    // The pool does this itself. Set here because a url or the environment could set them.
    max_lifetime: null,
    idle_timeout: undefined,
    connect_timeout: 0,
    onnotice: () => {},
    types: textTypes,
    connection: {
      application_name: config.applicationName,
      // The format of timestamps, whatever the role or the server has set.
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

/** Makes a type that sends text as it is. `driverValue` has made the text, and the columns' codecs read what comes back. */
const text = (oid: number): Postgres.PostgresType => ({
  to: oid,
  from: [oid],
  serialize: (value: unknown) => value,
  parse: (raw: unknown) => raw,
})
/**
 * Parses a timestamp in the connection's format, "2026-02-03 04:05:06.789+00". Date parses the format, but takes the year 99
 * for 1999, so the years before 100 are converted to ISO 8601 first.
 */
function instant(raw: unknown): Date {
  const written = String(raw)
  return new Date(written.startsWith('00') ? written.replace(' ', 'T').replace('+00', 'Z') : written)
}

/**
 * Returns bytes in the format `hex` of the server's setting bytea_output, which may be `escape`. A connection cannot ask for a
 * format: poolers refuse the parameter.
 */
function hex(written: string): string {
  if (written.startsWith('\\x')) return written
  const byte = (octal: string) => String.fromCharCode(Number.parseInt(octal, 8))
  const bytes = written.replace(/\\(\\|\d{3})/g, (_, escaped: string) => (escaped === '\\' ? escaped : byte(escaped)))
  return `\\x${Buffer.from(bytes, 'latin1').toString('hex')}`
}

const textTypes = {
  json: { ...text(114), parse: (raw: unknown) => JSON.parse(String(raw)) },
  date: { ...text(1184), parse: instant },
  bytes: { ...text(17), parse: (raw: unknown) => hex(String(raw)) },
  bool: { ...text(16), parse: (raw: unknown) => raw === 't' },
}

/** Converts a parameter to text. The server takes its type from the statement, so one SQL text is one prepared statement. */
export function driverValue(value: unknown): string | null {
  if (value === null) return null
  if (value instanceof Date) return value.toISOString()
  return String(value)
}
