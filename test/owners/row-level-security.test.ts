import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import fc from 'fast-check'
import {
  checkRowLevelSecurity,
  copyStorage,
  disableRowLevelSecurity,
  enableRowLevelSecurity,
  openStorage,
  type StorageConfig,
  type StorageOptions,
} from 'holdfast'
import { wordEmbedding } from 'holdfast/testing'
import type postgres from 'postgres'
import { describe, expect, onTestFinished, test } from 'vitest'
import { migrate } from '../../src/database/migrate.ts'
import { MIGRATIONS } from '../../src/database/migrations.generated.ts'
import { postgresDriver } from '../database/drivers.ts'
import { startPgBouncer } from '../setup/pgbouncer.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'
import { calls } from './isolation-calls.ts'
import { firstDifference, options, step } from './isolation-model.ts'
import { fill } from './rows-of-every-table.ts'
import { admin, freshDatabase, securedDatabase } from './secured-database.ts'

/** The one table that is not ours alone: drizzle-kit reads it, and it has hashes of migrations. */
const JOURNAL = 'holdfast_migrations'

const open = (config: StorageConfig, more: StorageOptions = {}) =>
  openStorage(config, { ...quiet, embedding: wordEmbedding(), ...more })

const isRefused = { code: 'INVALID_STATE', message: expect.stringContaining('storage.scope({ ownerId })') }

/** Fills every table, with rows of two owners and of nobody. */
async function filled(configOf: (user: string) => StorageConfig) {
  const config = configOf('app')
  await using operator = await open(config, { operator: true })
  await fill(operator.scope({ ownerId: 'ada' }), 'ada')
  await fill(operator.scope({ ownerId: 'bob' }), 'bob')
  await fill(operator, 'nobody')
  await operator.embedPending()
}

/** Counts the rows of every table that is there, as a connection sees them. */
async function countAll(sql: postgres.Sql, setting = '', where = ''): Promise<Record<string, number>> {
  const tables = await sql<{ name: string; owned: boolean }[]>`
    select c.relname as name, exists (select 1 from pg_attribute where attrelid = c.oid and attname = 'owner_id') as owned
    from pg_class c where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'm', 'v') and relname <> ${JOURNAL}`
  expect(tables.length).toBeGreaterThan(30)
  const counts: Record<string, number> = {}
  for (const { name, owned } of tables) {
    const condition = owned ? where : ''
    const results = await sql.unsafe(
      `begin; ${setting}; select count(*)::int as rows from ${name} ${condition}; commit`,
    )
    counts[name] =
      (results as unknown as { rows: number }[][]).flat().find((row) => row?.rows !== undefined)?.rows ?? -1 // one of several statements
  }
  return counts
}

const namesWith = (counts: Record<string, number>, has: (rows: number) => boolean) =>
  Object.keys(counts).filter((name) => has(counts[name] ?? -1))

