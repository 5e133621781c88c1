import { setTimeout as sleep } from 'node:timers/promises'
import type { Storage, StorageConfig } from 'holdfast'
import { openStorage } from 'holdfast'
import postgres from 'postgres'
import { describe, expect, inject, onTestFinished, test, vi } from 'vitest'
import { type Link, startLink } from '../../database/link.ts'
import { freshPostgres } from '../../setup/databases.ts'
import { startPgBouncer } from '../../setup/pgbouncer.ts'
import { quiet } from '../../setup/silent.ts'
import { open } from './storages.ts'

/** Longer than any test: no entry of these caches expires. */
const ttlSeconds = 600
/** How old a row may be at most, by the promise of the cache. */
const BOUND_MILLIS = 2000
/** More than a busy machine needs until a notice has come, and less than any entry lives: an absent row for 30 s. */
const EVENTUALLY = { timeout: 20_000, interval: 20 }

const notifying = (url: string, options: { listenUrl?: string } = {}): StorageConfig => ({
  database: { type: 'postgres', url },
  cache: { type: 'in-memory', options: { ttlSeconds, invalidation: 'notify', ...options } },
})

/** The same without notices: the naive variant. */
const naive = (url: string): StorageConfig => ({
  database: { type: 'postgres', url },
  cache: { type: 'in-memory', options: { ttlSeconds } },
})

/** A connection of the test's own. */
function client(url: string): postgres.Sql {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  onTestFinished(() => sql.end())
  return sql
}

const channelOf = async (sql: postgres.Sql) =>
  sql<{ value: string }[]>`select value from properties where name = 'id'`.then(([row]) => `holdfast_${row?.value}`)

/** Collects the notices that the storages of a database send to each other. */
async function noticesOn(url: string): Promise<unknown[]> {
  const notices: unknown[] = []
  await client(url).listen(await channelOf(client(url)), (payload) => notices.push(JSON.parse(payload)))
  return notices
}

/** Starts a link to the database. Returns it with the address through it. */
async function linkTo(url: string): Promise<{ link: Link; listenUrl: string }> {
  const link = await startLink(Number(new URL(inject('postgresUrl')).port))
  const { href: listenUrl } = Object.assign(new URL(url), { hostname: '127.0.0.1', port: String(link.port) })
  return { link, listenUrl }
}

/** Opens a storage on a link that can freeze its listener. */
async function openBehindLink(url: string): Promise<{ storage: Storage; link: Link }> {
  const { link, listenUrl } = await linkTo(url)
  return { storage: await open(notifying(url, { listenUrl })), link }
}

const loadsOf = async (storage: Storage) => (await storage.stats()).cache.loads

/** Waits until the cache answers reads of a row again. Returns what it answers. */
const cachesAgain = (storage: Storage, read: () => unknown = () => storage.kv.get('k')) =>
  vi.waitFor(async () => {
    const before = await loadsOf(storage)
    await read()
    const value = await read()
    expect(await loadsOf(storage)).toBeLessThanOrEqual(before + 1)
    return value
  }, EVENTUALLY)

/** Reads a key until it has the value `wanted`. Fails if an older value is read after the bound. */
async function readUntil(storage: Storage, wanted: number, writtenAt: number): Promise<void> {
  for (;;) {
    const age = performance.now() - writtenAt
    const value = await storage.kv.get('k')
    if (value === wanted) return
    expect(age).toBeLessThan(BOUND_MILLIS)
    await sleep(5)
  }
}

interface Change {
  /** Makes the row that is read. */
  before?: (storage: Storage) => Promise<unknown>
  change: (storage: Storage) => Promise<unknown>
  read: (storage: Storage) => Promise<unknown>
}

const title = async ({ sessions }: Storage) => (await sessions.get('s'))?.title
const create = ({ sessions }: Storage) => sessions.create({ id: 's', title: 'old' })
const changes: [name: string, change: Change][] = [
  ['kv.set()', { change: ({ kv }) => kv.set('k', 2), read: ({ kv }) => kv.get('k') }],
  [
    'kv.delete()',
    { before: ({ kv }) => kv.set('k', 1), change: ({ kv }) => kv.delete('k'), read: ({ kv }) => kv.get('k') },
  ],
  ['sessions.create()', { change: create, read: title }],
  [
    'sessions.update()',
    { before: create, change: ({ sessions }) => sessions.update('s', { title: 'new' }), read: title },
  ],
  ['sessions.delete(), a batch', { before: create, change: ({ sessions }) => sessions.delete('s'), read: title }],
  [
    'sessions.mergeMetadata(), a transaction',
    {
      before: create,
      change: ({ sessions }) => sessions.mergeMetadata('s', { mood: 'curious' }),
      read: async ({ sessions }) => (await sessions.get('s'))?.metadata,
    },
  ],
  [
    'messages.append() to a new session',
    { change: ({ messages }) => messages.append('s', { role: 'user', content: 'Hello' }), read: title },
  ],
  [
    'transaction() with a savepoint',
    {
      change: (storage) => storage.transaction((tx) => tx.transaction((inner) => inner.kv.set('k', 2))),
      read: ({ kv }) => kv.get('k'),
    },
  ],
]

