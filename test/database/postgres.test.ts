import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { times } from '../../src/testing/contract.ts'
import { freshPostgres } from '../setup/databases.ts'
import { freePort } from '../setup/server-process.ts'
import { type PostgresServer, startPostgres } from '../setup/servers.ts'
import { outcomes, postgresDriver, read, write } from './drivers.ts'

/** The url of the tests' server with parts of it replaced. */
function urlWith(parts: Partial<Pick<URL, 'password' | 'pathname' | 'port' | 'host' | 'search'>>): string {
  return Object.assign(new URL(inject('postgresUrl')), parts).href
}

describe('a connection that cannot be had fails with what is wrong, at once', () => {
  const failures: [string, () => string | Promise<string>, RegExp, boolean][] = [
    ['a wrong password', () => urlWith({ password: 'wrong' }), /refused the user or the password/, false],
    ['a wrong database', () => urlWith({ pathname: '/nowhere' }), /database does not exist/, false],
    ['a port that nobody listens on', async () => urlWith({ port: String(await freePort()) }), /Nothing listens/, true],
    ['a name that nobody has', () => urlWith({ host: 'nowhere.invalid:5432' }), /cannot be resolved/, false],
    ['an unknown parameter', () => urlWith({ search: '?no_such_setting=1' }), /no_such_setting/, false],
  ]
  test.each(failures)('%s', async (_, makeUrl, message, retryable) => {
    const url = await makeUrl()
    const started = performance.now()
    const error = await postgresDriver({ url }).catch((error) => error)
    expect(error).toMatchObject({ code: 'CONNECTION_FAILED', message: expect.stringMatching(message) })
    const { hostname: host, port, pathname, username: user } = new URL(url)
    expect(error.details.address).toEqual({ host, port: Number(port), database: pathname.slice(1), user })
    expect(error.message).toContain(`(host ${host}, port ${port}, database ${pathname.slice(1)}, user ${user})`)
    // Where the name server cannot be reached, its absence may pass.
    if (!String(error.cause).includes('EAI_AGAIN')) expect(error.retryable).toBe(retryable)
    expect(performance.now() - started).toBeLessThan(5000)
    expect(JSON.stringify({ ...error, cause: String(error.cause) })).not.toContain('wrong')
  })

  test('a server that accepts and says nothing, and an address that leads nowhere', async () => {
    const silent = createServer((socket) => socket.resume())
    await once(silent.listen(0, '127.0.0.1'), 'listening')
    onTestFinished(() => void silent.close())
    const { port } = silent.address() as { port: number } // it listens on TCP
    const started = performance.now()
    for (const host of [`127.0.0.1:${port}`, '192.0.2.1:5432']) {
      const failed = postgresDriver({ url: urlWith({ host }), connectionTimeoutMillis: 300 })
      await expect(failed).rejects.toMatchObject({ code: 'CONNECTION_FAILED', retryable: true })
    }
    expect(performance.now() - started).toBeLessThan(3000)
  })

  test('of several hosts the first that answers is used; if none does, that is an error', async () => {
    const [user] = inject('postgresUrl').split('@')
    const { host, pathname } = new URL(inject('postgresUrl'))
    const nobody = `127.0.0.1:${await freePort()}`
    const driver = await postgresDriver({ url: `${user}@${nobody},${host}${pathname}` })
    expect(await driver.run(read('select 1'))).toEqual([[1]])
    await expect(postgresDriver({ url: `${user}@${nobody},${nobody}${pathname}` })).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
    })
    // A standby would be passed over in the same way.
    const wanted = { url: `${user}@${host},${host}${pathname}?target_session_attrs=standby` }
    await expect(postgresDriver(wanted)).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
  })
})

