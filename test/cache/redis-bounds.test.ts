import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { expect, it, onTestFinished } from 'vitest'
import { CacheAside } from '../../src/cache/cache-aside.ts'
import { RedisCacheStore } from '../../src/cache/redis/store.ts'
import { startLink } from '../database/link.ts'
import { startRedis } from '../setup/servers.ts'
import { startCluster } from './redis-cluster.ts'
import { openRedis, redisConfig } from './redis-fixture.ts'

const rows = Array.from({ length: 60 }, (_, i) => `row${i}`)

/** Two processes with a cache over the same rows, whose version a writer raises. */
function world(one: RedisCacheStore, other: RedisCacheStore) {
  const state = { version: 1 }
  const load = async () => ({ version: state.version })
  const asides = [one, other].map((store) => new CacheAside(store, { ttlMillis: 3_600_000 }))
  const readAll = async (i: number) =>
    Promise.all(rows.map(async (id) => (await asides[i]?.read('rows', id, load))?.version))
  return {
    readAll,
    async write() {
      state.version++
      await asides[0]?.invalidate('rows', rows)
    },
    stale: async () => (await readAll(1)).filter((version) => version !== state.version).length,
  }
}

it('a cluster comes back after one of its nodes was frozen, without a stale row', async () => {
  const { one, cluster } = await startCluster()
  const [writer, reader] = [await openRedis({ options: { cluster } }), await openRedis({ options: { cluster } })]
  const { readAll, write, stale } = world(writer, reader)
  await readAll(1)
  one.server.freeze()
  try {
    await write()
    await sleep(4000)
  } finally {
    one.server.thaw()
  }
  await expect.poll(() => writer.stats(), { timeout: 15_000 }).toMatchObject({ breaker: 'closed', dirtyKeys: 0 })
  await expect.poll(() => reader.stats(), { timeout: 15_000 }).toMatchObject({ breaker: 'closed' })
  expect(await stale()).toBe(0)
})

it('close() ends while a node of the cluster is frozen', async () => {
  const { one, cluster } = await startCluster()
  const store = await RedisCacheStore.open(redisConfig({ options: { cluster } }))
  one.server.freeze()
  try {
    await store.remove(rows)
    await sleep(1500) // the breaker is probing
    const closing = store.close().then(() => 'closed')
    expect(await Promise.race([closing, sleep(3000, 'hangs', { ref: false })])).toBe('closed')
  } finally {
    one.server.thaw()
  }
})

it('invalidations reach a Redis that always takes longer than the command timeout', async () => {
  const server = await startRedis()
  onTestFinished(() => server.stop())
  const link = await startLink(server.port, { delayMillis: 300 })
  const slow = await openRedis({ url: `redis://127.0.0.1:${link.port}`, options: { commandTimeoutMillis: 250 } })
  const fast = await openRedis({ url: server.url })
  const { readAll, write, stale } = world(slow, fast)
  await readAll(1)
  await write()
  await expect.poll(stale, { timeout: 3000 }).toBe(0)
  await expect.poll(() => slow.stats().dirtyKeys, { timeout: 5000 }).toBe(0)
})

it('a Redis that was demoted to a replica under an open connection is asked nothing more', async () => {
  const [server, successor] = [await startRedis(), await startRedis()]
  const admin = new Redis(server.url)
  onTestFinished(async () => {
    admin.disconnect()
    await Promise.all([server.stop(), successor.stop()])
  })
  const warnings: string[] = []
  const logger = { info() {}, error() {}, warn: (message: string) => void warnings.push(message) }
  const store = await openRedis({ url: server.url }, { logger })
  await store.put('key', 'Vold', 60_000)
  await admin.replicaof('127.0.0.1', successor.port)
  await expect.poll(() => store.stats().breaker, { timeout: 6000 }).toBe('open')
  expect(await store.lookup('key')).toBe('L') // nothing is read from the replica
  expect(warnings).not.toEqual([])
  await admin.replicaof('NO', 'ONE')
  await expect.poll(() => store.stats().breaker, { timeout: 10_000 }).toBe('closed')
})

it('a write that a replica refuses opens the breaker at once', async () => {
  const [server, successor] = [await startRedis(), await startRedis()]
  const admin = new Redis(server.url)
  onTestFinished(async () => {
    admin.disconnect()
    await Promise.all([server.stop(), successor.stop()])
  })
  const store = await openRedis({ url: server.url })
  await admin.replicaof('127.0.0.1', successor.port)
  await store.put('key', 'Vnew', 60_000)
  expect(store.stats().breaker).toBe('open')
})

it('RedisCacheStore.open() refuses a user who lacks a right, and names the command', async () => {
  const server = await startRedis()
  const admin = new Redis(server.url)
  onTestFinished(async () => {
    admin.disconnect()
    await server.stop()
  })
  const needed = ['+get', '+set', '+unlink', '+eval', '+evalsha', '+info', '+scan', '+ping', '+select']
  for (const missing of ['unlink', 'scan', 'info']) {
    const rights = needed.filter((right) => right !== `+${missing}`)
    await admin.call('ACL', 'SETUSER', 'agent', 'reset', 'on', '>secret', '~*', ...rights)
    const opening = RedisCacheStore.open(redisConfig({ url: `redis://agent:secret@127.0.0.1:${server.port}` }))
    await expect(opening).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
      message: expect.stringContaining(missing),
    })
  }
  await admin.call('ACL', 'SETUSER', 'agent', 'reset', 'on', '>secret', '~*', ...needed)
  const store = await RedisCacheStore.open(redisConfig({ url: `redis://agent:secret@127.0.0.1:${server.port}` }))
  expect(store.stats().breaker).toBe('closed')
  await store.close()
})