describe("invalidation: 'notify'", () => {
  test.each(changes)('%s reaches the cache of another instance, and not one without notices', async (_, change) => {
    const url = await freshPostgres()
    const [writer, reader, other] = [await open(notifying(url)), await open(notifying(url)), await open(naive(url))]
    await change.before?.(writer)
    const old = await change.read(other)
    await vi.waitFor(async () => expect(await change.read(reader)).toEqual(old), EVENTUALLY)
    await change.change(writer)
    const changed = await change.read(writer)
    expect(changed).not.toEqual(old)
    await vi.waitFor(async () => expect(await change.read(reader)).toEqual(changed), EVENTUALLY)
    expect(await change.read(other)).toEqual(old)
  })

  test('a transaction that is rolled back sends nothing', async () => {
    const url = await freshPostgres()
    const [writer, reader] = [await open(notifying(url)), await open(notifying(url))]
    await writer.kv.set('k', 1)
    await vi.waitFor(async () => expect(await reader.kv.get('k')).toBe(1), EVENTUALLY)
    const notices = await noticesOn(url)
    const failing = writer.transaction(async (tx) => {
      await tx.kv.set('k', 2)
      throw new Error('no')
    })
    await expect(failing).rejects.toThrow('no')
    await writer.kv.set('later', 1)
    await vi.waitFor(() => expect(notices).not.toEqual([]), EVENTUALLY)
    expect(notices).toEqual([{ kv: ['later'] }])
    expect(await reader.kv.get('k')).toBe(1)
  })

  test('an append sends a notice only if this process does not know the session', async () => {
    const url = await freshPostgres()
    const [writer, remover, reader] = [
      await open(notifying(url)),
      await open(notifying(url)),
      await open(notifying(url)),
    ]
    const notices = await noticesOn(url)
    for (let i = 0; i < 3; i++) await writer.messages.append('s', { role: 'user', content: `${i}` })
    await remover.sessions.delete('s')
    await vi.waitFor(async () => expect(await reader.sessions.get('s')).toBeUndefined(), EVENTUALLY)
    const rows = { sessions: ['s'], approvalStates: ['s'], toolPreferences: ['s'] }
    await vi.waitFor(() => expect(notices).toEqual([rows, rows]), EVENTUALLY)
    expect(await cachesAgain(reader, () => reader.sessions.get('s'))).toBeUndefined()
    await writer.messages.append('s', { role: 'user', content: 'it creates the session again' })
    await vi.waitFor(async () => expect(await reader.sessions.get('s')).toBeDefined(), EVENTUALLY)
  })

  test('a transaction whose keys exceed a payload names the table alone, and reaches every key', async () => {
    const url = await freshPostgres()
    const [writer, reader] = [await open(notifying(url)), await open(notifying(url))]
    const notices = await noticesOn(url)
    const keys = Array.from({ length: 100 }, (_, i) => `${i}${'k'.repeat(100)}`)
    for (const key of keys) expect(await reader.kv.get(key)).toBeUndefined()
    await writer.transaction(async (tx) => {
      for (const key of keys) await tx.kv.set(key, 1)
    })
    await vi.waitFor(() => expect(notices).toEqual([{ kv: null }]), EVENTUALLY)
    for (const key of keys) await vi.waitFor(async () => expect(await reader.kv.get(key)).toBe(1), EVENTUALLY)
  })

  test('a notice that cannot be read invalidates everything', async () => {
    const url = await freshPostgres()
    const reader = await open(notifying(url))
    const sql = client(url)
    await vi.waitFor(async () => {
      await reader.kv.set('k', 1)
      await cachesAgain(reader)
      await sql`update kv set value = '2'`
      expect(await reader.kv.get('k')).toBe(1)
    }, EVENTUALLY)
    await sql.notify(await channelOf(sql), 'what a later version may send')
    await vi.waitFor(async () => expect(await reader.kv.get('k')).toBe(2), EVENTUALLY)
  })

  test('a storage with one connection has a listener beside it', async () => {
    const { database, ...rest } = notifying(await freshPostgres())
    const storage = await open({ ...rest, database: { ...database, maxConnections: 1 } as StorageConfig['database'] })
    await storage.kv.set('k', 1)
    await cachesAgain(storage)
    expect(await storage.kv.get('k')).toBe(1)
  })
})

