import keyvTestSuite, { keyvIteratorTests } from '@keyv/test-suite'
import { openStorage } from 'holdfast'
import { HoldfastKeyv } from 'holdfast/keyv'
import Keyv, { type KeyvStoreAdapter } from 'keyv'
import * as vitest from 'vitest'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startRedis } from '../setup/servers.ts'
import { quiet } from '../setup/silent.ts'
import { eachKeyvStore } from './keyv-stores.ts'

eachKeyvStore(({ storage, store, keys }) => {
  describe("Keyv's own suite", () => {
    keyvTestSuite(vitest, Keyv, store)
    keyvIteratorTests(vitest, Keyv, store)
  })

  it('clears 2,500 keys of a namespace and leaves the others', async () => {
    const adapter: KeyvStoreAdapter = store()
    const keyv = new Keyv({ store: adapter, namespace: 'many' })
    const other = new Keyv({ store: store(), namespace: 'many more' })
    await other.set('kept', 1)
    await keyv.setMany(Array.from({ length: 2500 }, (_, i) => ({ key: `${i}`, value: i, ttl: i < 1200 ? 60_000 : 0 })))
    expect(await keyv.getMany(['0', '2499', 'none'])).toEqual([0, 2499, undefined])
    expect(await keyv.deleteMany(['0', '1'])).toBe(true)
    expect(await keyv.deleteMany(['0', '2'])).toBe(false)
    const found = new Set<string>()
    for await (const [key] of keyv.iterator?.({}) ?? []) found.add(key)
    expect(found.size).toBe(2497)
    expect(await keys('many:')).toHaveLength(1000)
    await keyv.clear()
    expect(await keys('many:')).toEqual([])
    expect(await other.get('kept')).toBe(1)
  })

  it('reports errors as Keyv does', async () => {
    const keyv = new Keyv({ store: store(), namespace: 'errors' })
    const errors: unknown[] = []
    keyv.on('error', (error) => errors.push(error))
    await keyv.set('x'.repeat(2000), 1)
    expect(errors).toEqual([expect.objectContaining({ code: 'INVALID_INPUT' })])
  })

  it('setMany() keeps the last of two values of a key, whatever their times', async () => {
    const keyv = new Keyv({ store: store(), namespace: 'twice' })
    const set = await keyv.setMany([
      { key: 'other', value: 0, ttl: 60_000 },
      { key: 'k', value: 'first', ttl: 90_000 },
      { key: 'k', value: 'last', ttl: 60_000 },
    ])
    expect(set).toEqual([true, true, true])
    expect(await keyv.get('k')).toBe('last')
  })

  it('takes any time to live, as Keyv does in memory', async () => {
    const errors: unknown[] = []
    for (const keyv of [new Keyv(), new Keyv({ store: store(), namespace: 'times' })]) {
      keyv.on('error', (error) => errors.push(error))
      await keyv.set('past', 1)
      await keyv.set('past', 2, -1)
      await keyv.set('forever', 1, Number.POSITIVE_INFINITY)
      await keyv.setMany([{ key: 'forever, too', value: 1, ttl: Number.POSITIVE_INFINITY }])
      expect(await keyv.getMany(['past', 'forever', 'forever, too'])).toEqual([undefined, 1, 1])
    }
    expect(errors).toEqual([])
  })

  it('keeps owners apart', async () => {
    const { kv, cache } = storage().scope({ ownerId: 'ada' })
    await new Keyv({ store: store(), namespace: 'n' }).set('k', 'of nobody')
    for (const own of [kv, cache]) {
      const keyv = new Keyv({ store: new HoldfastKeyv(own), namespace: 'n' })
      expect(await keyv.get('k')).toBeUndefined()
      await keyv.clear()
    }
    expect(await new Keyv({ store: store(), namespace: 'n' }).get('k')).toBe('of nobody')
  })
})

it('keeps the time to live in the database', async () => {
  await using storage = await openStorage({}, quiet)
  const keyv = new Keyv({ store: new HoldfastKeyv(storage.kv), namespace: 'ttl' })
  await keyv.set('a', 1, 60_000)
  const { expiresAt } = (await storage.kv.getEntry('ttl:a')) ?? {}
  expect(Number(expiresAt) - Date.now()).toBeGreaterThan(50_000)
})

it('fails no call over a Redis that freezes, and does not read what was cleared meanwhile', async () => {
  const server = await startRedis()
  onTestFinished(() => server.stop())
  const cache = { type: 'redis', url: server.url, options: { commandTimeoutMillis: 100 } } as const
  await using storage = await openStorage({ cache }, quiet)
  const keyv = new Keyv({ store: new HoldfastKeyv(storage.cache), namespace: 'n' })
  keyv.on('error', (error) => expect.fail(String(error)))
  await keyv.set('a', 1)
  await keyv.set('b', 1)
  server.freeze()
  await keyv.clear()
  expect([await keyv.set('b', 2), await keyv.get('b'), await keyv.has('a'), await keyv.delete('a')]).toEqual([
    true,
    undefined,
    false,
    false,
  ])
  server.thaw()
  expect(await keyv.getMany(['a', 'b'])).toEqual([undefined, undefined])
  await expect.poll(async () => (await storage.stats()).cache, { timeout: 10_000 }).toMatchObject({ dirtyKeys: 0 })
  expect(await keyv.getMany(['a', 'b'])).toEqual([undefined, undefined])
})
