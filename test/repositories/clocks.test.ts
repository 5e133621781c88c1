import { openStorage } from 'holdfast'
import { expect, test } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
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

test('an instance whose clock is set two hours ahead after it was opened removes nothing that is alive', async () => {
  const url = await freshPostgres()
  const config = { database: { type: 'postgres' as const, url }, retention: { events: '1h' } }
  await using storage = await openStorage(config, quiet)
  await using other = await openStorage(config, quiet)
  const expiresAt = new Date(Date.now() + HOUR)
  for (const id of ['kept', 'created', 'appended']) {
    await storage.sessions.create({ id, title: 'alive', expiresAt })
    await storage.messages.append(id, { role: 'user', content: 'first' })
  }
  await storage.kv.set('k', 1, { ttlSeconds: 3600 })
  await storage.events.append({ type: 't' })
  /** Calls with a clock that nobody has corrected yet. */
  const ahead = async <T>(call: () => Promise<T>) => {
    const { now } = Date
    Date.now = () => now() + 2 * HOUR
    try {
      return await call()
    } finally {
      Date.now = now
      await storage.maintain() // corrects the clock
    }
  }
  expect((await ahead(() => storage.maintain())).map(({ removed }) => removed)).not.toContain(1)
  expect((await ahead(() => storage.prune())).total).toBe(0)
  const wasAhead = { code: 'DATABASE_FAILED', retryable: true, message: expect.stringContaining('clock') }
  await expect(ahead(() => storage.sessions.create({ id: 'created' }))).rejects.toMatchObject(wasAhead)
  const message = { role: 'user' as const, content: 'second' }
  await expect(ahead(() => storage.messages.append('appended', message))).rejects.toMatchObject(wasAhead)
  await storage.messages.append('appended', message)
  for (const id of ['kept', 'created', 'appended']) {
    expect(await other.sessions.get(id)).toMatchObject({ title: 'alive', expiresAt })
    expect((await other.messages.list(id)).items[0]).toMatchObject({ seq: 1, content: 'first' })
  }
  expect(await other.kv.get('k')).toBe(1)
  expect((await other.events.list()).items).toHaveLength(1)
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
