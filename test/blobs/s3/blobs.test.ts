import { join } from 'node:path'
import { openStorage } from 'holdfast'
import { blobsContract } from 'holdfast/testing'
import { afterAll, describe, it } from 'vitest'
import { freshDirectory, freshPostgres } from '../../setup/databases.ts'
import { rounds } from '../../setup/rounds.ts'
import { quiet } from '../../setup/silent.ts'
import { serve } from './fixture.ts'

const server = await serve()
const databases = {
  sqlite: async () => ({ type: 'sqlite' as const, path: join(freshDirectory(), 'test.db') }),
  postgres: async () => ({ type: 'postgres' as const, url: await freshPostgres(), maxConnections: 5 }),
}

afterAll(() => server.close())

for (const [name, configure] of Object.entries(databases)) {
  describe(`s3, ${name}`, () => {
    let database: ReturnType<typeof configure> | undefined
    const cases = blobsContract(async (options) => {
      database ??= configure()
      const blobStore = { ...server.config, prefix: name }
      return openStorage({ database: await database, blobStore }, { ...quiet, ...options })
    })
    // The bucket is the same beside PostgreSQL, whose part the tests of other stores have in full.
    const share = name === 'postgres' ? rounds(4, 1) : 1
    for (const { name, run } of cases.filter((_, i) => i % share === 0)) it(name, run)
  })
}
