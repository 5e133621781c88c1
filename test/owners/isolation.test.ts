import { join } from 'node:path'
import fc from 'fast-check'
import { openStorage, type StorageConfig } from 'holdfast'
import { afterEach, describe, expect, test } from 'vitest'
import { OwnedDb } from '../../src/database/owned-db.ts'
import type { Query } from '../../src/database/query.ts'
import { freshDirectory, freshPostgres, redisPrefix, redisUrl } from '../setup/databases.ts'
import { methodsOf } from '../setup/methods.ts'
import { rounds } from '../setup/rounds.ts'
import { calls, NOT_COMPARED } from './isolation-calls.ts'
import { firstDifference, options, search, step, stepOf } from './isolation-model.ts'

const configurations: Record<string, () => Promise<StorageConfig>> = {
  'in memory': async () => ({ database: { type: 'in-memory', ...search } }),
  SQLite: async () => ({
    database: { type: 'sqlite', path: join(freshDirectory(), 'test.db'), ...search },
    blobStore: { type: 'local', storePath: freshDirectory() },
  }),
  // The memory cache of this instance; its rows go when another instance says so.
  'PostgreSQL and a memory cache': async () => ({
    database: { type: 'postgres', url: await freshPostgres(), ...search },
  }),
  'PostgreSQL and Redis': async () => ({
    database: { type: 'postgres', url: await freshPostgres(), ...search },
    cache: { type: 'redis', url: redisUrl(), options: { keyPrefix: redisPrefix() } },
  }),
}

/** Opens a storage whose owners' names start anew in each round. */
function property(configure: () => Promise<StorageConfig>, steps = step) {
  return fc.asyncProperty(fc.array(steps, { minLength: 20, maxLength: 120, size: 'max' }), async (taken) => {
    await using shared = await openStorage(await configure(), options)
    const difference = await firstDifference(shared, taken)
    if (difference) throw new Error(JSON.stringify(difference, null, 1))
  })
}

describe.each(Object.entries(configurations))('%s', (name, configure) => {
  test('an owner gets the answers of a storage of their own', async () => {
    const numRuns = rounds(name.startsWith('PostgreSQL') ? 2 : 4, 200)
    await fc.assert(property(configure), { numRuns, endOnFailure: true })
  })
})

test('every method of a scope is among the calls, or has a reason not to be', async () => {
  await using storage = await openStorage({}, options)
  const methods = Object.entries(storage.scope({ ownerId: 'ada' })).flatMap(([name, part]) =>
    typeof part === 'object' ? methodsOf(part).map((method) => `${name}.${method}`) : [],
  )
  expect(methods.length).toBeGreaterThan(100)
  const compared = new Set(Object.keys(calls).flatMap((name) => name.split(', ')))
  expect(methods.filter((method) => !compared.has(method) && !(method in NOT_COMPARED))).toEqual([])
})

const { run, batch } = OwnedDb.prototype
afterEach(() => Object.assign(OwnedDb.prototype, { run, batch }))

test.each(['memories', 'kv', 'messages', 'events'])('fails if the statements of %s forget the owner', async (table) => {
  const condition = new RegExp(`"${table}"\\."owner_id" = (\\+\\?|\\$\\d+)`, 'g')
  const forgetful = (query: Query): Query => ({ ...query, sql: query.sql.replace(condition, '($& or true)') })
  OwnedDb.prototype.run = function (query) {
    return run.call(this, forgetful(query))
  }
  OwnedDb.prototype.batch = function (queries) {
    return batch.call(this, queries.map(forgetful))
  }
  const names = Object.keys(calls).filter((name) => name.startsWith(`${table}.`)) // all calls find it as well, later
  const result = await fc.check(
    property(async () => ({ database: { type: 'in-memory', ...search } }), stepOf(names)),
    { numRuns: 200, endOnFailure: true },
  )
  expect(result.failed).toBe(true)
})