describe('a plain connection of the program', () => {
  test('reads zero rows of every table without a setting, and those of one owner with it', async () => {
    const { configOf, asOwner, connectAs } = await securedDatabase()
    await filled(configOf)
    // Rows that are there only for a moment.
    await asOwner.unsafe(`begin; set local holdfast.everybody = on;
      insert into blob_removals values ('hash', 'generation', 0);
      insert into blob_leases values ('id', 'hash', now());
      insert into maintenance_leases values ('step', 'holder', now()); commit`)
    const app = connectAs('app')
    const everything = await countAll(app, 'set local holdfast.everybody = on')
    expect(namesWith(everything, (rows) => rows < 1)).toEqual([]) // every table has rows

    for (const sql of [app, asOwner]) expect(namesWith(await countAll(sql), (rows) => rows !== 0)).toEqual([])

    const ada = await countAll(app, "set local holdfast.owner = 'ada'")
    const ofAda = await countAll(app, 'set local holdfast.everybody = on', "where owner_id = 'ada'")
    const ofOthers = await countAll(app, "set local holdfast.owner = 'ada'", "where owner_id <> 'ada'")
    const shared = ['blob_chunks', 'blob_leases', 'blob_removals', 'blob_usage', 'maintenance_leases']
    for (const name of Object.keys(ada)) {
      if (shared.includes(name)) expect([name, ada[name]]).toEqual([name, 0])
      else if (name === 'blob_content')
        expect(ada[name]).toBe(2) // of four
      else if (name === 'properties')
        expect(ada[name]).toBe(everything[name]) // facts about the database
      else {
        expect([name, ada[name]]).toEqual([name, ofAda[name]])
        expect([name, ofOthers[name]]).toEqual([name, 0])
        expect([name, ada[name]]).not.toEqual([name, 0])
      }
    }
    // A setting that was reset is an empty text, not null. Nobody's rows are marked with one.
    await app.unsafe("begin; set local holdfast.owner = 'ada'; commit")
    expect(namesWith(await countAll(app), (rows) => rows !== 0)).toEqual([])
    const naive = "alter policy holdfast_owner_1 on kv using (owner_id = current_setting('holdfast.owner', true))"
    await asOwner.unsafe(naive)
    expect(namesWith(await countAll(app), (rows) => rows !== 0)).toEqual(['kv'])
  })

  test('changes nothing of others, whatever its statement forgets', async () => {
    const { configOf, connectAs } = await securedDatabase()
    await using operator = await open(configOf('app'), { operator: true })
    for (const ownerId of ['ada', 'bob']) await operator.scope({ ownerId }).kv.set('k', ownerId)
    const app = connectAs('app')
    await app.unsafe(
      "begin; set local holdfast.owner = 'ada'; update kv set version = 9; delete from kv where owner_id = 'bob'; commit",
    )
    const insert =
      "insert into kv (owner_id, key, value, version, created_at, updated_at) values ('bob', 'new', '1', 1, now(), now())"
    await expect(app.unsafe(`begin; set local holdfast.owner = 'ada'; ${insert}`)).rejects.toThrow('row-level security')
    await app.unsafe('rollback')
    expect(await operator.scope({ ownerId: 'bob' }).kv.getEntry('k')).toMatchObject({ value: 'bob', version: 1 })
    expect(await operator.scope({ ownerId: 'ada' }).kv.getEntry('k')).toMatchObject({ version: 9 })
  })
})

