import { onTestFinished } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.ts'
import type { ResolvedPostgres, ResolvedSqlite } from '../../src/config/resolved.ts'
import type { Driver } from '../../src/database/db.ts'
import { openPostgres } from '../../src/database/postgres/driver.ts'
import type { Query } from '../../src/database/query.ts'
import { openSqlite } from '../../src/database/sqlite/driver.ts'

/** The driver alone, without the package's tables; closed when the test ends. */
export async function postgresDriver(fields: Record<string, unknown>): Promise<Driver> {
  const config = resolveConfig({ database: { type: 'postgres', ...fields } }).database as ResolvedPostgres // its type is given
  return closedInTheEnd(await openPostgres(config))
}

/** As `postgresDriver`. */
export async function sqliteDriver(fields: Record<string, unknown>): Promise<Driver> {
  const config = resolveConfig({ database: { type: 'sqlite', ...fields } }).database as ResolvedSqlite // its type is given
  return closedInTheEnd(await openSqlite(config))
}

function closedInTheEnd(driver: Driver): Driver {
  onTestFinished(() => driver.close())
  return driver
}

export function read(sql: string, ...params: unknown[]): Query {
  return { sql, params, writes: false }
}

export function write(sql: string, ...params: unknown[]): Query {
  return { sql, params, writes: true }
}

/** How each ended: `ok`, or the error's code. */
export async function outcomes(calls: readonly unknown[]): Promise<string[]> {
  const settled = await Promise.allSettled(calls)
  return settled.map((each) => (each.status === 'fulfilled' ? 'ok' : String(each.reason.code ?? each.reason)))
}
