import BetterSqlite3 from 'better-sqlite3'
import type { StorageConfig } from 'holdfast'
import postgres from 'postgres'
import type { Lab } from './lab.ts'
import { SEEDED } from './sample.ts'

/** Size of a database: number of sessions, and of messages in the session `SEEDED`. */
export interface Size {
  messages: number
  sessions: number
}

export const dialects = { SQLite: seededSqlite, PostgreSQL: seededPostgres } as const

const TEXT = 'A message of a usual length, which says something that is neither very long nor very short. '.repeat(2)

// The same rows in both dialects. `numbers` is a source of rows `n`, counted from 1.
const sessionsSql = (count: number, numbers: string, instant: (n: string) => string) => `
  INSERT INTO sessions (id, title, owner_id, metadata, version, created_at, updated_at, last_seq, message_count, last_active_at)
  SELECT 'session-' || n, 'A title', 'owner-' || (n % 4), '{}', 1, ${instant('n')}, ${instant('n')}, 0, 0, ${instant('n')}
  FROM ${numbers} WHERE n <= ${count}`
const messagesSql = (count: number, numbers: string, instant: (n: string) => string) => `
  INSERT INTO messages (session_id, seq, id, role, content, metadata, created_at)
  SELECT '${SEEDED}', n, 'message-' || n, 'user', '"${TEXT}"', '{"model":"sample"}', ${instant('n')}
  FROM ${numbers} WHERE n <= ${count}`
const sessionSql = (messages: number, instant: (n: string) => string) => `
  INSERT INTO sessions (id, metadata, version, created_at, updated_at, last_seq, message_count, last_active_at)
  VALUES ('${SEEDED}', '{}', 1, ${instant('0')}, ${instant('0')}, ${messages}, ${messages}, ${instant('0')})`

const EPOCH = 1_700_000_000

/** Returns the configuration of a SQLite file of that size. Each size is filled once. */
export function seededSqlite(lab: Lab, { messages, sessions }: Size): Promise<StorageConfig> {
  return lab.once(`SQLite ${messages} ${sessions}`, async () => {
    const path = lab.file()
    const config: StorageConfig = { database: { type: 'sqlite', path } }
    await (await lab.open(config)).close()
    const numbers = (count: number) =>
      `(WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${count}) SELECT n FROM numbers)`
    const instant = (n: string) => `(${EPOCH} + ${n}) * 1000`
    const db = new BetterSqlite3(path)
    db.pragma('synchronous = OFF')
    db.exec(sessionSql(messages, instant))
    db.exec(sessionsSql(sessions, numbers(sessions), instant))
    db.exec(messagesSql(messages, numbers(messages), instant))
    db.close()
    return config
  })
}

/** Returns the configuration of a PostgreSQL database of that size. Each size is filled once. */
export function seededPostgres(lab: Lab, { messages, sessions }: Size): Promise<StorageConfig> {
  return lab.once(`PostgreSQL ${messages} ${sessions}`, async () => {
    const url = await lab.postgresUrl()
    const config: StorageConfig = { database: { type: 'postgres', url } }
    await (await lab.open(config)).close()
    const numbers = (count: number) => `generate_series(1, ${count}) AS numbers (n)`
    const instant = (n: string) => `to_timestamp(${EPOCH} + ${n})`
    const sql = postgres(url, { max: 1 })
    await sql.unsafe(sessionSql(messages, instant))
    await sql.unsafe(sessionsSql(sessions, numbers(sessions), instant))
    await sql.unsafe(messagesSql(messages, numbers(messages), instant))
    await sql.unsafe('VACUUM ANALYZE sessions')
    await sql.unsafe('VACUUM ANALYZE messages')
    await sql.end()
    return config
  })
}
