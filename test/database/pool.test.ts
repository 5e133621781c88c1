import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { expect, onTestFinished, test } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { signal, times } from '../../src/testing/contract.ts'
import { freshPostgres } from '../setup/databases.ts'
import { outcomes, postgresDriver, read, write } from './drivers.ts'
import { startLink } from './link.ts'

/** Opens a client beside the pool. `backends` returns the number of connections with an application name. */
function administrator(url: string) {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  onTestFinished(() => sql.end())
  return {
    sql,
    async backends(applicationName: string): Promise<number> {
      const [row] = await sql`select count(*)::int from pg_stat_activity where application_name = ${applicationName}`
      return row?.count
    },
  }
}

async function openPool(fields: Record<string, unknown> = {}, options: Record<string, unknown> = {}) {
  const url = await freshPostgres()
  const applicationName = `pool ${randomUUID()}`
  const driver = await postgresDriver({ url, ...fields, options: { applicationName, ...options } })
  const { sql, backends } = administrator(url)
  return { url, driver, sql, backends: () => backends(applicationName) }
}

test('run() and transaction() finish 264 concurrent calls on two connections, and open no more', async () => {
  const { driver, sql, backends } = await openPool({ maxConnections: 2 })
  await driver.run(write('create table t (id int)'))
  let done = false
  const most = (async () => {
    let most = 0
    for (; !done; await sleep(2)) most = Math.max(most, await backends())
    return most
  })()
  const database = new Database(driver)
  const transactions = times(64, (i) =>
    database.transaction(async (tx) => {
      await tx.run(write('insert into t values ($1)', i))
      await tx.run(read('select pg_sleep(0.002)'))
    }),
  )
  const statements = times(200, (i) => driver.run(write('insert into t values ($1)', 1000 + i)))
  const ended = outcomes([...transactions, ...statements])
  // The bound holds as well while connections are lost and replaced.
  for (let i = 0; i < 3; i++) {
    await sleep(20)
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database() limit 1`
  }
  const lost = (await ended).filter((outcome) => outcome !== 'ok')
  done = true
  expect(await most).toBe(2)
  expect([...new Set(lost)]).toEqual(['CONNECTION_LOST'])
  expect(lost.length).toBeLessThan(100)
  expect(await driver.run(read('select count(*)::int >= $1 from t', 264 - lost.length))).toEqual([[true]])
})

test('run() rejects with TIMEOUT and a remedy when no connection is free for connectionTimeoutMillis', async () => {
  const { driver } = await openPool({ maxConnections: 2, connectionTimeoutMillis: 1000 })
  const transactions = await Promise.all([driver.begin(), driver.begin()])
  const started = performance.now()
  await expect(driver.run(read('select 1'))).rejects.toMatchObject({
    code: 'TIMEOUT',
    retryable: true,
    message: expect.stringMatching(/2 connections.*1000 ms.*raise maxConnections, or shorten transactions/),
  })
  expect(performance.now() - started).toBeGreaterThan(950)
  const waiting = driver.run(read('select 1'))
  await transactions[0]?.commit()
  expect(await waiting).toEqual([[1]])
  await transactions[1]?.rollback()
})

test('the pool opens connections on demand and closes them after idleTimeoutMillis, unless that is 0', async () => {
  const closing = await openPool({ maxConnections: 5, idleTimeoutMillis: 1000 })
  const keeping = await openPool({ maxConnections: 5, idleTimeoutMillis: 0 })
  expect(await keeping.backends()).toBe(1)
  for (const { driver, backends } of [closing, keeping]) {
    await Promise.all(times(20, () => driver.run(read('select pg_sleep(0.01)'))))
    await expect.poll(backends).toBe(5) // the calls may be done before the last connection is open
  }
  await expect.poll(closing.backends, { timeout: 5000 }).toBe(0)
  expect(await closing.driver.run(read('select 1'))).toEqual([[1]])
  expect(await keeping.backends()).toBe(5)
})

test('run() does not wait for a slow statement if another connection may be opened', async () => {
  const { driver } = await openPool({ maxConnections: 2 })
  const slow = driver.run(read('select pg_sleep(3)'))
  const started = performance.now()
  for (let i = 0; i < 20; i++) await driver.run(read('select 1'))
  expect(performance.now() - started).toBeLessThan(2500)
  await slow
})

test('run() spreads waiting calls over the connections', async () => {
  const { driver } = await openPool({ maxConnections: 4 })
  const rows = await Promise.all(times(64, () => driver.run(read('select pg_backend_pid(), pg_sleep(0.04)'))))
  const perBackend = new Map<unknown, number>()
  for (const [pid] of rows.flat()) perBackend.set(pid, (perBackend.get(pid) ?? 0) + 1)
  expect(perBackend.size).toBe(4)
  expect(Math.max(...perBackend.values())).toBeLessThan(32)
})

test('the pool causes no process warning when it opens 25 connections at once', async () => {
  const warnings: Error[] = []
  const note = (warning: Error) => void warnings.push(warning)
  process.on('warning', note)
  onTestFinished(() => void process.off('warning', note))
  const { driver, backends } = await openPool({ maxConnections: 25 })
  await Promise.all(times(200, () => driver.run(read('select pg_sleep(0.05)'))))
  expect(await backends()).toBe(25)
  expect(warnings).toEqual([])
})

test('batch() runs in a transaction of its own, even on one connection', async () => {
  const { driver } = await openPool({ maxConnections: 1 })
  const id = read('select pg_current_xact_id()::text, $1::int', 1)
  const [batches, singles] = await Promise.all([
    Promise.all(times(50, () => driver.batch([id, id, id]))),
    Promise.all(times(50, () => driver.run(id))),
  ])
  const ids = batches.map((batch) => new Set(batch.map(([row]) => row?.[0])))
  expect(ids.every(({ size }) => size === 1)).toBe(true)
  expect(new Set([...ids.flatMap((set) => [...set]), ...singles.map(([row]) => row?.[0])]).size).toBe(100)
})

test('batch() that fails leaves nothing, and batches beside it on the connection are committed', async () => {
  const { driver } = await openPool({ maxConnections: 1 })
  await driver.run(write('create table t (id int primary key)'))
  const insert = (id: number) => write('insert into t values ($1)', id)
  await driver.run(insert(0))
  const ended = await outcomes(times(40, (i) => driver.batch([insert(2 * i + 1), insert(i % 2 === 0 ? 2 * i + 2 : 0)])))
  expect(ended).toEqual(times(40, (i) => (i % 2 === 0 ? 'ok' : 'ALREADY_EXISTS')))
  expect(await driver.run(read('select count(*)::int from t'))).toEqual([[41]])
})

test('run() goes on with the open connections after the password has changed', async () => {
  const { url, sql } = await openPool()
  const role = `agent_${randomUUID().slice(0, 8)}`
  await sql.unsafe(`create role ${role} login password 'one'`)
  const urlOfRole = Object.assign(new URL(url), { username: role, password: 'one' }).href
  const driver = await postgresDriver({ url: urlOfRole, maxConnections: 4, connectionTimeoutMillis: 2000 })
  await sql.unsafe(`alter role ${role} password 'two'`)
  expect(await outcomes(times(40, () => driver.run(read('select pg_sleep(0.005)'))))).toEqual(times(40, () => 'ok'))
  await sql.unsafe('select pg_terminate_backend(pid) from pg_stat_activity where usename = $1', [role])
  await sleep(50)
  expect(await outcomes([driver.run(read('select 1')), driver.begin()])).toEqual(times(2, () => 'CONNECTION_FAILED'))
  await driver.close()
  await sql.unsafe(`drop role ${role}`)
})

test('close() closes all connections, including one that is being opened', async () => {
  const { driver, backends } = await openPool({ maxConnections: 8 })
  // The second call has a connection opened, but gets the first connection, which is free earlier.
  await Promise.all(times(2, () => driver.run(read('select 1'))))
  await driver.close()
  await expect.poll(backends).toBe(0)
  await sleep(100)
  expect(await backends()).toBe(0)
})

test('snapshot() has a connection beside those of the pool, which ends with it or with the pool', async () => {
  const { driver, backends } = await openPool({ maxConnections: 1 })
  const [first] = [await driver.snapshot(), await driver.snapshot()]
  expect(await driver.run(read('select 1'))).toEqual([[1]])
  expect(await backends()).toBe(3)
  await first.close()
  await expect.poll(backends, { timeout: 5000 }).toBe(2)
  await driver.close()
  await expect.poll(backends, { timeout: 5000 }).toBe(0)
  expect(await outcomes([driver.snapshot()])).toEqual(['CLOSED'])
})

test('snapshot() that is opened while the pool is closed is refused, and leaves no connection', async () => {
  const { driver, backends } = await openPool()
  const opening = outcomes([driver.snapshot()])
  await driver.close()
  expect(await opening).toEqual(['CLOSED'])
  await expect.poll(backends, { timeout: 5000 }).toBe(0)
})

test('snapshot() waits for a server that has no connection left', async () => {
  const url = new URL(await freshPostgres())
  const admin = postgres(url.href, { max: 1 })
  const role = `limited_${url.pathname.slice(1)}`
  await admin.unsafe(`create role ${role} login password 'secret' connection limit 1`)
  onTestFinished(async () => {
    await admin.unsafe(`drop role ${role}`)
    await admin.end()
  })
  Object.assign(url, { username: role, password: 'secret' })
  // The pool has the one connection until it is idle for long enough.
  const driver = await postgresDriver({ url: url.href, idleTimeoutMillis: 300, connectionTimeoutMillis: 8000 })
  const snapshot = await driver.snapshot()
  expect(await snapshot.run(read('select 1'))).toEqual([[1]])
  await snapshot.close()
  await driver.close()
})

test('close() rejects a call that waits for a connection, and opens none for it', async () => {
  const { driver, backends } = await openPool({ maxConnections: 1 })
  const transaction = await driver.begin()
  const inFlight = transaction.run(read('select pg_sleep(0.3)'))
  const waiting = outcomes([driver.run(write('select 1')), driver.begin()])
  await Promise.all([driver.close(), outcomes([inFlight])])
  expect(await waiting).toEqual(times(2, () => 'CLOSED'))
  expect(await outcomes([driver.run(read('select 1'))])).toEqual(['CLOSED'])
  await expect.poll(backends, { timeout: 5000 }).toBe(0)
})

test('begin() whose caller waits no longer leaves the connection to the next call', async () => {
  const { driver } = await openPool({ maxConnections: 1 })
  const holder = await driver.begin()
  const check = () => {
    throw new Error('too late')
  }
  const late = expect(driver.begin({ check })).rejects.toThrow('too late')
  const next = driver.run(read('select 1'))
  await holder.commit()
  expect(await next).toEqual([[1]])
  await late
})

test('the end of a transaction that takes too long costs no other connection', async () => {
  const { driver } = await openPool({ maxConnections: 2 })
  const backend = read('select pg_backend_pid()')
  const [kept, abandoned] = await Promise.all([driver.begin(), driver.begin()])
  const before = await kept.run(backend)
  await kept.commit()
  await abandoned.abandon()
  expect(await driver.run(backend)).toEqual(before)
})

test('close() waits for a transaction that runs again because PostgreSQL has rolled it back', async () => {
  const { driver } = await openPool()
  const database = new Database(driver)
  const { reached, reach } = signal()
  let runs = 0
  const repeated = database.transaction(async (tx) => {
    await tx.run(read('select 1'))
    reach()
    if (++runs === 1) await tx.run(write("do $$ begin raise exception using errcode = '40P01'; end $$"))
  })
  await reached
  await Promise.all([database.close(), repeated])
  expect(runs).toBe(2)
})

/** Opens a pool whose server can be cut off. */
async function openDistantPool(fields: Record<string, unknown>) {
  const url = new URL(await freshPostgres())
  const link = await startLink(Number(url.port || 5432))
  url.port = String(link.port)
  return { link, driver: await postgresDriver({ url: url.href, ...fields }) }
}

test('run() rejects after statementTimeoutMillis and connectionTimeoutMillis when the server is out of reach', async () => {
  const fields = { maxConnections: 1, connectionTimeoutMillis: 1000, options: { statementTimeoutMillis: 600 } }
  const { link, driver } = await openDistantPool(fields)
  // Each call has the whole timeout, however many calls are before it.
  const slow = times(5, () => driver.run(read('select pg_sleep(0.4)')))
  expect(await outcomes(slow)).toEqual(times(5, () => 'ok'))
  link.freeze()
  const started = performance.now()
  expect(await outcomes([driver.run(write('select 1')), driver.run(read('select 1'))])).toEqual([
    'CONNECTION_LOST',
    'CONNECTION_FAILED',
  ])
  expect(performance.now() - started).toBeLessThan(6000)
})

test('run() says that PostgreSQL does not answer when no connection becomes free for that reason', async () => {
  const { link, driver } = await openDistantPool({ maxConnections: 2, connectionTimeoutMillis: 1000 })
  const [first, second] = await Promise.all([driver.begin(), driver.begin()])
  await second.run(read('select 1'))
  link.freeze()
  const lost = outcomes([first.run(read('select 1'))])
  // The other connection is held by its transaction alone.
  await expect(driver.run(read('select 1'))).rejects.toMatchObject({
    code: 'TIMEOUT',
    retryable: true,
    message: expect.stringMatching(/^None of the 2 connections .* 1 of them had no answer from PostgreSQL/),
  })
  expect(await lost).toEqual(['CONNECTION_LOST'])
  await outcomes([second.rollback()])
})

test('run() names the server that does not answer, also while lost and idle connections are being closed', async () => {
  const { link, driver } = await openDistantPool({ maxConnections: 6, connectionTimeoutMillis: 2000 })
  await outcomes(times(6, () => driver.run(read('select pg_sleep(0.1)')))) // six connections, all idle again
  const busy = times(2, () => driver.run(read('select pg_sleep(0.2)')))
  link.freeze()
  for (const end of await Promise.allSettled(busy)) {
    expect(end).toMatchObject({
      reason: {
        code: 'CONNECTION_FAILED',
        message: expect.stringMatching(/^PostgreSQL did not answer within .*\(host 127\.0\.0\.1, port \d+/),
      },
    })
  }
})

test('close() waits for at most connectionTimeoutMillis when the server has stopped answering', async () => {
  const { link, driver } = await openDistantPool({ connectionTimeoutMillis: 1000 })
  expect(await driver.run(read('select 1'))).toEqual([[1]])
  link.freeze()
  const started = performance.now()
  await driver.close()
  expect(performance.now() - started).toBeLessThan(3000)
})

test('run() rejects with TIMEOUT if transaction_timeout of the server has ended it, and the connection is used no more', async () => {
  const { driver } = await openPool({ maxConnections: 1 })
  const backend = () => driver.run(read('select pg_backend_pid()'))
  const before = await backend()
  // PostgreSQL has the setting from version 17 on.
  const raise = write("do $$ begin raise exception using errcode = '25P04'; end $$")
  await expect(driver.run(raise)).rejects.toMatchObject({
    code: 'TIMEOUT',
    message: expect.stringContaining('transaction_timeout'),
    retryable: true,
  })
  expect(await backend()).not.toEqual(before)
})
