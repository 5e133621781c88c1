import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage, type Storage } from 'holdfast'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { signal, times } from '../../../src/testing/contract.ts'
import { startLink } from '../../database/link.ts'
import { freshPostgres } from '../../setup/databases.ts'
import { runScript } from '../../setup/processes.ts'
import { rounds } from '../../setup/rounds.ts'
import { quiet } from '../../setup/silent.ts'

const program = 'test/cache/integration/programs/die-unannounced.ts'

describe('with Redis in front of PostgreSQL,', () => {
  let config: { database: object; cache: { type: string; url: string; options: object } }
  const open = () => openStorage(config as object, quiet)
  beforeAll(async () => {
    const keyPrefix = `${randomUUID()}:`
    config = {
      database: { type: 'postgres', url: await freshPostgres() },
      cache: { type: 'redis', url: inject('redisUrl'), options: { keyPrefix } },
    }
  })

  /** Reads a value. `hit` is true if the value came from the cache. */
  async function read(storage: Storage, key: string) {
    const before = (await storage.stats()).cache.hits
    const value = await storage.kv.get(key)
    return { value, hit: (await storage.stats()).cache.hits > before }
  }

  it.each(['statement', 'transaction'])(
    'get() returns what a writer committed in a %s before it died without invalidating',
    async (how) => {
      await using storage = await open()
      await storage.sessions.create({ id: 's', title: 'old' }).catch(() => {})
      for (let round = 0; round < rounds(3, 100); round++) {
        const key = `${how} ${round}`
        await storage.kv.set(key, 'old')
        await storage.kv.get(key)
        await storage.sessions.get('s')
        expect(await read(storage, key)).toEqual({ value: 'old', hit: true })
        const script = runScript(program, [JSON.stringify(config), key, `new ${round}`, how])
        expect(await script.exit).toMatchObject({ signal: 'SIGKILL' })
        expect(await storage.kv.get(key)).toBe(`new ${round}`)
        if (how === 'transaction') expect((await storage.sessions.get('s'))?.title).toBe(`new ${round}`)
      }
    },
  )

  it('get() caches a row again after a transaction or a write has failed', async () => {
    await using storage = await open()
    await storage.kv.set('undone', 1)
    const undone = storage.transaction(async (tx) => {
      await tx.kv.set('undone', 2)
      throw new Error('undone')
    })
    await expect(undone).rejects.toThrow('undone')
    await expect(storage.kv.set('undone', 3, { ifVersion: 99 })).rejects.toMatchObject({ code: 'VERSION_CONFLICT' })
    expect(await storage.kv.get('undone')).toBe(1)
    expect(await read(storage, 'undone')).toEqual({ value: 1, hit: true })
  })

  it('get() caches a row again after a transaction whose body went on when its time was up', async () => {
    await using storage = await open()
    const { reached, reach } = signal()
    let body: Promise<unknown> = Promise.resolve()
    const late = storage.transaction(
      (tx) => {
        body = tx.kv.set('late', 1).then(() => reached)
        return body
      },
      { timeoutMillis: 100 },
    )
    await expect(late).rejects.toMatchObject({ code: 'TIMEOUT' })
    reach()
    await body
    await sleep(50)
    await storage.kv.get('late')
    await storage.kv.set('late', 2)
    await storage.kv.get('late')
    expect(await read(storage, 'late')).toEqual({ value: 2, hit: true })
  })

  it('get() caches a row again after a transaction whose time was up while it marked the row', async () => {
    const redis = new URL(inject('redisUrl'))
    const link = await startLink(Number(redis.port), { delayMillis: 400 })
    redis.port = String(link.port)
    const options = { ...config.cache.options, commandTimeoutMillis: 2000 }
    const cache = { ...config.cache, url: redis.href, options }
    await using storage = await openStorage({ ...config, cache } as object, quiet)
    const late = storage.transaction((tx) => tx.kv.set('marked', 1), { timeoutMillis: 200 })
    await expect(late).rejects.toMatchObject({ code: 'TIMEOUT' })
    await storage.kv.set('marked', 2)
    await storage.kv.get('marked')
    expect(await read(storage, 'marked')).toEqual({ value: 2, hit: true })
  })

  it('get() caches a row again after 20 concurrent writes of two storages', async () => {
    await using one = await open()
    await using other = await open()
    await one.kv.set('busy', 0)
    const { reached, reach } = signal()
    const slow = one.transaction(async (tx) => {
      await tx.kv.set('elsewhere', 1)
      await reached
    })
    await Promise.all(times(20, (i) => (i % 2 ? one : other).kv.set('busy', i)))
    reach()
    await slow
    const value = await one.kv.get('busy')
    expect(await read(other, 'busy')).toEqual({ value, hit: true })
  })

  it('get() returns what a write has stored that waited for a lock', async () => {
    await using one = await open()
    await using other = await open()
    await one.kv.set('locked', 'old')
    await one.kv.get('locked')
    const { reached, reach } = signal()
    const holding = one.transaction(async (tx) => {
      await tx.kv.set('locked', 'first')
      await reached
    })
    await sleep(50)
    const waiting = other.kv.set('locked', 'second')
    await sleep(200)
    expect(await one.kv.get('locked')).toBe('old')
    reach()
    await Promise.all([holding, waiting])
    expect(await one.kv.get('locked')).toBe('second')
  })
})