describe('a server of our own', () => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres({
      settings: { max_connections: '6', superuser_reserved_connections: '0', unix_socket_directories: '.' },
    })
    await offerTls(server)
  })
  afterAll(() => server.stop())

  test('a server without a connection left says so; those who wait get one when it has', async () => {
    const others = postgres(server.url, { max: 5, onnotice: () => {} })
    await Promise.all(times(5, () => others`select pg_sleep(0.1)`))
    const driver = await postgresDriver({ url: server.url, connectionTimeoutMillis: 400 })
    await expect(postgresDriver({ url: server.url })).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
      message: expect.stringContaining('max_connections'),
      retryable: true,
    })
    // Who can share the connection does; a transaction of its own finds none.
    const transaction = await driver.begin()
    expect(await outcomes([driver.run(read('select 1')), driver.begin()])).toEqual([
      'CONNECTION_FAILED',
      'CONNECTION_FAILED',
    ])
    const waiting = driver.run(read('select 2'))
    await others.end()
    expect(await waiting).toEqual([[2]])
    await transaction.commit()
  })

  test('ssl: require encrypts, verify-full refuses a certificate that nobody has signed, its authority is trusted', async () => {
    const encrypted = read('select ssl from pg_stat_ssl where pid = pg_backend_pid()')
    const open = (ssl: unknown) => postgresDriver({ url: server.url, options: { ssl } })
    expect(await (await open('require')).run(encrypted)).toEqual([[true]])
    expect(await (await open(false)).run(encrypted)).toEqual([[false]])
    for (const ssl of ['verify-full', true]) {
      await expect(open(ssl)).rejects.toMatchObject({
        code: 'CONNECTION_FAILED',
        message: expect.stringContaining('options.ssl: { ca }'),
        retryable: false,
      })
    }
    const ca = readFileSync(join(server.dataDir, 'server.crt'), 'utf8')
    expect(await (await open({ ca, servername: 'localhost' })).run(encrypted)).toEqual([[true]])
    const inUrl = await postgresDriver({ url: `${server.url}?sslmode=require` })
    expect(await inUrl.run(encrypted)).toEqual([[true]])
  })

  test('a server without TLS is not spoken to where TLS is required', async () => {
    await expect(postgresDriver({ url: inject('postgresUrl'), options: { ssl: 'require' } })).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
      message: expect.stringMatching(/does not support TLS.*options\.ssl.*\(host/),
      retryable: false,
    })
  })

  test('a server that demands TLS of a user names options.ssl to a client without it', async () => {
    const rules = join(server.dataDir, 'pg_hba.conf')
    const before = readFileSync(rules, 'utf8')
    const sql = postgres(server.url, { max: 1 })
    writeFileSync(rules, before.replaceAll(/^host\b/gm, 'hostssl'))
    await sql`select pg_reload_conf()`
    onTestFinished(async () => {
      writeFileSync(rules, before)
      await sql`select pg_reload_conf()`
      await sql.end()
    })
    await expect
      .poll(() => postgresDriver({ url: server.url }).catch((error) => error))
      .toMatchObject({
        code: 'CONNECTION_FAILED',
        message: expect.stringContaining('set options.ssl'),
        retryable: false,
      })
    const driver = await postgresDriver({ url: server.url, options: { ssl: 'require' } })
    expect(await driver.run(read('select 1'))).toEqual([[1]])
  })

  test('an error of a statement says which server, database and user', async () => {
    const driver = await postgresDriver({ url: server.url })
    const address = { host: '127.0.0.1', port: server.port, database: 'postgres', user: 'postgres' }
    await expect(driver.run(read('select 1/0'))).rejects.toMatchObject({ details: { postgresCode: '22012', address } })
  })

  test('the directory of a Unix socket is a host, in a url too', async () => {
    const password = decodeURIComponent(new URL(server.url).password)
    const address = { host: server.dataDir, port: server.port, database: 'postgres', user: 'postgres', password }
    const driver = await postgresDriver(address)
    expect(await driver.run(read('select inet_server_addr() is null'))).toEqual([[true]])
    const url = server.url.replace('127.0.0.1', encodeURIComponent(server.dataDir))
    expect(await (await postgresDriver({ url })).run(read('select inet_server_addr()'))).toEqual([[null]])
    await expect(postgresDriver({ ...address, port: server.port + 1 })).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
      message: expect.stringContaining('no PostgreSQL socket'),
    })
  })
})

test("what the url and the options set holds, whatever the server's defaults are", async () => {
  const search = '?options=-c%20work_mem%3D5MB&lock_timeout=1234&idle_timeout=1&max_lifetime=1&connect_timeout=1'
  const url = Object.assign(new URL(await freshPostgres()), { search }).href
  const driver = await postgresDriver({ url, options: { schema: 'my "own"', applicationName: 'agent 7' } })
  const settings = ['work_mem', 'lock_timeout', 'search_path', 'application_name', 'TimeZone', 'DateStyle']
  const shown = await Promise.all(settings.map((name) => driver.run(read(`show "${name}"`))))
  expect(shown.flat(2)).toEqual(['5MB', '1234ms', '"my ""own"""', 'agent 7', 'UTC', 'ISO, MDY'])
})

