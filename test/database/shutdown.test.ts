import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { openStorage, type StorageConfig } from 'holdfast'
import { expect, test } from 'vitest'
import { times } from '../../src/testing/contract.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { quiet } from '../setup/silent.ts'
import { type Acknowledged, amiss } from './acknowledged.ts'
import { outcomes } from './drivers.ts'

const databases: [string, () => StorageConfig['database'] | Promise<StorageConfig['database']>][] = [
  ['in memory', () => ({ type: 'in-memory' })],
  ['SQLite', () => ({ type: 'sqlite', path: join(freshDirectory(), 'shutdown.db') })],
  ['PostgreSQL', async () => ({ type: 'postgres', url: await freshPostgres(), maxConnections: 3 })],
]

test.each(databases.slice(1))(
  '%s: a program that closes on SIGTERM finishes what it began, and ends',
  async (_, configure) => {
    const config = { database: await configure() }
    const script = runScript<Acknowledged & { refused?: string }>('test/database/programs/work-until-told.ts', [
      JSON.stringify(config),
      'p',
    ])
    await script.next(({ counted = 0 }) => counted >= 5)
    expect(await script.kill('SIGTERM')).toEqual({ code: 0, signal: null })
    expect(script.output).not.toMatch(/error/i)
    // Each of the four was in the middle of something, and could finish it.
    expect(script.messages.flatMap(({ refused = [] }) => refused)).toEqual(times(4, () => 'CLOSED'))
    await using storage = await openStorage(config, quiet)
    const acknowledged = script.messages.filter(({ refused }) => refused === undefined)
    expect(await amiss(storage, 'p', acknowledged)).toEqual([])
    const finished = acknowledged.filter(({ transaction }) => transaction !== undefined).length
    expect(await storage.lists.length('transactions')).toBe(finished)
  },
)

test.each(databases)('%s: closing waits for what is under way and refuses what comes then', async (_, configure) => {
  const config = { database: await configure() }
  const storage = await openStorage(config, quiet)
  let continued = () => {}
  const held = new Promise<void>((resolve) => {
    continued = resolve
  })
  const underWay = [
    storage.transaction(async (tx) => {
      await tx.kv.set('in transaction', 1)
      await held
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
  continued()
  expect(await outcomes(underWay)).toEqual(times(21, () => 'ok'))
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

test('a transaction cannot close the storage that waits for it', async () => {
  await using storage = await openStorage({}, quiet)
  const closing = storage.transaction(() => storage.close())
  await expect(closing).rejects.toMatchObject({ code: 'TRANSACTION_MISUSE' })
  await storage.kv.set('key', 1)
})
