import { join } from 'node:path'

import { compare, type Effort, type Way } from '../../bench/harness.ts'
import { withoutCache } from '../../src/cache/row-cache.ts'
import { resolveConfig } from '../../src/config/resolve.ts'
import type { Db, Dialect } from '../../src/database/db.ts'
import { openDatabase } from '../../src/database/open.ts'
import type { Query } from '../../src/database/query.ts'
import { openRepositories, type Repositories } from '../../src/repositories/repositories.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'

/** Repositories on a database whose query plans can be read. */
export interface WatchedDatabase {
  repositories: Repositories
  /** Returns the plan of each query of a call. */
  plansOf(call: () => Promise<unknown>): Promise<string[]>
  /** Updates the statistics of the planner. */
  analyze(): Promise<void>
  close(): Promise<void>
}

/** Opens the repositories on a new database. */
export async function watchedDatabase(dialect: Dialect): Promise<WatchedDatabase> {
  const path = join(freshDirectory(), 'test.db')
  // Generic plans, as PostgreSQL makes them for statements that have run a few times.
  const settings = { plan_cache_mode: 'force_generic_plan' }
  const config = dialect === 'sqlite' ? { type: dialect, path } : { type: dialect, url: await freshPostgres(settings) }
  const database = await openDatabase(resolveConfig({ database: config }).database, { migrate: true })
  const seen: Query[] = []
  const watching: Db = {
    search: false,
    kit: database.kit,
    dialect: database.dialect,
    tables: database.tables,
    orm: database.orm,
    owner: database.owner,
    run(query) {
      seen.push(query)
      return database.run(query)
    },
    batch: (queries) => database.batch(queries),
    transaction: (body) => database.transaction(body),
  }
  return {
    repositories: openRepositories(watching, {
      now: () => new Date(),
      confirmedNow: async () => new Date(),
      cache: withoutCache,
      observer: { source: { database: 'sqlite' } },
      onMemoryCreated: () => {},
    }),
    async plansOf(call) {
      seen.length = 0
      await call()
      const explain = dialect === 'sqlite' ? 'explain query plan ' : 'explain '
      const plans = await Promise.all(
        seen.splice(0).map((query) => database.run({ ...query, sql: explain + query.sql, writes: false })),
      )
      return plans.map((rows) => rows.map((row) => row.at(-1)).join('\n'))
    },
    async analyze() {
      if (dialect === 'postgres') await database.run({ sql: 'vacuum analyze', params: [], writes: true })
    },
    close: () => database.close(),
  }
}

const EFFORT: Effort = { rounds: 40, sampleMillis: 3, warmupMillis: 200 }

/**
 * Returns the duration of a call as a multiple of the baseline's. Measures up to four times, until the multiple is below
 * `enough`, because other work on the machine disturbs a measurement.
 */
export async function timesAsLong(ours: Way['call'], baseline: Way['call'], enough = 1.3): Promise<number> {
  const ratios: number[] = []
  for (let attempt = 0; attempt < 4; attempt++) {
    const { ratio } = await compare(
      { ours: { call: ours }, baseline: { call: baseline }, close: async () => {} },
      1,
      EFFORT,
    )
    ratios.push(ratio)
    if (ratio < enough) break
  }
  return Math.min(...ratios)
}
