import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { CacheAside } from '../../src/cache/cache-aside.ts'
import { RedisCacheStore } from '../../src/cache/redis/store.ts'
import { cacheContract } from '../../src/testing/cache-contract.ts'
import { redisBinary } from '../setup/binaries.ts'
import { freePort, ServerProcess } from '../setup/server-process.ts'
import { temporaryDirectory } from '../setup/temporary.ts'
import { startCluster, startRedisWithAdmin } from './redis-cluster.ts'
import { openRedis, redisConfig } from './redis-fixture.ts'

describe('RedisCacheStore on a cluster', () => {
  it('meets the contract of a cache store', async () => {
    const { cluster } = await startCluster()
    const open = () => RedisCacheStore.open(redisConfig({ options: { cluster, commandTimeoutMillis: 1000 } }))
    for (const { name, run } of cacheContract(open)) {
      await run().catch((cause) => {
        throw new Error(name, { cause })
      })
    }
  })

  it('removes from each node what was written while the node was frozen', async () => {
    const { one, two, cluster } = await startCluster()
    const cache = await openRedis({ options: { cluster } }, { maxDirtyKeys: 100 })
    const aside = new CacheAside(cache, { ttlMillis: 3_600_000 })
    for (const count of [50, 200]) {
      const ids = Array.from({ length: count }, (_, i) => `row${i}`)
      let version = 1
      const read = async (id: string) => (await aside.read('rows', id, async () => ({ version })))?.version
      await Promise.all(ids.map(read))
      for (const { server } of [one, two]) server.freeze()
      version = 2
      await aside.invalidate('rows', ids)
      for (const { server } of [one, two]) server.thaw()
      await vi.waitFor(() => expect(cache.stats().breaker).toBe('closed'), { timeout: 20_000, interval: 50 })
      expect(await Promise.all(ids.map(read))).toEqual(ids.map(() => 2))
      await aside.invalidate('rows', ids)
    }
  })
})

it('open() of one node of a cluster as a server of its own fails, and says what to configure', async () => {
  const { one, two } = await startCluster()
  for (const { url } of [one.server, two.server]) {
    for (const keyPrefix of ['a:', 'b:', 'c:']) {
      await expect(openRedis({ url, options: { keyPrefix } })).rejects.toMatchObject({
        code: 'CONNECTION_FAILED',
        message: expect.stringContaining('options.cluster'),
      })
    }
  }
})

it('open() accepts one node of a cluster if it has all keys of the prefix', async () => {
  const { one, two } = await startCluster()
  const options = { keyPrefix: '{a}' } // slot 15495
  await expect(openRedis({ url: one.server.url, options })).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
  expect((await openRedis({ url: two.server.url, options })).stats().breaker).toBe('closed')
})

describe('RedisCacheStore with sentinels', () => {
  it('follows a failover, and does not read a removed row from the new master', async () => {
    const master = await startRedisWithAdmin()
    const replica = await startRedisWithAdmin(['--replicaof', '127.0.0.1', String(master.server.port)])
    const sentinelPort = await startSentinel(master.server.port)
    const cache = await openRedis({
      options: { sentinels: { name: 'agents', nodes: [{ host: '127.0.0.1', port: sentinelPort }] } },
    })
    const aside = new CacheAside(cache, { ttlMillis: 3_600_000 })
    let version = 1
    const read = async () => (await aside.read('rows', 'a', async () => ({ version })))?.version
    expect(await read()).toBe(1)
    await vi.waitFor(async () => expect(await replica.admin.keys('*')).toHaveLength(1), { timeout: 10_000 })

    // The replica misses the removal, as asynchronous replication allows.
    replica.server.freeze()
    await master.admin.call('CLIENT', 'KILL', 'TYPE', 'replica')
    version = 2
    await aside.invalidate('rows', ['a'])
    expect(await read()).toBe(2)
    await master.server.kill9()
    replica.server.thaw()
    await vi.waitFor(() => expect(cache.stats().breaker).toBe('closed'), { timeout: 25_000, interval: 50 })
    const bothRuns = async () => {
      expect(await read()).toBe(2)
      expect(await replica.admin.keys('*')).toHaveLength(2)
    }
    await vi.waitFor(bothRuns, { timeout: 10_000, interval: 100 })
  })

  it('connects with TLS to the sentinels and to the master', async () => {
    const file = (name: string) => `${process.cwd()}/test/cache/fixtures/tls-${name}.pem`
    const tls = { 'tls-cert-file': file('cert'), 'tls-key-file': file('key'), 'tls-ca-cert-file': file('cert') }
    const options = Object.entries({ ...tls, 'tls-auth-clients': 'no' })
    const masterPort = await freePort()
    await startRedisWithAdmin([
      '--tls-port',
      `${masterPort}`,
      ...options.flatMap(([name, value]) => [`--${name}`, value]),
    ])
    const ca = readFileSync(file('cert'), 'utf8')
    const lines = ['port 0', 'tls-replication yes', ...options.map((option) => option.join(' '))]
    const port = await startSentinel(masterPort, { lines, tls: { ca } })
    const cache = await openRedis({
      options: { tls: { ca }, sentinels: { name: 'agents', nodes: [{ host: '127.0.0.1', port }] } },
    })
    await cache.put('a', 'V1', 60_000)
    expect(await cache.lookup('a')).toBe('V1')
  })
})

interface SentinelOptions {
  /** Further lines of its configuration. */
  lines?: string[]
  /** Where it listens with TLS alone. */
  tls?: { ca: string }
}

/** Starts a sentinel that watches the master, and returns its port. It ends with the test. */
async function startSentinel(masterPort: number, { lines: further = [], tls }: SentinelOptions = {}): Promise<number> {
  const port = await freePort()
  const directory = temporaryDirectory('sentinel')
  const file = join(directory, 'sentinel.conf')
  const lines = [
    `${tls ? 'tls-port' : 'port'} ${port}`,
    ...further,
    'bind 127.0.0.1',
    `dir ${directory}`,
    `sentinel monitor agents 127.0.0.1 ${masterPort} 1`,
    'sentinel down-after-milliseconds agents 500',
    'sentinel failover-timeout agents 2000',
  ]
  writeFileSync(file, lines.join('\n'))
  const admin = new Redis(port, '127.0.0.1', { lazyConnect: true, retryStrategy: () => 50, ...(tls && { tls }) })
  admin.on('error', () => {})
  // The sentinel can promote only a replica that it has found. Its answer about the master has the number of slaves.
  const asked = tls ? 'MASTER' : 'REPLICAS'
  const ready = async () => String(await admin.call('SENTINEL', asked, 'agents').catch(() => '')).includes('slave')
  const sentinel = new ServerProcess({ program: redisBinary(), args: [file, '--sentinel'], directory, ready })
  await sentinel.start()
  admin.disconnect()
  onTestFinished(() => sentinel.end('SIGKILL'))
  return port
}
