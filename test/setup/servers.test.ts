import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import postgres from 'postgres'
import { expect, test } from 'vitest'
import { freshDirectory, freshPostgres, redisPrefix, redisUrl } from './databases.ts'
import { leftOver } from './leaks.ts'
import { runScript } from './processes.ts'
import { type RedisServer, startPostgres, startRedis } from './servers.ts'

const alive = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

async function query(url: string, text: string): Promise<unknown> {
  const sql = postgres(url, { max: 1, connect_timeout: 5 })
  try {
    return (await sql.unsafe(text).values())[0]?.[0]
  } finally {
    await sql.end({ timeout: 1 }) // without a timeout, end() never resolves once the server was killed
  }
}

async function redisCall<T>(server: RedisServer, call: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(server.url, { commandTimeout: 300, retryStrategy: () => null })
  redis.on('error', () => {})
  try {
    return await call(redis)
  } finally {
    redis.disconnect()
  }
}

test('startPostgres() starts a server that keeps its data and port after stop() and kill9()', async () => {
  const server = await startPostgres({ fsync: true, settings: { work_mem: '5MB' } })
  try {
    expect(
      await query(
        server.url,
        `SELECT concat_ws(' ', current_setting('fsync'), current_setting('work_mem'), current_setting('max_connections'))`,
      ),
    ).toBe('on 5MB 200')
    await query(server.url, 'CREATE TABLE kept AS SELECT 42 AS answer')
    const { pid } = server
    const inFlight = query(server.url, 'SELECT pg_sleep(30)')
    await Promise.all([expect(inFlight).rejects.toThrow('CONNECTION'), sleep(200).then(() => server.kill9())])
    expect(alive(pid)).toBe(false)
    await expect(query(server.url, 'SELECT 1')).rejects.toThrow('ECONNREFUSED')
    await server.start()
    expect(server.pid).not.toBe(pid)
    expect(await query(server.url, 'SELECT answer FROM kept')).toBe(42)
    await server.stop('immediate')
    expect(() => server.pid).toThrow('is not running')
    await server.start()
    expect(await query(server.url, 'SELECT answer FROM kept')).toBe(42)
    const stranger = Object.assign(new URL(server.url), { password: 'wrong' }).href
    await expect(query(stranger, 'SELECT 1')).rejects.toThrow('password authentication failed')
  } finally {
    await server.stop()
  }
})

test('startPostgres() and startRedis() reject with the log when the server does not start', async () => {
  const server = await startRedis()
  try {
    await expect(startRedis({ args: ['--no-such-setting', '1'] })).rejects.toThrow('no-such-setting')
    await expect(startPostgres({ settings: { no_such_setting: '1' } })).rejects.toThrow('no_such_setting')
  } finally {
    await server.stop()
  }
})

test('freeze() keeps Redis from answering until thaw()', async () => {
  const server = await startRedis()
  try {
    server.freeze()
    await expect(redisCall(server, (redis) => redis.get('key'))).rejects.toThrow('timed out')
    server.thaw()
    expect(await redisCall(server, (redis) => redis.get('key'))).toBeNull()
    server.freeze()
  } finally {
    await server.stop()
  }
})

test('restart() and start() bring Redis back empty, with its data, or with its last snapshot', async () => {
  const server = await startRedis()
  const value = () => redisCall(server, (redis) => redis.get('key'))
  try {
    await redisCall(server, (redis) => redis.set('key', 'first'))
    await server.restart({ keepData: true })
    expect(await value()).toBe('first')
    await redisCall(server, (redis) => redis.set('key', 'second'))
    await server.kill9()
    await server.start()
    expect(await value()).toBe('first')
    await server.restart()
    expect(await value()).toBeNull()
  } finally {
    await server.stop()
  }
})

test('freshPostgres() creates separate databases with linguistic collation', async () => {
  const [one, other] = await Promise.all([freshPostgres(), freshPostgres()])
  await query(one, 'CREATE TABLE here (id integer)')
  expect(await query(other, `SELECT to_regclass('here')`)).toBeNull()
  const icu = await query(
    one,
    `SELECT to_jsonb(d) ->> 'datlocprovider' FROM pg_database d WHERE datname = current_database()`,
  )
  if (icu === 'i') expect(await query(one, `SELECT 'a' < 'B'`)).toBe(true) // false in byte order
})

test('redisPrefix() and freshDirectory() return something new in every call', () => {
  expect(redisPrefix()).not.toBe(redisPrefix())
  expect(redisUrl()).toMatch(/^rediss?:/)
  const directory = freshDirectory()
  expect(existsSync(directory)).toBe(true)
  expect(directory).not.toBe(freshDirectory())
})

test.each(['SIGKILL', 'SIGINT'] as const)('servers and directories end with their process on %s', async (signal) => {
  const script = runScript<{ pids: number[]; directory: string }>('test/setup/programs/abandon.ts')
  const { pids, directory } = await script.next()
  expect([...pids.map(alive), existsSync(directory)]).toEqual([true, true, true])
  await script.kill(signal)
  const remaining = () => [...pids.filter(alive).map(String), ...[directory].filter(existsSync)]
  expect(await leftOver(remaining, 10_000)).toEqual([])
})
