import { setTimeout as sleep } from 'node:timers/promises'
import { onTestFinished } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.ts'
import type { ResolvedPostgres, ResolvedSqlite } from '../../src/config/resolved.ts'
import type { Driver } from '../../src/database/db.ts'
import { openPostgres } from '../../src/database/postgres/driver.ts'
import type { Query } from '../../src/database/query.ts'
import { openSqlite } from '../../src/database/sqlite/open.ts'

/** Opens the PostgreSQL driver without the tables of Holdfast. It is closed when the test ends. */
export async function postgresDriver(fields: Record<string, unknown>): Promise<Driver> {
  const config = resolveConfig({ database: { type: 'postgres', ...fields } }).database as ResolvedPostgres // by its type
  return closeAfterTest(await openPostgres(config))
}

/** Opens the SQLite driver without the tables of Holdfast. It is closed when the test ends. */
export async function sqliteDriver(fields: Record<string, unknown>): Promise<Driver> {
  const config = resolveConfig({ database: { type: 'sqlite', ...fields } }).database as ResolvedSqlite // by its type
  return closeAfterTest(await openSqlite(config))
}

function closeAfterTest(driver: Driver): Driver {
  onTestFinished(() => driver.close())
  return driver
}

export function read(sql: string, ...params: unknown[]): Query {
  return { sql, params, writes: false }
}

export function write(sql: string, ...params: unknown[]): Query {
  return { sql, params, writes: true }
}

/** Returns how a call ended, or `hangs` if it has not ended after `millis`. */
export async function outcomeWithin(millis: number, call: Promise<unknown>): Promise<string> {
  const [outcome = ''] = await Promise.race([outcomes([call]), sleep(millis, ['hangs'], { ref: false })])
  return outcome
}

/** Waits for all calls. Returns for each `ok`, or the code of its error. */
export async function outcomes(calls: readonly unknown[]): Promise<string[]> {
  const settled = await Promise.allSettled(calls)
  return settled.map((each) => (each.status === 'fulfilled' ? 'ok' : String(each.reason.code ?? each.reason)))
}