describe('a storage', () => {
  test('shows an owner what a storage of their own would, and refuses every call without a scope', async () => {
    const { configOf, urlOf } = await securedDatabase()
    const pooler = await startPgBouncer(urlOf('app'))
    onTestFinished(() => pooler.stop())
    const database = {
      type: 'postgres',
      url: pooler.url,
      options: { rowLevelSecurity: true, prepare: false, search: true },
    } as const
    let run = 0
    for (const config of [configOf('app'), { database, blobStore: { type: 'database' } as const }]) {
      await using shared = await openStorage(config, options)
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 120, size: 'max' }), async (steps) => {
          const scoped = steps.filter(({ actor }) => actor !== 'nobody')
          const difference = await firstDifference(shared, scoped, `${++run}`)
          if (difference) throw new Error(JSON.stringify(difference, null, 1))
        }),
        { numRuns: rounds(2, 50), endOnFailure: true },
      )
      const args = { session: 's', key: 'k', n: 1, made: { memories: ['x'], blobs: ['x'] } }
      for (const [name, call] of Object.entries(calls)) {
        if (name.startsWith('cache.')) continue // values of the program's own, in the cache
        await expect((async () => call(shared, args))(), name).rejects.toMatchObject(isRefused)
      }
      await expect(shared.blobs.cleanup()).rejects.toMatchObject(isRefused)
    }
  })

  test('takes an owner for text, whatever it contains', async () => {
    const { configOf } = await securedDatabase()
    await using storage = await open(configOf('app'))
    await storage.scope({ ownerId: 'ada' }).kv.set('k', 'a secret')
    for (const ownerId of ["x'; set local holdfast.everybody = 'on'; --", "\\'", '\\x61', 'Zoë 🚂', '\\']) {
      const scope = storage.scope({ ownerId })
      expect(await scope.kv.keys()).toEqual({ items: [] })
      await scope.kv.set('own', 1)
      expect(await scope.kv.get('own')).toBe(1)
      expect((await scope.kv.keys()).items).toEqual(['own'])
    }
  })

  test('works on in a transaction after a savepoint was rolled back, and beside what concerns everybody', async () => {
    const { configOf } = await securedDatabase()
    await using storage = await open(configOf('app'))
    const ada = storage.scope({ ownerId: 'ada' })
    await ada.transaction(async (tx) => {
      const inner = tx.transaction(async (savepoint) => {
        await savepoint.kv.set('lost', 1)
        throw new Error('undone')
      })
      await expect(inner).rejects.toThrow('undone')
      const { uri } = await tx.blobs.put(Buffer.from('bytes')) // its content is everybody's
      await tx.messages.append('s', { role: 'user', content: uri })
      await tx.kv.set('k', uri)
    })
    expect((await ada.kv.keys()).items).toEqual(['k'])
    expect(await ada.blobs.text(String(await ada.kv.get('k')))).toBe('bytes')
    await expect(ada.blobs.delete(String(await ada.kv.get('k')))).rejects.toMatchObject({ code: 'BLOB_IN_USE' })
  })

  test('names what is wrong with a replaced range if there is no session, or an expired one', async () => {
    const { configOf } = await securedDatabase()
    let day = 1
    await using storage = await open(configOf('app'), { now: () => new Date(Date.UTC(2100, 0, day)) })
    const { messages, sessions } = storage.scope({ ownerId: 'ada' })
    await sessions.create({ id: 'expired', expiresAt: new Date(Date.UTC(2100, 0, 2)) })
    await messages.append('expired', { role: 'user', content: 'x' })
    day = 3
    const names = { code: 'INVALID_INPUT', message: expect.stringContaining('options.throughSeq') }
    for (const sessionId of ['missing', 'expired'])
      for (const operation of [{}, { operationId: 'o' }]) {
        const range = { afterSeq: 0, throughSeq: 1, ...operation }
        await expect(messages.replace(sessionId, range, [{ role: 'user', content: 'y' }])).rejects.toMatchObject(names)
      }
  })

  test('lets the work of operators go on', async () => {
    const { configOf } = await securedDatabase()
    await filled(configOf)
    const retention = { events: '1d', messages: '1d', sessions: { idle: '1d' } }
    const later = () => new Date(Date.now() + 100 * 86_400_000)
    await using storage = await open({ ...configOf('app'), retention }) // no operator's
    const ada = storage.scope({ ownerId: 'ada' })
    expect((await ada.messages.search('ada')).items).toHaveLength(1)
    expect((await ada.memories.recall('ada')).items.length).toBeGreaterThan(0)
    expect(await storage.rebuildSearch()).toBeGreaterThan(3)
    expect((await ada.messages.search('ada')).items).toHaveLength(1)
    expect((await storage.stats()).database.rows).toMatchObject({ sessions: 3, kv: 6 })
    expect((await storage.diagnose()).filter(({ result }) => result === 'fail')).toEqual([])
    await using copied = await openStorage({}, quiet)
    await copyStorage(storage, copied)
    expect((await copied.stats()).database.rows).toMatchObject({ sessions: 3, kv: 6, blobs: 6 })
    expect((await storage.erase({ ownerId: 'bob' })).rows).toMatchObject({ sessions: 1, kv: 2, blobs: 2 })
    expect((await storage.maintain()).filter(({ error }) => error !== undefined)).toEqual([])
    await using old = await open({ ...configOf('app'), retention }, { now: later, operator: true })
    expect((await old.prune()).rows).toMatchObject({ events: expect.any(Number) })
    expect((await old.blobs.list()).items).toHaveLength(4)
    expect(await old.blobs.verify()).toMatchObject({ ok: true })
    expect((await old.kv.keys()).items).toEqual(['k'])
  })
})

