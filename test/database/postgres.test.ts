import { execFile, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { times } from '../../src/testing/contract.ts'
import { freshPostgres } from '../setup/databases.ts'
import { freePort } from '../setup/server-process.ts'
import { type PostgresServer, startPostgres } from '../setup/servers.ts'
import { outcomes, postgresDriver, read, write } from './drivers.ts'

/** Returns the URL of the shared server with some parts replaced. */
function urlWith(parts: Partial<Pick<URL, 'password' | 'pathname' | 'port' | 'host' | 'search'>>): string {
  return Object.assign(new URL(inject('postgresUrl')), parts).href
}

describe('openPostgres()', () => {
  const failures: [string, () => string | Promise<string>, RegExp, boolean][] = [
    ['a wrong password', () => urlWith({ password: 'wrong' }), /refused the user or the password/, false],
    ['a wrong database', () => urlWith({ pathname: '/nowhere' }), /database does not exist/, false],
    ['a port that nobody listens on', async () => urlWith({ port: String(await freePort()) }), /Nothing listens/, true],
    ['an unknown host name', () => urlWith({ host: 'nowhere.invalid:5432' }), /cannot be resolved/, false],
    ['an unknown parameter', () => urlWith({ search: '?no_such_setting=1' }), /no_such_setting/, false],
  ]
  test.each(failures)('rejects %s within five seconds, with the reason', async (_, makeUrl, message, retryable) => {
    const url = await makeUrl()
    const started = performance.now()
    const error = await postgresDriver({ url }).catch((error) => error)
    expect(error).toMatchObject({ code: 'CONNECTION_FAILED', message: expect.stringMatching(message) })
    const { hostname: host, port, pathname, username: user } = new URL(url)
    expect(error.details.address).toEqual({ host, port: Number(port), database: pathname.slice(1), user })
    expect(error.message).toContain(`(host ${host}, port ${port}, database ${pathname.slice(1)}, user ${user})`)
    // If the name server does not answer, the error is retryable.
    if (!String(error.cause).includes('EAI_AGAIN')) expect(error.retryable).toBe(retryable)
    expect(performance.now() - started).toBeLessThan(5000)
    expect(JSON.stringify({ ...error, cause: String(error.cause) })).not.toContain('wrong')
  })

  const silentHosts: [string, () => Promise<string>][] = [
    ['a server that accepts connections and sends nothing', silentServer],
    ['an address that does not answer', async () => '192.0.2.1:5432'],
  ]
  test.each(silentHosts)('rejects %s after connectionTimeoutMillis', async (_, makeHost) => {
    const host = await makeHost()
    const started = performance.now()
    const failed = postgresDriver({ url: urlWith({ host }), connectionTimeoutMillis: 300 })
    await expect(failed).rejects.toMatchObject({ code: 'CONNECTION_FAILED', retryable: true })
    expect(performance.now() - started).toBeLessThan(5000)
  })

  test('connects to the first of several hosts that answers, and rejects if none does', async () => {
    const [user] = inject('postgresUrl').split('@')
    const { host, pathname } = new URL(inject('postgresUrl'))
    const nobody = `127.0.0.1:${await freePort()}`
    const driver = await postgresDriver({ url: `${user}@${nobody},${host}${pathname}` })
    expect(await driver.run(read('select 1'))).toEqual([[1]])
    await expect(postgresDriver({ url: `${user}@${nobody},${nobody}${pathname}` })).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
    })
    // A host that is not a standby does not count either, if a standby is wanted.
    const wanted = { url: `${user}@${host},${host}${pathname}?target_session_attrs=standby` }
    await expect(postgresDriver(wanted)).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
  })
})

