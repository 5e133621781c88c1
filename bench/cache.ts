import BetterSqlite3 from 'better-sqlite3'
import type { Session, Storage } from 'holdfast'
import { Redis } from 'ioredis'
import { type RedisServer, startRedis } from '../test/setup/servers.ts'
import { openBento } from './bentocache.ts'
import type { Way, Ways } from './harness.ts'
import type { Lab } from './lab.ts'
import { rawSqlite } from './raw-sqlite.ts'
import { comparison, type Result, type Row } from './row.ts'
import { UnmarkedStore } from './unmarked.ts'

const SESSION = { id: 'session', title: 'Reports', ownerId: 'ada', metadata: { topic: 'totals', tags: ['a', 'b'] } }
const COMMAND_TIMEOUT = 250
/** The rows that writes are spread over. All are cached before each sample. */
const KEYS = Array.from({ length: 100 }, (_, i) => `key ${i}`)

/**
 * Hits of `sessions.get`, against the minimum: fetching the same row as JSON and parsing it. Writes to cached rows,
 * against the same writes without marks.
 */
export const cacheRows: Row[] = [
  comparison({ name: 'memory cache, hit', target: { atMost: 1.3 }, peers: '', open: memoryHit }),
  comparison({ name: 'Redis cache, hit', target: { atMost: 1 / 0.9 }, peers: '', open: redisHit }),
  comparison({
    name: 'Redis cache, hit, 64 in flight',
    target: { atMost: 1 / 0.9 },
    peers: '',
    inFlight: 64,
    open: redisHit,
  }),
  ...[1, 16].map((inFlight) =>
    comparison({
      name: `Redis cache, kv.set, ${inFlight} in flight`,
      target: { atMost: 1.1 },
      inFlight,
      open: markedWrite,
    }),
  ),
  // No target: SQLite runs in this process, and Redis does not.
  comparison({ name: 'Redis cache, hit, instead of SQLite', target: {}, open: redisBeforeSqlite }),
  comparison({ name: 'Redis frozen, get, breaker open', target: { atMost: 1.1 }, open: frozen }),
  { name: 'Redis frozen, p99 until the breaker opens', target: { atMost: 1.1 }, run: untilOpen },
]

async function memoryHit(lab: Lab): Promise<Ways> {
  const storage = await lab.open({ database: { type: 'in-memory' } })
  const overSqlite = await lab.open({ database: { type: 'sqlite', path: lab.file() } })
  const session = await storage.sessions.create(SESSION)
  await overSqlite.sessions.create(SESSION)
  const map = new Map([[SESSION.id, JSON.stringify(session)]])
  const parse = (): Session => JSON.parse(map.get(SESSION.id) ?? '')
  const bento = await openBento('memory')
  return {
    ours: getter(storage),
    // Returns what we return: a session whose times are dates.
    baseline: { call: () => withDates(parse()) },
    others: {
      'dates left as text': { call: parse },
      'over SQLite': getter(overSqlite),
      ...(bento && { bentocache: { call: () => bento.getOrSet({ key: SESSION.id, factory: () => session }) } }),
    },
    close: async () => {
      await storage.close()
      await overSqlite.close()
      await bento?.disconnect()
    },
  }
}

async function redisHit(lab: Lab): Promise<Ways> {
  const server = await startRedis()
  const storage = await lab.open({ cache: { type: 'redis', url: server.url } })
  const session = await storage.sessions.create(SESSION)
  const redis = new Redis(server.url)
  await redis.set(SESSION.id, JSON.stringify(session))
  const bento = await openBento('redis', server.url)
  return {
    ours: getter(storage),
    baseline: { call: async () => withDates(JSON.parse((await redis.get(SESSION.id)) ?? '')) },
    others: bento && { bentocache: { call: () => bento.getOrSet({ key: SESSION.id, factory: () => session }) } },
    close: async () => {
      await storage.close()
      await bento?.disconnect()
      redis.disconnect()
      await server.stop()
    },
  }
}

