import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { withoutCache } from '../../src/cache/row-cache.ts'
import { resolveConfig } from '../../src/config/resolve.ts'
import { Database } from '../../src/database/database.ts'
import type { Driver } from '../../src/database/db.ts'
import { openDatabase } from '../../src/database/open.ts'
import type { Query } from '../../src/database/query.ts'
import { openRepositories, type Repositories } from '../../src/repositories/repositories.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { planFaults } from './plan-faults.ts'
import { calls, fill } from './planned-calls.ts'
import { recording } from './recording.ts'

const open = {
  sqlite: () => ({ type: 'sqlite' as const, path: join(freshDirectory(), 'test.db') }),
  postgres: async () => ({ type: 'postgres' as const, url: await freshPostgres(), maxConnections: 1 }),
}

describe.each(['sqlite', 'postgres'] as const)('on %s', (dialect) => {
  const sent: Query[] = []
  let driver: Driver
  let repositories: Repositories

  beforeAll(async () => {
    const { database: config } = resolveConfig({ database: await open[dialect]() })
    driver = (await openDatabase(config, { migrate: true })).driver
    const database = new Database(recording(driver, sent))
    repositories = openRepositories(database, {
      now: () => new Date(),
      confirmedNow: async () => new Date(),
      cache: withoutCache,
      observer: { source: { database: 'sqlite' } },
      onMemoryCreated: () => {},
    })
    await fill(driver, repositories)
    await driver.run({ sql: 'analyze', params: [], writes: true })
    return () => database.close()
  })

  test.each(Object.keys(calls))('%s finds and orders its rows by an index', async (name) => {
    sent.length = 0
    await calls[name]?.(repositories)
    expect(sent).not.toEqual([])
    for (const query of sent.slice()) {
      if (/^(savepoint|release)/i.test(query.sql)) continue
      expect(await planFaults(driver, query), query.sql).toEqual([])
    }
  })

  test.each([
    ['a scan', 'select id from sessions where title = $1', ['x']],
    ['a scan of a whole index', 'select count(*) from messages where seq > $1', ['10']],
    ['a sort', 'select id from sessions where owner_id = $1 order by updated_at limit 10', ['owner']],
    ['an index whose first column has no condition', 'select role from messages where id = $1', ['message-7']],
  ])('planFaults() reports %s', async (_, sql, params) => {
    expect(await planFaults(driver, { sql, params, writes: false })).not.toEqual([])
  })
})
