import { openStorage, type Storage } from 'holdfast'
import postgres from 'postgres'
import { expect, inject, test } from 'vitest'
import { freshPostgres, redisPrefix } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { quiet } from '../setup/silent.ts'

const HOUR = 3_600_000

interface Seen {
  seen: number
  lastActiveAt: string
  logged: string[]
}

test.each([
  ['ahead', 2 * HOUR],
  ['behind', -2 * HOUR],
])('maintain() of an instance whose clock is two hours %s removes nothing that has not expired', async (_, offset) => {
  const url = await freshPostgres()
  await using storage = await openStorage({ database: { type: 'postgres', url } }, quiet)
  const expiresAt = new Date(Date.now() + HOUR)
  await storage.sessions.create({ id: 's', title: 'alive', expiresAt })
  await storage.messages.append('s', { role: 'user', content: 'first' })
  await storage.kv.set('k', 1, { ttlSeconds: 3600 })

  const args = [url, 's', String(offset)]
  const [skewed] = await runScript<Seen>('test/repositories/programs/skewed.ts', args).finished()

  expect(await storage.sessions.get('s')).toMatchObject({ title: 'alive', expiresAt })
  expect(await storage.messages.list('s')).toMatchObject({ items: [{ content: 'first' }, { seq: 2 }] })
  expect(await storage.kv.get('k')).toBe(1)
  // The server's clock sets the times, and they never go backwards.
  expect(Math.abs(new Date(String(skewed?.lastActiveAt)).getTime() - Date.now())).toBeLessThan(60_000)
  expect(skewed?.logged.join()).toContain('clock')
})

/** Lets `set` put the clock of the server ahead, for the sessions of one database that begin later. */
async function settableClock(url: string) {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  const set = async (ahead: string) =>
    void (await sql.unsafe(`create or replace function clock_timestamp() returns timestamptz language sql
      as $$ select pg_catalog.clock_timestamp() + interval '${ahead}' $$`))
  await set('0')
  const [{ name }] = await sql<[{ name: string }]>`select current_database() as name`
  await sql.unsafe(`alter database ${name} set search_path = public, pg_catalog`)
  return { set, [Symbol.asyncDispose]: () => sql.end() }
}

/** Runs calls while the clock of this machine is set ahead, or back if `millis` is less than 0. */
async function whileSet<T>(millis: number, calls: () => Promise<T>): Promise<T> {
  const { now } = Date
  Date.now = () => now() + millis
  try {
    return await calls()
  } finally {
    Date.now = now
  }
}

test.each([
  ['ahead', 2 * HOUR],
  ['back', -2 * HOUR],
])('an instance whose clock is set two hours %s while it runs keeps the time of the server', async (_, offset) => {
  const logged: string[] = []
  const log = (message: string) => void logged.push(message)
  const config = {
    database: { type: 'postgres' as const, url: await freshPostgres() },
    cache: { type: 'redis' as const, url: inject('redisUrl'), options: { keyPrefix: redisPrefix() } },
    blobStore: { type: 'database' as const },
  }
  await using storage = await openStorage(config, quiet)
  await using wrong = await openStorage(config, { ...quiet, logger: { info: log, warn: log, error: log } })
  const expiresAt = new Date(Date.now() + HOUR)
  await storage.sessions.create({ id: 's', expiresAt })
  await storage.kv.set('lock', 'held', { ttlSeconds: 3600 })
  await storage.kv.set('read', 1, { ttlSeconds: 3600 })
  const blob = await storage.blobs.put(Buffer.from('bytes'), { expiresAt })
  await storage.queues.push('s', 'leased', { id: 'a' })
  await storage.queues.push('s', 'free', { id: 'a' })
  await storage.queues.take('s', 'leased', { leaseSeconds: 3600 })

  await whileSet(offset, async () => {
    expect(await wrong.kv.get('read')).toBe(1)
    expect(await wrong.kv.setIfAbsent('lock', 'stolen')).toMatchObject({ inserted: false })
    expect(await wrong.sessions.get('s')).toMatchObject({ id: 's' })
    expect(await wrong.queues.take('s', 'leased', { leaseSeconds: 60 })).toEqual([])
    expect(await wrong.blobs.cleanup()).toEqual({ removed: 0, bytes: 0 })
    await wrong.kv.set('written', 1, { ttlSeconds: 3600 })
    expect(await wrong.queues.take('s', 'free', { leaseSeconds: 60 })).toHaveLength(1)
    await expect.poll(() => logged.join()).toContain('clock of this machine is 7200 s')
  })
  expect(await storage.kv.get('read')).toBe(1)
  expect(await storage.kv.get('lock')).toBe('held')
  expect(await storage.kv.get('written')).toBe(1)
  expect(await storage.sessions.get('s')).toMatchObject({ id: 's' })
  expect(await storage.blobs.text(blob.id)).toBe('bytes')
  expect(await storage.queues.take('s', 'free', { leaseSeconds: 60 })).toEqual([])
})

