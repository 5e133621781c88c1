import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { expect, it } from 'vitest'
import { CacheAside } from '../../src/cache/cache-aside.ts'
import { RedisServer } from '../../src/cache/redis/server.ts'
import { RedisCacheStore } from '../../src/cache/redis/store.ts'
import { startLink } from '../database/link.ts'
import { freePort } from '../setup/server-process.ts'
import { startCluster, startRedisWithAdmin } from './redis-cluster.ts'
import { openRedis, recordingLogger, redisConfig } from './redis-fixture.ts'

const rows = Array.from({ length: 60 }, (_, i) => `row${i}`)

/** Simulates two processes that cache the same rows. The first writes a new version of all rows, and the second reads. */
function writerAndReader(one: RedisCacheStore, other: RedisCacheStore) {
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

it('read() returns no stale row when a node of the cluster was frozen and has recovered', async () => {
  const { one, cluster } = await startCluster()
  const [writer, reader] = [await openRedis({ options: { cluster } }), await openRedis({ options: { cluster } })]
  const { readAll, write, stale } = writerAndReader(writer, reader)
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

it('close() resolves while a node of the cluster is frozen', async () => {
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

it('close() of a server that is being reached leaves no connection behind', async () => {
  const port = await freePort()
  const reached = await RedisServer.create(redisConfig({ port, host: '127.0.0.1' }))
  await expect(reached.reach()).rejects.toThrow('ECONNREFUSED')
  const { admin } = await startRedisWithAdmin([], port)
  const reaching = reached.reach()
  await reached.close()
  await expect(reaching).rejects.toThrow('closed')
  expect(
    String(await admin.client('LIST'))
      .trim()
      .split('\n'),
  ).toHaveLength(1)
})

it('invalidate() reaches a Redis that always takes longer than the command timeout', async () => {
  const { server } = await startRedisWithAdmin()
  const link = await startLink(server.port, { delayMillis: 300 })
  const slow = await openRedis({ url: `redis://127.0.0.1:${link.port}`, options: { commandTimeoutMillis: 250 } })
  const fast = await openRedis({ url: server.url })
  const { readAll, write, stale } = writerAndReader(slow, fast)
  await readAll(1)
  await write()
  await expect.poll(stale, { timeout: 3000 }).toBe(0)
  await expect.poll(() => slow.stats().dirtyKeys, { timeout: 5000 }).toBe(0)
})

it('lookup() does not ask a Redis that was demoted to a replica under an open connection', async () => {
  const { server, admin } = await startRedisWithAdmin()
  const { server: successor } = await startRedisWithAdmin()
  const { logger, lines } = recordingLogger()
  const store = await openRedis({ url: server.url }, { logger })
  await store.put('key', 'Vold', 60_000)
  await admin.replicaof('127.0.0.1', successor.port)
  await expect.poll(() => store.stats().breaker, { timeout: 6000 }).toBe('open')
  expect(await store.lookup('key')).toBe('L') // BYPASS: nothing is read from the replica
  expect(lines).toContainEqual(expect.objectContaining({ level: 'warn' }))
  await admin.replicaof('NO', 'ONE')
  await expect.poll(() => store.stats().breaker, { timeout: 10_000 }).toBe('closed')
})

it('put() opens the breaker at once when a replica refuses the write', async () => {
  const { server, admin } = await startRedisWithAdmin()
  const { server: successor } = await startRedisWithAdmin()
  const store = await openRedis({ url: server.url })
  await admin.replicaof('127.0.0.1', successor.port)
  await store.put('key', 'Vnew', 60_000)
  expect(store.stats().breaker).toBe('open')
})

it('announce() of a strict store fails without naming a key when a replica refuses the mark', async () => {
  const { server, admin } = await startRedisWithAdmin()
  const { server: successor } = await startRedisWithAdmin()
  const store = await openRedis({ url: server.url, options: { consistency: 'strict' } })
  await admin.replicaof('127.0.0.1', successor.port)
  const error = await store.announce(['s3cret']).catch((error) => error)
  expect(error).toMatchObject({ code: 'CACHE_UNAVAILABLE', cause: { message: expect.stringContaining('READONLY') } })
  expect(inspect(error, { depth: null })).not.toContain('s3cret')
  await store.remove(['s3cret'])
})

const NEEDED_RIGHTS = ['+get', '+set', '+unlink', '+eval', '+evalsha', '+info', '+scan', '+time', '+ping', '+select']

/** Starts a Redis with a user who has these rights, and returns the URL for this user. */
async function redisOfUser(rights: string[]): Promise<string> {
  const { server, admin } = await startRedisWithAdmin()
  await admin.call('ACL', 'SETUSER', 'agent', 'reset', 'on', '>secret', '~*', ...rights)
  return `redis://agent:secret@127.0.0.1:${server.port}`
}

it.each(['unlink', 'scan', 'info', 'time'])(
  'open() names the command %s if the user lacks the right to it',
  async (missing) => {
    const url = await redisOfUser(NEEDED_RIGHTS.filter((right) => right !== `+${missing}`))
    await expect(RedisCacheStore.open(redisConfig({ url }))).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
      message: expect.stringContaining(missing),
    })
  },
)

it('open() accepts a user who has the needed rights alone', async () => {
  const store = await openRedis({ url: await redisOfUser(NEEDED_RIGHTS) })
  expect(store.stats().breaker).toBe('closed')
})

it('ping() says why Redis cannot be reached, and not the password that Redis refuses', async () => {
  const { server, admin } = await startRedisWithAdmin(['--user', 'agent', 'on', '>s3cret', '~*', '+@all'])
  const store = await openRedis({ url: `redis://agent:s3cret@127.0.0.1:${server.port}` })
  await admin.call('ACL', 'SETUSER', 'agent', 'resetpass', '>another')
  await admin.call('CLIENT', 'KILL', 'USER', 'agent')
  const reason = () => store.ping().catch((error) => inspect(error, { depth: null }))
  await expect.poll(reason, { timeout: 5000 }).toContain('cannot be reached: The connection was closed')
  await expect.poll(reason, { timeout: 5000 }).toContain('cannot be reached: WRONGPASS')
  expect(await reason()).not.toContain('s3cret')
})
