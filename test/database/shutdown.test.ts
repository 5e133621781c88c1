import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { openStorage, type StorageConfig } from 'holdfast'
import { expect, test } from 'vitest'
import { signal, times } from '../../src/testing/contract.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { quiet } from '../setup/silent.ts'
import { type Acknowledged, violations } from './acknowledged.ts'
import { outcomes } from './drivers.ts'

const databases: [string, () => StorageConfig['database'] | Promise<StorageConfig['database']>][] = [
  ['in memory', () => ({ type: 'in-memory' })],
  ['SQLite', () => ({ type: 'sqlite', path: join(freshDirectory(), 'shutdown.db') })],
  ['PostgreSQL', async () => ({ type: 'postgres', url: await freshPostgres(), maxConnections: 3 })],
]

test.each(databases.slice(1))(
  'close() on SIGTERM lets calls in flight finish and the process end, on %s',
  async (_, configure) => {
    const config = { database: await configure() }
    const script = runScript<Acknowledged & { refused?: string }>('test/database/programs/work-until-told.ts', [
      JSON.stringify(config),
      'p',
    ])
    await script.next(({ counted = 0 }) => counted >= 5)
    expect(await script.kill('SIGTERM')).toEqual({ code: 0, signal: null })
    expect(script.output).not.toMatch(/error/i)
    // Each of the four workers finished its call in flight, and its next call was rejected.
    expect(script.messages.flatMap(({ refused = [] }) => refused)).toEqual(times(4, () => 'CLOSED'))
    await using storage = await openStorage(config, quiet)
    const acknowledged = script.messages.filter(({ refused }) => refused === undefined)
    expect(await violations(storage, 'p', acknowledged)).toEqual([])
    const finished = acknowledged.filter(({ transaction }) => transaction !== undefined).length
    expect(await storage.lists.length('transactions')).toBe(finished)
  },
)

test.each(databases)('close() waits for calls in flight and rejects later calls, on %s', async (_, configure) => {
  const config = { database: await configure() }
  const storage = await openStorage(config, quiet)
  const { reached, reach } = signal()
  const inFlight = [
    storage.transaction(async (tx) => {
      await tx.kv.set('in transaction', 1)
      await reached
      await tx.transaction((nested) => nested.kv.set('nested', 2))
      return tx.kv.set('in transaction', 3)
    }),
    ...times(20, (i) => storage.kv.set(`key ${i}`, i)),
  ]
  let closed = false
  const closing = storage.close().then(() => {
    closed = true
  })
  await setImmediate()
  const late = [
    storage.kv.get('key 1'),
    storage.kv.set('late', 1),
    storage.transaction(async () => {}),
    storage.sessions.list(),
  ]
  expect(await outcomes(late)).toEqual(times(4, () => 'CLOSED'))
  expect(closed).toBe(false)
  reach()
  expect(await outcomes(inFlight)).toEqual(times(21, () => 'ok'))
  await closing
  await Promise.all([storage.close(), storage.close()])
  expect((await storage.health()).ok).toBe(false)

  if (config.database?.type === 'in-memory') return
  await using again = await openStorage(config, quiet)
  expect(await again.kv.getMany(['in transaction', 'nested', 'key 19', 'late'])).toEqual(
    new Map([
      ['in transaction', 3],
      ['nested', 2],
      ['key 19', 19],
    ]),
  )
})

test('close() rejects in a transaction of the same storage', async () => {
  await using storage = await openStorage({}, quiet)
  const closing = storage.transaction(() => storage.close())
  await expect(closing).rejects.toMatchObject({ code: 'TRANSACTION_MISUSE' })
  await storage.kv.set('key', 1)
})
