import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage } from 'holdfast'
import { expect, test } from 'vitest'
import { freshDirectory, freshPostgres, sharedDatabases } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { quiet } from '../setup/silent.ts'

const HOUR = 3_600_000
const retention = { events: '7d' }
const old = () => ({ type: 't', occurredAt: new Date(Date.now() - 100 * 24 * HOUR) })
const many = (count: number) => Array.from({ length: count }, old)

test('prune() ends with its signal, and goes on when it is called again', async () => {
  await using storage = await openStorage({ retention }, quiet)
  await storage.events.append(many(300))
  const controller = new AbortController()
  const aborted = storage.prune({ signal: controller.signal, onProgress: () => controller.abort('enough') })
  await expect(aborted).rejects.toMatchObject({ code: 'ABORTED', cause: 'enough' })
  const { total } = await storage.prune()
  expect(total).toBeGreaterThan(0)
  expect(total).toBeLessThan(300)
  await expect(storage.prune({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' })
})

test('prune() rejects input that is not valid, and a call inside a transaction', async () => {
  await using storage = await openStorage({ retention }, quiet)
  await storage.events.append(old())
  const refused = (call: Promise<unknown>, path: string) =>
    expect(call).rejects.toMatchObject({ code: 'INVALID_INPUT', message: expect.stringContaining(path) })
  await refused(storage.prune({ dryRun: 'yes' as unknown as boolean }), 'options.dryRun')
  await refused(storage.prune({ onProgress: 1 as unknown as () => void }), 'options.onProgress')
  await refused(storage.prune({ signal: 1 as unknown as AbortSignal }), 'options.signal')
  await refused(storage.prune({ force: true } as object), 'options.force')
  await expect(storage.transaction(() => storage.prune())).rejects.toMatchObject({ code: 'TRANSACTION_MISUSE' })
  expect((await storage.prune({ dryRun: true })).total).toBe(1)
})

test('prune() removes nothing without a retention', async () => {
  await using storage = await openStorage({}, quiet)
  await storage.events.append(old())
  expect(await storage.prune()).toEqual({ rows: {}, total: 0 })
  expect((await storage.maintain()).map(({ step }) => step)).not.toContain('retention')
})

test('prune() refuses a second call while one is under way', async () => {
  await using storage = await openStorage({ retention }, quiet)
  await storage.events.append(many(300))
  const first = storage.prune()
  await expect(storage.prune()).rejects.toMatchObject({
    code: 'INVALID_STATE',
    message: expect.stringMatching(/ended without a word.*ten minutes/), // so it may be nobody
    retryable: true,
  })
  expect((await first).total).toBe(300)
})

test('prune() waits no longer than any call for a connection', async () => {
  const database = {
    type: 'postgres' as const,
    url: await freshPostgres(),
    maxConnections: 1,
    connectionTimeoutMillis: 2000,
  }
  await using storage = await openStorage({ database, retention }, quiet)
  let end = () => {}
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  const holding = storage.transaction(async (tx) => {
    await tx.kv.get('k')
    await ended
  })
  const begun = performance.now()
  await expect(storage.prune()).rejects.toMatchObject({ code: 'TIMEOUT' })
  expect(performance.now() - begun).toBeLessThan(3500)
  end()
  await holding
})

test('close() between two rounds of maintenance leaves the rest to others', async () => {
  const config = { database: { type: 'sqlite' as const, path: join(freshDirectory(), 'agent.db') }, retention }
  const first = await openStorage(config, quiet)
  await first.events.append(many(1000))
  const { now } = performance
  let at = performance.now()
  performance.now = () => (at += 10_000) // a round works for half a minute
  await first.maintain().finally(() => Object.assign(performance, { now }))
  await first.close()
  await using second = await openStorage(config, quiet)
  expect((await second.events.list({ limit: 1 })).items).toHaveLength(1)
  expect((await second.prune()).total).toBeGreaterThan(0)
})

test.each(sharedDatabases)('on %s, close() ends a prune() between two transactions', async (_, configure) => {
  const database = await configure()
  const storage = await openStorage({ database, retention }, quiet)
  for (let i = 0; i < 3; i++) await storage.events.append(many(1000))
  let closed: Promise<void> | undefined
  const onProgress = () => {
    closed ??= storage.close()
  }
  const pruned = storage.prune({ onProgress })
  await expect(pruned).rejects.toMatchObject({ code: 'CLOSED' })
  await closed
  await using again = await openStorage({ database, retention }, quiet)
  expect((await again.prune()).total).toBeGreaterThan(1000) // at once: the lease was given up
})

test.each(sharedDatabases)(
  'on %s, another instance goes on after the one that was at it was killed',
  { timeout: 60_000 },
  async (_, configure) => {
    const config = { database: await configure(), retention }
    let later = 0
    await using storage = await openStorage(config, { ...quiet, now: () => new Date(Date.now() + later) })
    for (let i = 0; i < 20; i++) await storage.events.append(many(1000))
    const script = runScript<{ ready?: boolean }>('test/retention/programs/prune.ts', [JSON.stringify(config)])
    await script.next()
    script.send('go')
    const countNow = async () => (await storage.stats()).database.rows.events
    while ((await countNow()) === 20_000) await sleep(5)
    await script.kill()
    expect(await countNow()).toBeGreaterThan(0)
    await expect(storage.prune()).rejects.toMatchObject({ code: 'INVALID_STATE', retryable: true })
    expect((await storage.maintain()).find(({ step }) => step === 'retention')).toMatchObject({ removed: 0 })
    later = HOUR / 6
    expect((await storage.prune()).total).toBeGreaterThan(0)
    expect(await countNow()).toBe(0)
  },
)