test('a statement that takes longer than statementTimeoutMillis is cancelled: TIMEOUT; its connection goes on', async () => {
  const driver = await postgresDriver({
    url: await freshPostgres(),
    maxConnections: 1,
    options: { statementTimeoutMillis: 100 },
  })
  const [[pid = []] = []] = [await driver.run(read('select pg_backend_pid()'))]
  const error = await Promise.resolve(driver.run(read('select pg_sleep($1)', 20))).catch((error) => error)
  expect(error).toMatchObject({ code: 'TIMEOUT', message: expect.stringContaining('statementTimeoutMillis') })
  expect(await driver.run(read('select pg_backend_pid()'))).toEqual([pid])
})

test('an error of the server carries no values, neither parameters nor the row', async () => {
  const driver = await postgresDriver({ url: await freshPostgres() })
  await driver.run(write('create table t (id int primary key, secret text)'))
  const insert = write('insert into t values ($1, $2)', 1, 'hunter2')
  await driver.run(insert)
  const error = await Promise.resolve(driver.run(insert)).catch((error) => error)
  expect(error).toMatchObject({ code: 'ALREADY_EXISTS', details: { postgresCode: '23505', table: 't' } })
  const { cause } = error
  expect(JSON.stringify([error.message, { ...error }, { ...cause }, cause.message, cause.stack])).not.toContain(
    'hunter2',
  )
})

test('shapes that vary do not pile up as prepared statements on the server', async () => {
  const driver = await postgresDriver({ url: await freshPostgres(), maxConnections: 1 })
  for (let i = 0; i < 700; i += 100) {
    await Promise.all(times(100, (j) => driver.run(read(`select $1::int as column${i + j}`, j))))
  }
  const [[count] = []] = await driver.run(read('select count(*)::int from pg_prepared_statements'))
  expect(count).toBe(500)
})

test('prepare: false prepares nothing, and statements, batches and transactions work all the same', async () => {
  const url = await freshPostgres()
  const driver = await postgresDriver({ url, maxConnections: 2, options: { prepare: false } })
  await driver.run(write('create table t (id int)'))
  const insert = (id: number) => write('insert into t values ($1) returning id', id)
  await Promise.all(times(40, (i) => driver.batch([insert(i), insert(i + 100)])))
  const transaction = await driver.begin()
  expect(await Promise.all([transaction.run(insert(300)), transaction.run(insert(301))])).toEqual([[[300]], [[301]]])
  await transaction.rollback()
  expect(await driver.run(read('select count(*)::int from t where id < $1', 1000))).toEqual([[80]])
  expect(await driver.run(read('select name from pg_prepared_statements'))).toEqual([])
})

/** A certificate that the server signs itself. */
async function offerTls(server: PostgresServer): Promise<void> {
  const [key, certificate] = [join(server.dataDir, 'server.key'), join(server.dataDir, 'server.crt')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const options = ['-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject]
  await promisify(execFile)('openssl', ['req', ...options, '-keyout', key, '-out', certificate])
  const { uid, gid } = statSync(server.dataDir)
  for (const file of [key, certificate]) chownSync(file, uid, gid)
  const sql = postgres(server.url, { max: 1 })
  await sql`alter system set ssl = on`
  await sql`select pg_reload_conf()`
  await sql.end()
}

test('what gives way in a deadlock is done again; in a transaction its code must, and nothing was done', async () => {
  const url = await freshPostgres()
  const admin = postgres(url, { max: 1 })
  const database = new URL(url).pathname.slice(1)
  await admin.unsafe(`alter database ${database} set deadlock_timeout = '20ms'`)
  await admin.unsafe('create table places (id integer primary key, n integer not null)')
  await admin.unsafe('insert into places values (1, 0), (2, 0)')
  await admin.end()
  const driver = await postgresDriver({ url })
  const steps = (first: number, second: number) => [
    write(`update places set n = n + 1 where id = ${first}`),
    read('select pg_sleep(0.1)'),
    write(`update places set n = n + 1 where id = ${second}`),
  ]
  expect(await outcomes([driver.batch(steps(1, 2)), driver.batch(steps(2, 1))])).toEqual(['ok', 'ok'])
  expect(await driver.run(read('select n from places'))).toEqual([[2], [2]])

  const transaction = async (first: number, second: number) => {
    const tx = await driver.begin()
    try {
      for (const step of steps(first, second)) await tx.run(step)
    } catch (error) {
      await tx.rollback()
      throw error
    }
    await tx.commit()
  }
  const settled = await Promise.allSettled([transaction(1, 2), transaction(2, 1)])
  const failed = settled.filter((one) => one.status === 'rejected')
  expect(failed.map(({ reason }) => reason)).toMatchObject([{ code: 'DATABASE_FAILED', retryable: true }])
  expect(await driver.run(read('select n from places'))).toEqual([[3], [3]])
})
