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

/** A program with tables of its own, which it migrates with drizzle-kit and drizzle's default journal. */
function programBesides({ dialect, location }: TestDatabase, when: number) {
  const migrations = folderOf(dialect, [{ tag: '0000_theirs', when, sql: 'CREATE TABLE their_notes (id integer)' }])
  const config = join(freshDirectory(), 'drizzle.config.json')
  const kind = dialect === 'postgres' ? 'postgresql' : 'sqlite'
  writeFileSync(config, JSON.stringify({ dialect: kind, out: migrations, dbCredentials: { url: location } }))
  return () =>
    promisify(execFile)(process.execPath, ['node_modules/drizzle-kit/bin.cjs', 'migrate', '--config', config])
}

const timeout = 60_000

describe.each(dialects)('a %s database that a program shares with its own drizzle migrations', (dialect) => {
  const ages = [
    { age: 'older than ours', when: Number(entriesOf(dialect)[0]?.when) - 1 },
    { age: 'newer than ours', when: Number(entriesOf(dialect).at(-1)?.when) + 1 },
  ]

  test.each(ages)('takes both histories, ours first, theirs $age', { timeout }, async ({ when }) => {
    const database = await freshDatabase(dialect)
    await (await database.open()).close()
    await programBesides(database, when)()
    expect(await database.query('select * from their_notes')).toEqual([])
    await (await database.open({ migrate: false })).close()
  })

  test.each(ages)('takes both histories, theirs first, theirs $age', { timeout }, async ({ when }) => {
    const database = await freshDatabase(dialect)
    const migrateTheirs = programBesides(database, when)
    await migrateTheirs()
    await (await database.open()).close()
    expect(await database.query('select * from their_notes')).toEqual([])
    await migrateTheirs()
    await (await database.open({ migrate: false })).close()
  })

  test.each(ages)('heals a journal that both have written, theirs $age', { timeout }, async ({ when }) => {
    const database = await freshDatabase(dialect)
    await database.stockMigrate(`migrations/${dialect}`) // as the first versions of Holdfast did
    await (await database.open({ migrate: false })).close()
    await (await database.open()).close()
    expect(await journal(database)).toHaveLength(ownMigrations(dialect).length)
    // Left behind, a row of ours newer than theirs would make drizzle-kit skip their migration, and say nothing.
    await programBesides(database, when)()
    expect(await database.query('select * from their_notes')).toEqual([])
    await (await database.open({ migrate: false })).close()
  })
})

test('two agents keep tables of their own in one PostgreSQL database, by the search_path of their roles', async () => {
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

test('openStorage() refuses a PostgreSQL database whose tables are not where the search path leads', async () => {
  const database = await freshDatabase('postgres')
  await (await database.open()).close()
  await database.query('create schema elsewhere')
  await database.query('alter table sessions set schema elsewhere')
  await expect(database.open()).rejects.toMatchObject({
    code: 'SCHEMA_DIVERGED',
    message: expect.stringContaining('search_path'),
  })
})
