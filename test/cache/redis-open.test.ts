import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { inspect } from 'node:util'
import { Redis } from 'ioredis'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { RedisCacheStore } from '../../src/cache/redis/store.ts'
import { freePort } from '../setup/server-process.ts'
import { type RedisOptions, startRedis } from '../setup/servers.ts'
import { openRedis, recordingLogger, redisConfig } from './redis-fixture.ts'

/** Starts a private Redis. It ends with the test. */
async function start(options: RedisOptions = {}) {
  const server = await startRedis(options)
  onTestFinished(() => server.stop())
  return server
}

/** Returns the CONNECTION_FAILED with which `open()` rejects, with its details and its cause, as text. */
async function refusal(section: Parameters<typeof redisConfig>[0]): Promise<string> {
  const error = await RedisCacheStore.open(redisConfig(section)).then(
    () => expect.fail('it opened'),
    (error) => error,
  )
  expect(error).toMatchObject({ name: 'StorageError', code: 'CONNECTION_FAILED' })
  return inspect(error, { depth: null })
}

describe('RedisCacheStore.open()', () => {
  it('rejects a wrong password without quoting it', async () => {
    const { port, url } = await start({
      args: ['--requirepass', 'right', '--user', 'ada', 'on', '>lovelace', '~*', '&*', '+@all'],
    })
    expect(await refusal({ host: '127.0.0.1', port, password: 's3cret' })).toMatch(/password is wrong \(WRONGPASS/)
    expect(await refusal({ host: '127.0.0.1', port, password: 's3cret' })).not.toContain('s3cret')
    expect(await refusal({ host: '127.0.0.1', port, username: 'ada', password: 'right' })).toContain('WRONGPASS')
    expect(await refusal({ url: `redis://:s3cret@127.0.0.1:${port}/0` })).not.toContain('s3cret')
    expect(await refusal({ url })).toMatch(/requires a password, and none is configured/)

    await (await openRedis({ host: '127.0.0.1', port, password: 'right' })).ping()
    await (await openRedis({ host: '127.0.0.1', port, username: 'ada', password: 'lovelace' })).ping()
    await (await openRedis({ url: `redis://ada:love%6Cace@127.0.0.1:${port}` })).ping()
  })

  it('rejects a database number that the server does not have', async () => {
    const { port } = await start({ args: ['--databases', '4'] })
    expect(await refusal({ host: '127.0.0.1', port, database: 4 })).toMatch(/refuses database 4: there is no database/)
    expect(await refusal({ url: `redis://127.0.0.1:${port}/99` })).toMatch(/refuses database 99/)
    const cache = await openRedis({ url: `redis://127.0.0.1:${port}/3` })
    await cache.put('a', 'V', 60_000)
    const admin = new Redis(port, '127.0.0.1', { db: 3 })
    expect(await admin.dbsize()).toBe(1)
    admin.disconnect()
  })

  it('rejects a user who lacks a right', async () => {
    const { port } = await start({
      args: ['--user', 'guest', 'on', 'nopass', '~*', '&*', '+@read', '+@connection', '+info'],
    })
    expect(await refusal({ host: '127.0.0.1', port, username: 'guest', password: 'any' })).toMatch(
      /lacks the right.*NOPERM/,
    )
  })

  it('separates two key prefixes on one Redis', async () => {
    const { url } = await start()
    const open = (keyPrefix: string) => openRedis({ url, options: { keyPrefix } })
    const [one, two] = [await open('one:'), await open('two:')]
    await one.put('a', 'V1', 60_000)
    expect(await two.lookup('a')).toBeNull()
    await two.remove(['a'])
    expect(await one.lookup('a')).toBe('V1')
  })

  it('connects with TLS, and not to a server whose certificate cannot be verified', async () => {
    const file = (name: string) => `test/cache/fixtures/tls-${name}.pem`
    const port = await freePort()
    const args = ['--tls-port', String(port), '--tls-cert-file', `${process.cwd()}/${file('cert')}`]
    args.push('--tls-key-file', `${process.cwd()}/${file('key')}`, '--tls-auth-clients', 'no')
    await start({ args })
    const ca = readFileSync(file('cert'), 'utf8')
    const cache = await openRedis({ url: `rediss://127.0.0.1:${port}`, options: { tls: { ca } } })
    await cache.put('a', 'V1', 60_000)
    expect(await cache.lookup('a')).toBe('V1')
    await (await openRedis({ host: 'localhost', port, options: { tls: { ca } } })).ping()

    // Without the CA the certificate cannot be verified.
    const { logger, lines } = recordingLogger()
    const unverified = await openRedis({ url: `rediss://127.0.0.1:${port}` }, { logger })
    expect(unverified.stats().breaker).toBe('open')
    expect(String(lines[0]?.details.reason)).toMatch(/self.signed/)
  })
})

describe('RedisCacheStore.open() of a Redis that does not answer', () => {
  it('warns once, and uses the Redis as soon as it answers', async () => {
    const port = await freePort()
    const { logger, lines } = recordingLogger()
    const cache = await openRedis({ host: '127.0.0.1', port, password: 's3cret' }, { logger })
    expect(lines).toMatchObject([{ level: 'warn', details: { reason: expect.stringContaining('ECONNREFUSED') } }])
    expect(JSON.stringify(lines)).not.toContain('s3cret')
    await cache.put('a', 'V1', 60_000)
    expect(await cache.claim('a', 'L1', 60_000)).toBe('L')
    expect(await cache.remove(['a', 'b'])).toBe(0)
    await start({ port, args: ['--requirepass', 's3cret'] })
    await vi.waitFor(() => expect(cache.stats().breaker).toBe('closed'), { timeout: 5000 })
    expect(lines.map(({ level }) => level)).toEqual(['warn', 'info'])
    await cache.put('a', 'V1', 60_000)
    expect(await cache.lookup('a')).toBe('V1')
  })

  it('resolves within the connection timeout if the server accepts connections and sends nothing', async () => {
    const silent = createServer((socket) => void socket.resume())
    await once(silent.listen(0, '127.0.0.1'), 'listening')
    const { port } = silent.address() as AddressInfo
    const begin = performance.now()
    const cache = await openRedis({ host: '127.0.0.1', port, connectionTimeoutMillis: 300 })
    expect(performance.now() - begin).toBeLessThan(4000)
    expect(cache.stats().breaker).toBe('open')
    await cache.close()
    silent.close()
  })
})
