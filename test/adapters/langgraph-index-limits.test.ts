import { openStorage } from 'holdfast'
import { HoldfastStore } from 'holdfast/langgraph'
import postgres from 'postgres'
import { expect, it } from 'vitest'
import { startLink, tripsOf } from '../database/link.ts'
import { freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { index } from './langgraph-embedder.ts'

it.each(['in-memory', 'postgres'] as const)('search() refuses to compare more than 20,000 items %s', async (type) => {
  const url = type === 'postgres' ? await freshPostgres() : ''
  await using storage = await openStorage({ database: type === 'postgres' ? { type, url } : { type } }, quiet)
  const items = storage.kv.namespace('langgraph', 'n')
  for (let part = 0; part <= 20; part++) {
    await items.setMany(Array.from({ length: part < 20 ? 1000 : 1 }, (_, n) => [`${part}/${n}`, { part }] as const))
  }
  if (type === 'postgres') {
    const sql = postgres(url)
    await sql`analyze kv` // as the server does by itself, later
    await sql.end()
  }
  const store = new HoldfastStore(storage, { index })
  await expect(store.search(['n'], { query: 'tea' })).rejects.toMatchObject({ code: 'INVALID_STATE' })
  expect(await store.search(['n'], { query: 'tea', filter: { part: { $lt: 20 } } })).toHaveLength(10)
})

it('put() and delete() take two round trips with an index, a search two for each 1000 items', async () => {
  const url = new URL(await freshPostgres())
  const link = await startLink(Number(url.port), { delayMillis: 10 })
  url.port = String(link.port)
  await using storage = await openStorage({ database: { type: 'postgres', url: url.href, maxConnections: 1 } }, quiet)
  const store = new HoldfastStore(storage, { index })
  const calls = {
    put: () => store.put(['a'], 'k', { n: 1 }),
    delete: () => store.delete(['a'], 'k'),
    'put of many': () =>
      store.batch(Array.from({ length: 500 }, (_, i) => ({ namespace: ['a'], key: `${i}`, value: { i } }))),
    query: () => store.search(['a'], { filter: { i: { $gte: 1 } }, query: 'tea' }),
    search: () => store.search(['a'], { filter: { i: { $gte: 1 } } }),
  }
  expect(await tripsOf(link, calls)).toEqual({ put: 2, delete: 2, 'put of many': 5, query: 2, search: 1 })
})