test('an instance removes nothing that is alive after the clock of the server was set two hours back', async () => {
  const url = await freshPostgres()
  const config = {
    database: { type: 'postgres' as const, url },
    blobStore: { type: 'database' as const },
    retention: { events: '1h' },
  }
  await using sql = await settableClock(url)
  await using storage = await openStorage(config, quiet)
  const expiresAt = new Date(Date.now() + HOUR)
  for (const id of ['kept', 'created', 'appended']) {
    await storage.sessions.create({ id, title: 'alive', expiresAt })
    await storage.messages.append(id, { role: 'user', content: 'first' })
  }
  await storage.kv.set('k', 1, { ttlSeconds: 3600 })
  await storage.events.append({ type: 't' })
  const blob = await storage.blobs.put(Buffer.from('bytes'), { expiresAt })
  /** Calls on an instance that was opened before the clock was set back, and whose own clock is as far ahead. */
  const ahead = async <T>(call: (instance: Storage) => Promise<T>) => {
    await sql.set('2 hours')
    await using instance = await openStorage(config, quiet)
    await sql.set('0')
    return await call(instance)
  }
  expect((await ahead((instance) => instance.maintain())).map(({ removed }) => removed)).not.toContain(1)
  expect((await ahead((instance) => instance.prune())).total).toBe(0)
  expect(await ahead((instance) => instance.blobs.cleanup())).toEqual({ removed: 0, bytes: 0 })
  const wasAhead = { code: 'DATABASE_FAILED', retryable: true, message: expect.stringContaining('clock') }
  await expect(ahead((instance) => instance.sessions.create({ id: 'created' }))).rejects.toMatchObject(wasAhead)
  const message = { role: 'user' as const, content: 'second' }
  await ahead(async (instance) => {
    await expect(instance.messages.append('appended', message)).rejects.toMatchObject(wasAhead)
    await instance.messages.append('appended', message)
  })
  for (const id of ['kept', 'created', 'appended']) {
    expect(await storage.sessions.get(id)).toMatchObject({ title: 'alive', expiresAt })
    expect((await storage.messages.list(id)).items[0]).toMatchObject({ seq: 1, content: 'first' })
  }
  expect(await storage.kv.get('k')).toBe(1)
  expect((await storage.events.list()).items).toHaveLength(1)
  expect(await storage.blobs.text(blob.id)).toBe('bytes')
})

test('maintain() leaves what has just expired, because the clock of another instance may be behind', async () => {
  let now = Date.now()
  const options = { ...quiet, now: () => new Date(now) }
  await using storage = await openStorage({}, options)
  await storage.kv.set('k', 1, { ttlSeconds: 60 })
  await storage.sessions.create({ id: 's', expiresAt: new Date(now + 60_000) })
  const removed = async () => (await storage.maintain()).reduce((sum, report) => sum + report.removed, 0)
  now += 61_000
  expect(await storage.kv.get('k')).toBeUndefined()
  expect(await removed()).toBe(0)
  now += 300_000
  expect(await removed()).toBe(2)
})

test('append() and pop() never set lastActiveAt back', async () => {
  let now = Date.now()
  await using storage = await openStorage({}, { ...quiet, now: () => new Date(now) })
  await storage.messages.append('s', { role: 'user', content: '1' })
  const before = (await storage.sessions.summary('s'))?.lastActiveAt
  now -= HOUR
  await storage.messages.append('s', { role: 'user', content: '2' })
  await storage.messages.pop('s')
  expect((await storage.sessions.summary('s'))?.lastActiveAt).toEqual(before)
})

test('take() takes an item whose lease was given while the clock was a year ahead', async () => {
  let now = Date.now() + 365 * 24 * HOUR
  await using storage = await openStorage({}, { ...quiet, now: () => new Date(now) })
  await storage.queues.push('s', 'q', { id: 'a' })
  const take = (leaseSeconds: number) => storage.queues.take('s', 'q', { leaseSeconds })
  await take(60)
  now -= 365 * 24 * HOUR
  expect(await take(86_400)).toMatchObject([{ item: { id: 'a' }, attempt: 2 }])
  now -= HOUR // the longest lease holds, also for a clock that is a little behind
  expect(await take(60)).toEqual([])
})
