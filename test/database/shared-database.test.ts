import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { openStorage } from 'holdfast'
import { describe, expect, test } from 'vitest'
import { freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { dialects, freshDatabase, journal, type TestDatabase } from './dialects.ts'
import { entriesOf, folderOf, ownMigrations } from './histories.ts'

/** Returns the migration of another program on the same database, with drizzle-kit and drizzle's default journal. */
function otherProgram({ dialect, location }: TestDatabase, when: number) {
  const migrations = folderOf(dialect, [{ tag: '0000_theirs', when, sql: 'CREATE TABLE their_notes (id integer)' }])
  const config = join(freshDirectory(), 'drizzle.config.json')
  const kind = dialect === 'postgres' ? 'postgresql' : 'sqlite'
  writeFileSync(config, JSON.stringify({ dialect: kind, out: migrations, dbCredentials: { url: location } }))
  return () =>
    promisify(execFile)(process.execPath, ['node_modules/drizzle-kit/bin.cjs', 'migrate', '--config', config])
}

const timeout = 60_000

describe.each(dialects)('on %s, Holdfast and drizzle-kit migrate of another program', (dialect) => {
  const ages = [
    { age: 'older', when: Number(entriesOf(dialect)[0]?.when) - 1 },
    { age: 'newer', when: Number(entriesOf(dialect).at(-1)?.when) + 1 },
  ]

  test.each(ages)(
    'both succeed if Holdfast is first and the other migration is $age',
    { timeout },
    async ({ when }) => {
      const database = await freshDatabase(dialect)
      await (await database.open()).close()
      await otherProgram(database, when)()
      expect(await database.query('select * from their_notes')).toEqual([])
      await (await database.open({ migrate: false })).close()
    },
  )

  test.each(ages)(
    'both succeed if Holdfast is second and the other migration is $age',
    { timeout },
    async ({ when }) => {
      const database = await freshDatabase(dialect)
      const migrateTheirs = otherProgram(database, when)
      await migrateTheirs()
      await (await database.open()).close()
      expect(await database.query('select * from their_notes')).toEqual([])
      await migrateTheirs()
      await (await database.open({ migrate: false })).close()
    },
  )

  test.each(ages)(
    'both succeed if Holdfast has used drizzle’s journal and the other migration is $age',
    { timeout },
    async ({ when }) => {
      const database = await freshDatabase(dialect)
      await database.stockMigrate(`migrations/${dialect}`) // as the first versions of Holdfast did
      await (await database.open({ migrate: false })).close()
      await (await database.open()).close()
      expect(await journal(database)).toHaveLength(ownMigrations(dialect).length)
      // If a newer row of Holdfast stayed in that journal, drizzle-kit would silently skip the other migration.
      await otherProgram(database, when)()
      expect(await database.query('select * from their_notes')).toEqual([])
      await (await database.open({ migrate: false })).close()
    },
  )
})

test('openStorage() keeps the data of two roles with different search paths apart in one PostgreSQL database', async () => {
  const database = await freshDatabase('postgres')
  const name = new URL(database.location).pathname.slice(1)
  const urls: string[] = []
  for (const agent of ['one', 'two']) {
    const role = `${name}_${agent}`
    await database.query(`create role ${role} login password 'secret'`)
    await database.query(`create schema agent_${agent} authorization ${role}`)
    await database.query(`alter role ${role} set search_path = agent_${agent}`)
    urls.push(Object.assign(new URL(database.location), { username: role, password: 'secret' }).href)
  }
  for (const [i, url] of urls.entries()) {
    await using storage = await openStorage({ database: { type: 'postgres', url } }, quiet)
    expect(await storage.kv.get('agent')).toBeUndefined()
    await storage.kv.set('agent', i)
  }
  for (const [i, url] of urls.entries()) {
    await using storage = await openStorage({ database: { type: 'postgres', url } }, quiet)
    expect(await storage.kv.get('agent')).toBe(i)
  }
  for (const agent of ['one', 'two']) await database.query(`drop owned by ${name}_${agent} cascade`)
  for (const agent of ['one', 'two']) await database.query(`drop role ${name}_${agent}`)
})

test('openStorage() rejects a PostgreSQL database that has a table in another schema than the search path', async () => {
  const database = await freshDatabase('postgres')
  await (await database.open()).close()
  await database.query('create schema elsewhere')
  await database.query('alter table sessions set schema elsewhere')
  await expect(database.open()).rejects.toMatchObject({
    code: 'SCHEMA_DIVERGED',
    message: expect.stringContaining('search_path'),
  })
})
