import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage, type StorageTransaction } from 'holdfast'
import postgres from 'postgres'
import { expect, onTestFinished, test } from 'vitest'
import { startPostgres } from '../setup/servers.ts'
import { quiet } from '../setup/silent.ts'
import { postgresDriver, read, write } from './drivers.ts'

const TIMEOUT_MILLIS = 300

/** Returns the process id of the child of a server that has this title. */
function childOf(parent: number, title: string): number {
  const lines = execFileSync('ps', ['-A', '-o', 'ppid=,pid=,command=']).toString().split('\n')
  const found = lines
    .map((line) => line.trim().split(/\s+/))
    .find(([ppid, , ...words]) => Number(ppid) === parent && words.includes(title))
  if (found === undefined) throw new Error(`The server has no child ${title}`)
  return Number(found[1])
}

/**
 * Starts a server whose backends stand still in the middle of each statement, before they run it, while its log is stopped: they
 * wait until what they have logged is taken.
 */
async function setUp() {
  const server = await startPostgres({ settings: { logging_collector: 'on' } })
  onTestFinished(() => server.stop('immediate'))
  const driver = await postgresDriver({
    url: server.url,
    maxConnections: 1,
    options: { statementTimeoutMillis: TIMEOUT_MILLIS },
  })
  await driver.run(write('create table t (name text)'))
  const sql = postgres(server.url, { max: 1 })
  onTestFinished(() => sql.end())
  await sql`alter system set log_statement = 'all'`
  await sql`select pg_reload_conf()`
  await expect.poll(() => driver.run(read('show log_statement'))).toEqual([['all']])
  const names = async () => (await driver.run(read('select name from t'))).flat()
  const logger = childOf(server.pid, 'logger')
  return {
    driver,
    names,
    /** Sends what `send` sends to backends that stand still until the server's timeout for a statement has passed. */
    async whileStill<T>(send: () => Promise<T>): Promise<T> {
      process.kill(logger, 'SIGSTOP')
      try {
        const filling = sql.unsafe(`select '${'x'.repeat(200_000)}'`).execute()
        await sleep(100)
        const sent = send()
        sent.catch(() => {})
        await sleep(2 * TIMEOUT_MILLIS)
        process.kill(logger, 'SIGCONT')
        await filling
        return await sent
      } finally {
        process.kill(logger, 'SIGCONT')
      }
    },
  }
}

test('batch() and transactions whose BEGIN the server cancels reject with CONNECTION_LOST, and send nothing more', async () => {
  const { driver, names, whileStill } = await setUp()
  const insert = 'insert into t values ($1)'
  const batch = whileStill(() => driver.batch([write(insert, 'batch 1'), write(insert, 'batch 2')]))
  await expect(batch).rejects.toMatchObject({
    code: 'CONNECTION_LOST', // what was sent together with BEGIN was done, so TIMEOUT would be wrong
    retryable: true,
    message: expect.stringContaining('BEGIN'),
  })
  await names() // over a new connection

  const tx = await whileStill(async () => {
    const tx = await driver.begin()
    await tx.run(write(insert, 'first')).catch(() => {})
    return tx
  })
  await expect(tx.run(write(insert, 'second'))).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
  await expect(tx.commit()).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
  expect(await names()).not.toContain('second')
})

test('run() waits for a new connection if the statement timeout ends the opening of one', async () => {
  const { driver, names, whileStill } = await setUp()
  const [pid] = await driver.run(read('select pg_backend_pid()'))
  await expect(driver.run(write('select pg_terminate_backend($1)', pid?.[0]))).rejects.toMatchObject({
    code: 'CONNECTION_LOST',
  })
  await whileStill(async () => driver.run(write('insert into t values ($1)', 'name')))
  expect(await names()).toEqual(['name'])
})

test('a serializable transaction on a standby rejects with READ_ONLY, and writes nothing after a promotion', async () => {
  const server = await startPostgres()
  onTestFinished(() => server.stop('immediate'))
  const database = { type: 'postgres', url: server.url } as const
  await (await openStorage({ database }, quiet)).close()
  await server.stop()
  writeFileSync(join(server.dataDir, 'standby.signal'), '')
  await server.start()
  const sql = postgres(server.url, { max: 1 })
  onTestFinished(() => sql.end())

  await using storage = await openStorage({ database }, quiet)
  const transaction = (body: (tx: StorageTransaction) => Promise<unknown>) =>
    storage.transaction(body, { isolation: 'serializable' })
  await expect(transaction(async () => {})).rejects.toMatchObject({ code: 'READ_ONLY' })
  const begunOnStandby = transaction(async (tx) => {
    await tx.kv.get('key')
    await sql`select pg_promote()`
    await tx.kv.set('key', 'not in a transaction')
    throw new Error('rolled back')
  })
  await expect(begunOnStandby).rejects.toMatchObject({ code: 'READ_ONLY', retryable: true })
  await sql`select pg_promote()`
  await transaction((tx) => tx.kv.setIfAbsent('key', 'after the promotion'))
  expect(await storage.kv.get('key')).toBe('after the promotion')
})