describe('openPostgres() on a private server', () => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres({
      settings: { max_connections: '6', superuser_reserved_connections: '0', unix_socket_directories: '.' },
    })
    await offerTls(server)
  })
  afterAll(() => server.stop())

  test('rejects when the server has no connection left, and waiting calls get one when it has', async () => {
    const others = postgres(server.url, { max: 5, onnotice: () => {} })
    await Promise.all(times(5, () => others`select pg_sleep(0.1)`))
    const driver = await postgresDriver({ url: server.url, connectionTimeoutMillis: 400 })
    await expect(postgresDriver({ url: server.url })).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
      message: expect.stringContaining('max_connections'),
      retryable: true,
    })
    // A read could share a connection, but a transaction holds the only one, and begin() gets no second one.
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

  test('names the CONNECTION LIMIT of a role that has no connection left', async () => {
    const sql = postgres(server.url, { max: 1 })
    onTestFinished(() => sql.end())
    await sql`create role limited login password 'limited' connection limit 0`
    const url = server.url.replace(/\/\/.*@/, '//limited:limited@')
    await expect(postgresDriver({ url })).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
      message: expect.stringContaining('CONNECTION LIMIT'),
      retryable: true,
    })
  })

  test('encrypts with ssl: require, rejects a self-signed certificate with verify-full, and accepts it with its ca', async () => {
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

  test('rejects a server without TLS if TLS is required', async () => {
    await expect(postgresDriver({ url: inject('postgresUrl'), options: { ssl: 'require' } })).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
      message: expect.stringMatching(/does not support TLS.*options\.ssl.*\(host/),
      retryable: false,
    })
  })

  test.each([false, 'require'])(
    'run(), batch() and begin() work after a pause of the process in which the server ended the connections, ssl: %s',
    async (ssl) => {
      const driver = await postgresDriver({ url: server.url, maxConnections: 3, options: { ssl } })
      await driver.run(write('create temporary table t (id int)')) // gone with its connection, so that one must be new
      const terminate = `
      import postgres from 'postgres'
      const sql = postgres(${JSON.stringify(server.url)}, { max: 1 })
      await sql\`select pg_terminate_backend(pid, 1000) from pg_stat_activity
        where pid <> pg_backend_pid() and backend_type = 'client backend'\`
      await sql.end()`
      const calls = [
        () => driver.run(write('select 1')),
        () => driver.batch([write('select 1'), write('select 2')]),
        async () => (await driver.begin()).commit(),
      ]
      for (const call of calls) {
        await Promise.all(times(3, () => driver.run(read('select pg_sleep(0.05)'))))
        execFileSync(process.execPath, ['--input-type=module', '-e', terminate]) // meanwhile this process reads no socket
        await Promise.all([call(), call(), call()])
      }
      await expect(driver.run(write('insert into t values (1)'))).rejects.toMatchObject({
        details: { postgresCode: '42P01' },
      })
    },
  )

  // An error that nobody listens for fails the run. Over TLS each of these ended the process.
  test.each([false, 'require'])('abandon() ends its own connection and nothing else, ssl: %s', async (ssl) => {
    const driver = await postgresDriver({ url: server.url, maxConnections: 3, options: { ssl } })
    const begin = async () => {
      const transaction = await driver.begin()
      await transaction.run(read('select 1'))
      return transaction
    }
    const [idle, sending, waiting] = await Promise.all([begin(), begin(), begin()])
    const asleep = outcomes([waiting.run(read('select pg_sleep(5)'))])
    await sleep(50) // it is on its way
    const sent = outcomes([sending.run(read('select 2'))])
    await Promise.all([idle.abandon(), sending.abandon(), waiting.abandon()])
    expect([await sent, await asleep]).toEqual([['CONNECTION_LOST'], ['CONNECTION_LOST']])
    await sleep(50)
    expect(await driver.run(read('select 3'))).toEqual([[3]])
  })

  test('names options.ssl if the server requires TLS and the configuration does not', async () => {
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

  test('returns a driver whose errors name the server, database and user', async () => {
    const driver = await postgresDriver({ url: server.url })
    const address = { host: '127.0.0.1', port: server.port, database: 'postgres', user: 'postgres' }
    await expect(driver.run(read('select 1/0'))).rejects.toMatchObject({ details: { postgresCode: '22012', address } })
  })

  test('accepts the directory of a Unix socket as host, also in a url', async () => {
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

test('openPostgres() applies the settings of the url and the options over the defaults of the server', async () => {
  const search = '?options=-c%20work_mem%3D5MB&lock_timeout=1234&idle_timeout=1&max_lifetime=1&connect_timeout=1'
  const format = '&TimeZone=Asia/Kolkata&DateStyle=German,DMY'
  const url = Object.assign(new URL(await freshPostgres()), { search: search + format }).href
  const driver = await postgresDriver({ url, options: { schema: 'my "own"', applicationName: 'agent 7' } })
  const settings = ['work_mem', 'lock_timeout', 'search_path', 'application_name', 'TimeZone', 'DateStyle']
  const shown = await Promise.all(settings.map((name) => driver.run(read(`show "${name}"`))))
  expect(shown.flat(2)).toEqual(['5MB', '1234ms', '"my ""own"""', 'agent 7', 'UTC', 'ISO, DMY'])
})

test('run() rejects with TIMEOUT after statementTimeoutMillis, and the connection stays usable', async () => {
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

test('run() rejects with an error that contains neither parameters nor values of the row', async () => {
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

test('run() keeps at most 500 prepared statements on a connection', async () => {
  const driver = await postgresDriver({ url: await freshPostgres(), maxConnections: 1 })
  for (let i = 0; i < 700; i += 100) {
    await Promise.all(times(100, (j) => driver.run(read(`select $1::int as column${i + j}`, j))))
  }
  const [[count] = []] = await driver.run(read('select count(*)::int from pg_prepared_statements'))
  expect(count).toBe(500)
})

test('run(), batch() and begin() work without prepared statements if prepare is false', async () => {
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

/** Starts a server that accepts connections and sends nothing. Returns its host and port. It ends with the test. */
async function silentServer(): Promise<string> {
  const silent = createServer((socket) => socket.resume())
  await once(silent.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void silent.close())
  const { port } = silent.address() as { port: number } // the server listens on TCP
  return `127.0.0.1:${port}`
}

/** Turns on TLS with a self-signed certificate. */
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

test('batch() is repeated after a deadlock, and a transaction rejects with retryable and leaves nothing', async () => {
  const url = await freshPostgres({ deadlock_timeout: '20ms' })
  const admin = postgres(url, { max: 1 })
  await admin.unsafe('create table places (id integer primary key, n integer not null)')
  await admin.unsafe('insert into places values (1, 0), (2, 0)')
  await admin.end()
  const driver = await postgresDriver({ url })
  const steps = (first: number, second: number) => [
    write(`update places set n = n + 1 where id = ${first}`),
    read('select pg_sleep(0.5)'), // the other one has its first lock by then
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
  const failed = settled.filter((result) => result.status === 'rejected')
  expect(failed.map(({ reason }) => reason)).toMatchObject([{ code: 'DATABASE_FAILED', retryable: true }])
  expect(await driver.run(read('select n from places'))).toEqual([[3], [3]])
})
