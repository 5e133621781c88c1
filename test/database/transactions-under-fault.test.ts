import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { times } from '../../src/testing/contract.ts'
import { freshPostgres } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { startPostgres } from '../setup/servers.ts'
import { outcomes, postgresDriver, read, write } from './drivers.ts'
import { Load } from './load.ts'

/** Opens a client that sees and ends the other connections to a database. */
function administrator(url: string) {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  onTestFinished(() => sql.end())
  const others = sql`from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`
  return {
    endAll: () => sql`select pg_terminate_backend(pid) ${others}`,
    /** Waits until another connection runs pg_sleep. */
    async asleep() {
      while ((await sql`select ${others} and wait_event = 'PgSleep'`).length === 0) await sleep(5)
    },
  }
}

test('the pool loses and repeats no write when all its connections end again and again under load', async () => {
  const url = await freshPostgres()
  const driver = await postgresDriver({ url, maxConnections: 5 })
  const { endAll } = administrator(url)
  const load = await Load.start(driver)
  for (let round = 0; round < rounds(8, 100); round++) {
    await load.progress(20 + Math.random() * 60)
    await endAll()
  }
  await load.stop()
  expect(load.failures.read).toBeUndefined()
  expect(new Set(Object.values(load.failures).flat())).toEqual(new Set(['CONNECTION_LOST']))
  expect(await load.violations()).toEqual([])
  expect(await outcomes(times(20, () => driver.run(write('insert into writes values (gen_random_uuid())'))))).toEqual(
    times(20, () => 'ok'),
  )
}, 60_000)

describe('when a connection ends while statements wait in its queue', () => {
  const setUp = async () => {
    const url = await freshPostgres()
    const { endAll, asleep } = administrator(url)
    const driver = await postgresDriver({ url, maxConnections: 1 })
    await driver.run(write('create table t (name text)'))
    const names = async () => (await driver.run(read('select name from t'))).flat()
    return { url, endAll, asleep, driver, names }
  }
  const insert = 'insert into t values ($1)'
  const other = "insert into t select 'third' returning 1"

  test('batch() rejects and leaves none of its statements', async () => {
    const { driver, endAll, asleep, names } = await setUp()
    const busy = driver.run(write('select pg_sleep(30)'))
    const batch = driver.batch([write(insert, 'first'), write(insert, 'second'), write(other)])
    const ended = outcomes([busy, batch])
    await asleep()
    await endAll()
    expect(await ended).toEqual(['CONNECTION_LOST', 'CONNECTION_LOST'])
    expect(await names()).toEqual([])
  })

  // The naive variant: postgres.js connects again and sends the waiting statements. The earlier ones are lost, with BEGIN.
  // On a connection of its reserve(), the waiting statements are written to a socket that is null, which ends the process.
  test('postgres.js alone commits the rest of the transaction without its beginning', async () => {
    const { url, driver, endAll, asleep } = await setUp()
    await driver.close()
    const sql = postgres(url, { max: 1, onnotice: () => {} })
    onTestFinished(() => sql.end())
    await sql`select 1`
    const statements = [
      sql.unsafe('select pg_sleep(30)'),
      sql.unsafe('begin'),
      sql.unsafe(insert, ['first'], { prepare: true }),
      sql.unsafe(insert, ['second'], { prepare: true }),
      sql.unsafe(other),
      sql.unsafe('commit'),
    ]
    const ended = outcomes(statements.map(async (statement) => statement))
    await asleep()
    await endAll()
    const [, begin, first, , third, commit] = await ended
    expect([begin, first, third, commit]).toEqual(['CONNECTION_CLOSED', 'CONNECTION_CLOSED', 'ok', 'ok'])
    expect((await sql`select name from t`).map(({ name }) => name)).toContain('third')
  })

  test('transaction() rejects all further calls, and a new transaction succeeds', async () => {
    const { driver, endAll, names } = await setUp()
    const database = new Database(driver)
    const inside: string[] = []
    const lost = database.transaction(async (tx) => {
      await tx.run(write(insert, 'first'))
      await endAll()
      await sleep(100)
      inside.push(...(await outcomes([tx.run(write(insert, 'second')), tx.run(write(other))])))
    })
    await expect(lost).rejects.toMatchObject({ code: 'CONNECTION_LOST', retryable: true })
    expect(inside).toEqual(['CONNECTION_LOST', 'CONNECTION_LOST'])
    await database.transaction(async (tx) => tx.run(write(insert, 'later')))
    expect(await names()).toEqual(['later'])
  })
})