async function markedWrite(lab: Lab): Promise<Ways> {
  const server = await startRedis()
  const ours = await lab.open({
    cache: { type: 'redis', url: server.url },
    database: { type: 'postgres', url: await lab.postgresUrl() },
  })
  const unmarked = await lab.open(
    { database: { type: 'postgres', url: await lab.postgresUrl() } },
    { cacheStore: new UnmarkedStore(new Redis(server.url, { enableAutoPipelining: true })) },
  )
  return {
    ours: await setter(ours),
    baseline: await setter(unmarked),
    close: async () => {
      await ours.close()
      await unmarked.close()
      await server.stop()
    },
  }
}

async function redisBeforeSqlite(lab: Lab): Promise<Ways> {
  const server = await startRedis()
  const path = lab.file()
  const storage = await lab.open({ cache: { type: 'redis', url: server.url }, database: { type: 'sqlite', path } })
  await storage.sessions.create(SESSION)
  const client = new BetterSqlite3(path, { readonly: true })
  const raw = rawSqlite(client)
  return {
    ours: getter(storage),
    baseline: { call: () => raw.session(SESSION.id) },
    close: async () => {
      client.close()
      await storage.close()
      await server.stop()
    },
  }
}

/** Compares a read through a frozen Redis, with the breaker open, to the summary, which is never cached. */
async function frozen(lab: Lab): Promise<Ways> {
  const { server, storage } = await openFrozen(lab)
  await Promise.all(Array.from({ length: 10 }, () => storage.sessions.get(SESSION.id)))
  return {
    ours: getter(storage),
    baseline: { call: () => storage.sessions.summary(SESSION.id) },
    close: async () => {
      server.thaw()
      await storage.close()
      await server.stop()
    },
  }
}

/**
 * Measures how long readers wait between the freeze and the opening of the breaker, as a multiple of the allowed wait.
 */
async function untilOpen(lab: Lab): Promise<Result> {
  const { server, storage } = await openFrozen(lab)
  const timed = async (work: () => Promise<unknown>) => {
    const begun = performance.now()
    await work()
    return performance.now() - begun
  }
  const database: number[] = []
  for (let i = 0; i < 200; i++) database.push(await timed(() => storage.sessions.summary(SESSION.id)))
  const waits: Promise<number>[] = []
  while ((await storage.stats()).cache.breaker === 'closed') waits.push(timed(() => storage.sessions.get(SESSION.id)))
  const bound = p99(database) + COMMAND_TIMEOUT
  const longest = p99(await Promise.all(waits))
  server.thaw()
  await storage.close()
  await server.stop()
  return { value: longest / bound, unit: 'x', micros: { ours: longest * 1000, baseline: bound * 1000 } }
}

async function openFrozen(lab: Lab): Promise<{ server: RedisServer; storage: Storage }> {
  const server = await startRedis()
  const storage = await lab.open({
    cache: { type: 'redis', url: server.url, options: { commandTimeoutMillis: COMMAND_TIMEOUT } },
    database: { type: 'postgres', url: await lab.postgresUrl() },
  })
  await storage.sessions.create(SESSION)
  server.freeze()
  return { server, storage }
}

function withDates(session: Session): Session {
  return { ...session, createdAt: new Date(session.createdAt), updatedAt: new Date(session.updatedAt) }
}

function getter(storage: Storage): Way {
  return { call: () => storage.sessions.get(SESSION.id) }
}

/** Writes to rows that are cached before each sample. */
async function setter({ kv }: Storage): Promise<Way> {
  const tidy = async () => void (await Promise.all(KEYS.map((key) => kv.get(key))))
  await Promise.all(KEYS.map((key) => kv.set(key, 0)))
  await tidy()
  return { call: (i) => kv.set(KEYS[i % KEYS.length] ?? '', i), tidy }
}

function p99(millis: number[]): number {
  return millis.toSorted((a, b) => a - b)[Math.floor(millis.length * 0.99)] ?? 0
}
