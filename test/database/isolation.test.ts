import { openStorage, type StorageConfig } from 'holdfast'
import { repositoryContract } from 'holdfast/testing'

import { describe, expect, it } from 'vitest'
import { times } from '../../src/testing/contract.ts'
import { freshPostgres } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'
import { outcomes } from './drivers.ts'

const configurations = ['repeatable read', 'serializable'].flatMap((isolation) =>
  [true, false].map((prepare) => ({ isolation, prepare })),
)

describe.each(configurations)('with default isolation $isolation and prepare: $prepare,', ({ isolation, prepare }) => {
  let url: Promise<string> | undefined
  const configure = async (): Promise<StorageConfig> => {
    url ??= freshPostgres({ default_transaction_isolation: isolation })
    return { database: { type: 'postgres', url: await url, options: { prepare } } }
  }
  const cases = repositoryContract(async (options) => openStorage(await configure(), { ...quiet, ...options }))
  for (const { name, run } of cases.filter((_, i) => i % rounds(32, 1) === 0)) it(name, run)

  it('no write fails because of a concurrent write', async () => {
    await using storage = await openStorage(await configure(), quiet)
    const calls = times(40, (i) => [
      storage.messages.append('shared', { role: 'user', content: String(i) }),
      storage.lists.update('shared', (items) => ({ items: [...items, i], result: i })),
      storage.kv.set('shared', i),
      storage.queues.push('shared', 'q', { id: String(i) }),
      storage.transaction((tx) => tx.lists.append('other', i)),
    ]).flat()
    expect(new Set(await outcomes(calls))).toEqual(new Set(['ok']))
    expect(await storage.lists.length('shared')).toBe(40)
  })
})

it('openStorage() migrates once when four storages open a new database at once with serializable isolation', async () => {
  const url = await freshPostgres({ default_transaction_isolation: 'serializable' })
  const database = { type: 'postgres', url } as const
  const storages = await Promise.all(times(4, () => openStorage({ database }, quiet)))
  await Promise.all(storages.map((storage) => storage.close()))
})