describe('when a table changes after statements were prepared', () => {
  const setUp = async () => {
    const url = await freshPostgres()
    const sql = postgres(url, { max: 1, onnotice: () => {} })
    onTestFinished(() => sql.end())
    await sql`create table t (name varchar(20))`
    const change = () => sql`alter table t alter column name type text`
    const names = async () => (await sql`select name from t order by name`).map(({ name }) => name)
    return { url, change, names }
  }
  const plain = 'insert into t values ($1)'
  const returning = 'insert into t values ($1) returning *'

  test('batch() rejects as retryable and leaves nothing, and its repeat succeeds', async () => {
    const { url, change, names } = await setUp()
    const driver = await postgresDriver({ url, maxConnections: 1 })
    const batch = (name: string) => driver.batch([write(plain, name), write(returning, name)])
    await batch('before')
    await change()
    await expect(batch('refused')).rejects.toMatchObject({ code: 'DATABASE_FAILED', retryable: true })
    await batch('after')
    expect(await names()).toEqual(['after', 'after', 'before', 'before'])
  })

  // The naive variant: postgres.js repeats the statement whose plan is outdated, and by then COMMIT has been sent.
  test('postgres.js alone commits half of the batch without an error', async () => {
    const { url, change, names } = await setUp()
    const sql = postgres(url, { max: 1, onnotice: () => {} })
    onTestFinished(() => sql.end())
    const batch = (name: string) =>
      Promise.all([
        sql.unsafe('begin'),
        sql.unsafe(plain, [name], { prepare: true }),
        sql.unsafe(returning, [name], { prepare: true }),
        sql.unsafe('commit'),
      ])
    await batch('before')
    await change()
    await batch('half')
    expect(await names()).toEqual(['before', 'before', 'half'])
  })
})

describe('when the server is stopped and started under load', () => {
  test.each(['fast', 'immediate'] as const)(
    'waiting calls succeed within two seconds after the start, for the stop mode %s',
    async (mode) => {
      const server = await startPostgres()
      onTestFinished(() => server.stop('immediate'))
      const driver = await postgresDriver({ url: server.url, maxConnections: 5 })
      const load = await Load.start(driver)
      const recoveries: number[] = []
      for (let round = 0; round < rounds(2, 10); round++) {
        await load.progress(50)
        await server.stop(mode)
        await sleep(500)
        await server.start()
        const back = performance.now()
        await load.progress(1)
        recoveries.push(performance.now() - back)
      }
      await load.stop()
      // docs/operations.md promises one second plus the time to connect.
      expect(Math.max(...recoveries)).toBeLessThan(2000)
      for (const codes of Object.values(load.failures)) expect(codes).toEqual(['CONNECTION_LOST'])
      expect(load.failures.read).toBeUndefined()
      expect(await load.violations()).toEqual([])
    },
    60_000,
  )

  test('run(), batch() and begin() reject after connectionTimeoutMillis while the server is down', async () => {
    const server = await startPostgres()
    onTestFinished(() => server.stop('immediate'))
    const driver = await postgresDriver({ url: server.url, connectionTimeoutMillis: 500 })
    await server.stop()
    const select = read('select 1')
    expect(await outcomes([driver.run(select)])).toEqual(['CONNECTION_FAILED'])
    const started = performance.now()
    const calls = [driver.run(select), driver.run(write('select 1')), driver.batch([select, select]), driver.begin()]
    expect(await outcomes(calls)).toEqual(times(4, () => 'CONNECTION_FAILED'))
    expect(performance.now() - started).toBeLessThan(3000)
    await server.start()
    expect(await driver.run(read('select 1'))).toEqual([[1]])
  })
})