describe('while notices are lost', () => {
  test('a listener whose backend is terminated never leaves a row older than 2 s, and comes back', async () => {
    const url = await freshPostgres()
    const [writer, reader] = [await open(notifying(url)), await open(notifying(url))]
    const sql = client(url)
    for (let i = 1; i <= 3; i++) {
      await writer.kv.set('k', 2 * i)
      await readUntil(reader, 2 * i, performance.now())
      await cachesAgain(reader)
      const [ended] = await sql`select count(pg_terminate_backend(pid))::int as listeners from pg_stat_activity
        where datname = current_database() and query like 'LISTEN%'`
      expect(ended?.listeners).toBeGreaterThan(0)
      await writer.kv.set('k', 2 * i + 1)
      await readUntil(reader, 2 * i + 1, performance.now())
      expect(await cachesAgain(reader)).toBe(2 * i + 1)
    }
  })

  test('a frozen listener never leaves a row older than 2 s, its reads bypass the cache, and it comes back', async () => {
    const url = await freshPostgres()
    const writer = await open(notifying(url))
    const { storage: reader, link } = await openBehindLink(url)
    await writer.kv.set('k', 1)
    await readUntil(reader, 1, performance.now())
    await cachesAgain(reader)
    link.freeze()
    await writer.kv.set('k', 2)
    await readUntil(reader, 2, performance.now())
    for (let i = 3; i < 10; i++) {
      await writer.kv.set('k', i)
      expect(await reader.kv.get('k')).toBe(i)
      await sleep(300)
    }
    link.thaw()
    expect(await cachesAgain(reader)).toBe(9)
    await writer.kv.set('k', 10)
    await vi.waitFor(async () => expect(await reader.kv.get('k')).toBe(10), EVENTUALLY)
  })

  test('a machine that was suspended trusts nothing that it had cached', async () => {
    const url = await freshPostgres()
    const writer = await open(notifying(url))
    const { storage: reader, link } = await openBehindLink(url)
    await writer.kv.set('k', 1)
    await readUntil(reader, 1, performance.now())
    await cachesAgain(reader)
    link.freeze()
    await writer.kv.set('k', 2)
    const { now } = Date
    vi.spyOn(Date, 'now').mockImplementation(() => now() + 60_000) // the monotonic clock stands still meanwhile
    onTestFinished(() => void vi.restoreAllMocks())
    expect(await reader.kv.get('k')).toBe(2)
  })

  test('close() ends although the listener is frozen, and although it is about to connect', async () => {
    const url = await freshPostgres()
    for (const millis of [0, 6000]) {
      const { link, listenUrl } = await linkTo(url)
      const storage = await openStorage(notifying(url, { listenUrl }), quiet)
      link.freeze()
      await sleep(millis)
      const begun = performance.now()
      await storage.close()
      expect(performance.now() - begun).toBeLessThan(5000) // a half second, on a machine ten times slower
    }
  })
})

describe('behind PgBouncer in transaction mode', () => {
  test('the notices are refused with the remedy, and work with listenUrl', async () => {
    const direct = await freshPostgres()
    const writer = await open(notifying(direct))
    const pooler = await startPgBouncer(direct)
    onTestFinished(() => pooler.stop())
    const behind = (listenUrl?: string): StorageConfig => ({
      ...notifying(direct, { ...(listenUrl && { listenUrl }) }),
      database: {
        type: 'postgres',
        url: pooler.url,
        connectionTimeoutMillis: listenUrl ? 10_000 : 5000,
        options: { prepare: false },
      },
    })
    await expect(openStorage(behind(), quiet)).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
      message: expect.stringContaining('listenUrl'),
    })
    const reader = await open(behind(direct))
    await writer.kv.set('k', 1)
    await vi.waitFor(async () => expect(await reader.kv.get('k')).toBe(1), EVENTUALLY)
    await reader.kv.set('k', 2)
    await vi.waitFor(async () => expect(await writer.kv.get('k')).toBe(2), EVENTUALLY)
  })
})