describe('what bypasses the policies is found', () => {
  const faultOf = async (config: StorageConfig) => {
    const finding = await checkRowLevelSecurity(config)
    const opened = openStorage(config, quiet).then(async (storage) => storage.close())
    if (finding.result === 'ok') await opened
    else
      await expect(opened).rejects.toMatchObject({
        code: 'INVALID_STATE',
        message: expect.stringContaining(finding.message),
      })
    return finding.message
  }

  test('by openStorage(), the check and the doctor', async () => {
    const { configOf, asOwner } = await freshDatabase()
    expect(await faultOf(configOf('app'))).toMatch(/not enabled and forced on .* more: run holdfast security enable/)
    await enableRowLevelSecurity(configOf('owner'))
    for (const user of ['app', 'owner']) expect(await faultOf(configOf(user))).toContain('they hold for this user')
    expect(await faultOf(configOf('postgres'))).toContain('is a superuser')
    await using operator = await openStorage(configOf('postgres'), { ...quiet, operator: true })
    expect(await operator.diagnose()).toContainEqual(await checkRowLevelSecurity(configOf('postgres')))

    const spoilt: [how: string, user: string, message: RegExp][] = [
      ['alter table kv no force row level security', 'owner', /forced on kv:/],
      ['alter table events disable row level security', 'app', /forced on events:/],
      ['drop policy holdfast_owner_1 on memories', 'app', /policies of memories are not/],
      ['create policy everything on lists using (true)', 'app', /policies of lists are not/],
      [
        'alter policy holdfast_everybody_1 on blob_usage rename to holdfast_everybody_0',
        'app',
        /policies of blob_usage/,
      ],
    ]
    for (const [how, user, message] of spoilt) {
      await asOwner.unsafe(how)
      expect(await faultOf(configOf(user))).toMatch(message)
      await asOwner.unsafe('drop policy if exists everything on lists')
      await enableRowLevelSecurity(configOf('owner')) // a repeat mends it
    }
    expect(await faultOf(configOf('owner'))).toContain('they hold for this user')
    await admin.unsafe('alter role app bypassrls')
    expect(await faultOf(configOf('app'))).toContain('BYPASSRLS')
    await admin.unsafe('alter role app nobypassrls; alter role app set holdfast.everybody = on')
    expect(await faultOf(configOf('app'))).toContain('ALTER ROLE')
    await admin.unsafe('alter role app reset holdfast.everybody')
    expect(await faultOf(configOf('app'))).toContain('they hold for this user')
  })

  test('and a program without the option opens only if there are no policies', async () => {
    const { configOf, asOwner } = await securedDatabase()
    const without = configOf('app', { rowLevelSecurity: false })
    await expect(openStorage(without, quiet)).rejects.toMatchObject({
      code: 'INVALID_STATE',
      message: expect.stringContaining('set options.rowLevelSecurity of the database to true'),
    })
    // A program that only reads would find nothing, and no statement would fail.
    await admin.unsafe("create role reader login password 'reader'")
    await asOwner.unsafe('grant select on all tables in schema public to reader')
    const reading = configOf('reader', { rowLevelSecurity: false, search: false })
    await expect(openStorage(reading, { ...quiet, migrate: false })).rejects.toMatchObject({
      code: 'INVALID_STATE',
      message: expect.stringContaining('hide every row from this user: set options.rowLevelSecurity'),
    })
    await expect(disableRowLevelSecurity(configOf('app'))).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' })
    await disableRowLevelSecurity(configOf('owner', { rowLevelSecurity: false })) // needs no option itself
    await (await openStorage(without, quiet)).close()
    await (await openStorage(reading, { ...quiet, migrate: false })).close()
  })
})

test('a migration changes rows under the policies, and gives new tables theirs', async () => {
  const { configOf, urlOf, asOwner } = await securedDatabase()
  await using storage = await open(configOf('app'))
  await storage.scope({ ownerId: 'ada' }).kv.set('k', 1)
  await asOwner.unsafe('alter table prompts no force row level security')
  const driver = await postgresDriver({ url: urlOf('owner') }) // without the option
  onTestFinished(() => driver.close())
  const newest = MIGRATIONS.postgres.at(-1)
  const next = {
    sql: ['update kv set version = 7'],
    hash: 'next',
    folderMillis: Number(newest?.folderMillis) + 1,
    bps: true,
  }
  await migrate(driver, { apply: true, known: [...MIGRATIONS.postgres, next] })
  expect(await storage.scope({ ownerId: 'ada' }).kv.getEntry('k')).toMatchObject({ version: 7 })
  const forced = await asOwner`select relforcerowsecurity as forced from pg_class where relname = 'prompts'`
  expect(forced).toMatchObject([{ forced: true }])
})

test('pg_dump sees the rows with the setting, and fails without', async () => {
  const { configOf, urlOf } = await securedDatabase()
  await using storage = await open(configOf('app'))
  await storage.scope({ ownerId: 'ada' }).kv.set('the key of ada', 1)
  const dump = (words: string[], env = {}) =>
    promisify(execFile)('pg_dump', ['--table=kv', ...words, urlOf('owner')], {
      env: { ...process.env, ...env },
    })
  const { stdout } = await dump(['--enable-row-security'], { PGOPTIONS: '-c holdfast.everybody=on' })
  expect(stdout).toContain('the key of ada')
  await expect(dump([])).rejects.toThrow('row-level security')
})

test('SQLite and a database in memory refuse the option by its name', async () => {
  for (const type of ['sqlite', 'in-memory']) {
    const config = { database: { type, options: { rowLevelSecurity: true } } } as unknown as StorageConfig // which is not valid
    await expect(openStorage(config)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('database.options.rowLevelSecurity'),
    })
  }
  for (const call of [enableRowLevelSecurity, disableRowLevelSecurity, checkRowLevelSecurity]) {
    await expect(call({})).rejects.toMatchObject({ code: 'INVALID_STATE' })
  }
})
