import { openStorage } from 'holdfast'
import { HoldfastKeyv } from 'holdfast/keyv'
import Keyv5 from 'keyv'
import Keyv, { type KeyvStorageAdapter } from 'newest-keyv'
import { expect, it, onTestFinished, vi } from 'vitest'
import { quiet } from '../setup/silent.ts'
import { eachKeyvStore } from './keyv-stores.ts'

// Keyv's suite is for version 5: these are the calls of version 6, which gives a store other arguments.

eachKeyvStore(({ store: open, keys }) => {
  const keyvOf = (namespace?: string) => new Keyv({ store: open(), ...(namespace !== undefined && { namespace }) })

  it('is called by Keyv 6 itself, without its bridge', () => {
    const store = open()
    const keyv = new Keyv({ store, namespace: 'direct' })
    expect(keyv.store).toBe(store)
    const same: Pick<KeyvStorageAdapter, 'get' | 'set' | 'setMany' | 'has' | 'clear' | 'capabilities'> = store
    expect(same.capabilities).toMatchObject({ expires: true, methods: { iterator: { methodType: 'async' } } })
  })

  it('keeps namespaces apart, under the keys that Keyv 5 has', async () => {
    const [one, two] = [keyvOf('one'), keyvOf('two')] as const
    await one.set('k', 'of one')
    await two.set('k', 'of two')
    await two.setMany([{ key: 'l', value: { b: [1] } }])
    expect([await one.get('k'), await two.get('k'), await one.get('l')]).toEqual(['of one', 'of two', undefined])
    expect(await two.getMany(['k', 'none', 'l'])).toEqual(['of two', undefined, { b: [1] }])
    expect(await keys('two:')).toEqual(['two:k', 'two:l'])
    const before = new Keyv5({ store: open(), namespace: 'two' })
    expect(await before.get('k')).toBe('of two')
    await before.set('m', 5, 60_000)
    expect(await two.get('m')).toBe(5)
    const pairs: unknown[] = []
    for await (const pair of two.iterator()) pairs.push(pair)
    expect(pairs.toSorted()).toEqual([
      ['k', 'of two'],
      ['l', { b: [1] }],
      ['m', 5],
    ])
    expect(await two.hasMany(['k', 'none'])).toEqual([true, false])
    expect(await two.deleteMany(['k', 'none'])).toEqual([true, false])
    expect(await two.delete('l')).toBe(true)
    await two.clear()
    expect([await two.has('m'), await one.get('k')]).toEqual([false, 'of one'])
  })

  it('removes what has expired', async () => {
    const keyv = keyvOf('ttl')
    await keyv.set('a', 1, 60_000)
    await keyv.setMany([
      { key: 'b', value: 1, ttl: 90_000 },
      { key: 'c', value: 1 },
    ])
    const store = open()
    expect(store.capabilities.expires).toBe(true)
    await store.set('ttl:a', 'late', Date.now() - 1) // as Keyv says that it has expired on the way
    await store.setMany([{ key: 'ttl:b', value: 'late', expires: 1 }])
    expect(await keys('ttl:')).toEqual(['ttl:c'])
  })

  it('reports errors as Keyv does', async () => {
    const keyv = keyvOf('errors')
    const errors: unknown[] = []
    keyv.on('error', (error) => errors.push(error))
    expect(await keyv.set('x'.repeat(2000), 1)).toBe(false)
    expect(errors).toEqual([expect.objectContaining({ code: 'INVALID_INPUT' })])
  })
})

it('keeps the time to live in the database', async () => {
  await using storage = await openStorage({}, quiet)
  const keyv = new Keyv({ store: new HoldfastKeyv(storage.kv), namespace: 'ttl' })
  await keyv.set('a', 1, 60_000)
  await keyv.setMany([
    { key: 'b', value: 1, ttl: 90_000 },
    { key: 'c', value: 1 },
  ])
  const lifeOf = async (key: string) => {
    const expiresAt = (await storage.kv.getEntry(`ttl:${key}`))?.expiresAt
    return expiresAt ? Math.round((Number(expiresAt) - Date.now()) / 10_000) : undefined
  }
  expect([await lifeOf('a'), await lifeOf('b'), await lifeOf('c')]).toEqual([6, 9, undefined])
})

it('setMany() of one expiry is one transaction, however long the call takes', async () => {
  await using storage = await openStorage({}, quiet)
  const store = new HoldfastKeyv(storage.kv)
  expect(store.capabilities.expires).toBe(true)
  let now = Date.now()
  vi.spyOn(Date, 'now').mockImplementation(() => now++) // time goes on with each look
  onTestFinished(() => void vi.restoreAllMocks())
  const calls = vi.spyOn(storage.kv, 'setMany')
  const entries = Array.from({ length: 5 }, (_, i) => ({ key: `${i}`, value: i, expires: now + 60_000 }))
  await store.setMany(entries)
  expect(calls).toHaveBeenCalledTimes(1)
})

it('would mix namespaces if Keyv 6 took it for a store of Keyv 5', async () => {
  await using storage = await openStorage({}, quiet)
  class Naive extends HoldfastKeyv {
    override get capabilities(): never {
      return undefined as never // as a store of Keyv 5 has none
    }
  }
  const [one, two] = ['one', 'two'].map((namespace) => new Keyv({ store: new Naive(storage.kv), namespace }))
  await one?.set('mixed', 1)
  expect(await two?.get('mixed')).toBe(1)
})
