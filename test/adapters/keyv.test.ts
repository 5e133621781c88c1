import keyvTestSuite, { keyvIteratorTests } from '@keyv/test-suite'
import type { openStorage } from 'holdfast'
import { HoldfastKeyv } from 'holdfast/keyv'
import Keyv, { type KeyvStoreAdapter } from 'keyv'
import * as vitest from 'vitest'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eachDatabase } from '../repositories/databases.ts'

eachDatabase((open) => {
  let storage: Awaited<ReturnType<typeof openStorage>>
  beforeAll(async () => {
    storage = await open()
  })
  afterAll(() => storage.close())

  describe("Keyv's own suite", () => {
    keyvTestSuite(vitest, Keyv, () => new HoldfastKeyv(storage.kv))
    keyvIteratorTests(vitest, Keyv, () => new HoldfastKeyv(storage.kv))
  })

  it('clears 2,500 keys of a namespace and leaves the others', async () => {
    const store: KeyvStoreAdapter = new HoldfastKeyv(storage.kv)
    const keyv = new Keyv({ store, namespace: 'many' })
    const other = new Keyv({ store: new HoldfastKeyv(storage.kv), namespace: 'many more' })
    await other.set('kept', 1)
    await keyv.setMany(Array.from({ length: 2500 }, (_, i) => ({ key: `${i}`, value: i, ttl: i < 1200 ? 60_000 : 0 })))
    expect(await keyv.getMany(['0', '2499', 'none'])).toEqual([0, 2499, undefined])
    expect(await keyv.deleteMany(['0', '1'])).toBe(true)
    expect((await storage.kv.keys({ prefix: 'many:', limit: 1000 })).items).toHaveLength(1000)
    await keyv.clear()
    expect((await storage.kv.keys({ prefix: 'many:' })).items).toEqual([])
    expect(await other.get('kept')).toBe(1)
  })

  it('keeps the time to live in the database, and reports errors as Keyv does', async () => {
    const keyv = new Keyv({ store: new HoldfastKeyv(storage.kv), namespace: 'ttl' })
    await keyv.set('a', 1, 60_000)
    const { expiresAt } = (await storage.kv.getEntry('ttl:a')) ?? {}
    expect(Number(expiresAt) - Date.now()).toBeGreaterThan(50_000)
    const errors: unknown[] = []
    keyv.on('error', (error) => errors.push(error))
    await keyv.set('x'.repeat(2000), 1)
    expect(errors).toEqual([expect.objectContaining({ code: 'INVALID_INPUT' })])
  })
})
