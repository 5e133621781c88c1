import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type CacheStore,
  isStorageError,
  type Location,
  openStorage,
  openStorageFromFile,
  type StorageConfig,
  type StorageOptions,
} from 'holdfast'
import { blobsContract, bytesContract, cacheContract, repositoryContract } from 'holdfast/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { configFile } from './config/blocks.ts'
import { MapBytes } from './own-bytes.ts'
import { MapCacheStore } from './own-cache-store.ts'
import { freshDirectory, freshPostgres } from './setup/databases.ts'
import { soak } from './setup/rounds.ts'
import { quiet, silent } from './setup/silent.ts'

const sqlite = (): StorageConfig => ({ database: { type: 'sqlite', path: join(freshDirectory(), 'agent.db') } })

/** Opens a storage without a log and background maintenance. It is closed when the test ends. */
async function open(config: StorageConfig, options: StorageOptions = {}) {
  const storage = await openStorage(config, { ...quiet, ...options })
  onTestFinished(() => storage.close())
  return storage
}

describe('a bytes backend that a program has written', () => {
  describe('by itself', () => {
    const damage = async ({ objects }: MapBytes, { hash, generation }: Location, data: Uint8Array) => {
      objects.set(`${hash}.${generation}`, data)
    }
    for (const { name, run } of bytesContract(async () => new MapBytes(), { damage })) it(name, run)
  })

  describe('in a storage on SQLite', () => {
    const config = sqlite()
    const objects = new Map<string, Uint8Array>()
    const opening = (options: StorageOptions) =>
      openStorage(config, { ...options, logger: silent, bytes: new MapBytes({ objects }) })
    for (const { name, run } of blobsContract(opening)) it(name, run)
  })

  it('keeps the bytes in place of the configured blob store, whose limits hold', async () => {
    const bytes = new MapBytes()
    const config = { ...sqlite(), blobStore: { type: 'in-memory', maxBlobSize: 4, maxTotalSize: 6 } } as const
    const { blobs, health, stats } = await open(config, { bytes })
    const { id } = await blobs.put(Buffer.from('abcd'))
    expect([...bytes.objects.values()]).toEqual([new Uint8Array(Buffer.from('abcd'))])
    expect(await blobs.text(id)).toBe('abcd')
    expect(await blobs.path(id)).toBeUndefined()
    await expect(blobs.put(Buffer.from('abcde'))).rejects.toMatchObject({ code: 'BLOB_TOO_LARGE' })
    await expect(blobs.put(Buffer.from('efg'))).rejects.toMatchObject({ code: 'BLOB_QUOTA_EXCEEDED' })
    expect((await health()).blobStore).toMatchObject({ ok: true, type: 'map' })
    expect((await stats()).blobs).toEqual({ count: 1, contents: 1, bytes: 4, maxTotalSize: 6 })
    expect((await blobs.verify()).ok).toBe(true)
  })

  it('has its records in the main database, so that a new storage finds the blobs', async () => {
    const config = sqlite()
    const objects = new Map<string, Uint8Array>()
    const first = await open(config, { bytes: new MapBytes({ objects }) })
    const { id } = await first.blobs.put(Buffer.from('kept'))
    await first.close()
    const second = await open(config, { bytes: new MapBytes({ objects }) })
    expect(await second.blobs.text(id)).toBe('kept')
  })

  it('has its records in memory, when its type says that the bytes are', async () => {
    const config = sqlite()
    const first = await open(config, { bytes: new MapBytes({ type: 'in-memory' }) })
    const { id } = await first.blobs.put(Buffer.from('gone'))
    await first.close()
    const second = await open(config, { bytes: new MapBytes({ type: 'in-memory' }) })
    expect(await second.blobs.get(id)).toBeUndefined()
  })

  it('is warned about when its bytes outlive an in-memory database', async () => {
    const warnings: string[] = []
    const logger = { ...silent, warn: (message: string) => void warnings.push(message) }
    await open({}, { bytes: new MapBytes({ type: 'in-memory' }), logger })
    expect(warnings).toEqual([])
    await open({}, { bytes: new MapBytes(), logger })
    expect(warnings).toEqual([expect.stringContaining('The records of blobs are in an in-memory database')])
  })

  it('takes part in a transaction, and loses what the transaction rolls back', async () => {
    const bytes = new MapBytes()
    const storage = await open(sqlite(), { bytes })
    const failing = storage.transaction(async (tx) => {
      await tx.blobs.put(Buffer.from('undone'))
      throw new Error('undo')
    })
    await expect(failing).rejects.toThrow('undo')
    expect(bytes.objects.size).toBe(0)
  })
})

describe('a cache store that a program has written', () => {
  describe('by itself', () => {
    for (const { name, run } of cacheContract(async () => new MapCacheStore({ type: 'in-memory' }))) it(name, run)
  })

  for (const [index, type] of ['map', 'in-memory'].entries()) {
    describe(`in a storage, with the type ${type}`, () => {
      const opening = (options: StorageOptions) =>
        openStorage({}, { ...options, logger: silent, cacheStore: new MapCacheStore({ type }) })
      // Half of the cases for each type: the store is called in the same ways.
      const cases = repositoryContract(opening).filter((_, i) => soak || i % 4 === index)
      for (const { name, run } of cases) it(name, run)
    })
  }

  it('caches rows and the values of the program, in place of the configured store', async () => {
    const cacheStore = new MapCacheStore()
    const storage = await open(sqlite(), { cacheStore })
    await storage.kv.set('key', 1)
    for (let i = 0; i < 3; i++) expect(await storage.kv.get('key')).toBe(1)
    await storage.cache.set('own', { a: 1 })
    expect(await storage.cache.get('own')).toEqual({ a: 1 })
    const { cache } = await storage.stats()
    expect(cache).toMatchObject({ type: 'map', hits: 2, entries: 2 })
    expect((await storage.health()).cache).toMatchObject({ ok: true, type: 'map' })
  })

  it('is not opened beside notices between caches of one process each, if it is shared', async () => {
    const config: StorageConfig = {
      database: { type: 'postgres', url: await freshPostgres() },
      cache: { type: 'in-memory', options: { invalidation: 'notify' } },
    }
    const opening = openStorage(config, { ...quiet, cacheStore: new MapCacheStore() })
    await expect(opening).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      details: {
        problems: [{ path: 'options.cacheStore', message: expect.stringContaining('cache.options.invalidation') }],
      },
    })
    const storage = await open(config, { cacheStore: new MapCacheStore({ type: 'in-memory' }) })
    await storage.kv.set('key', 1)
    expect(await storage.kv.get('key')).toBe(1)
  })

  it('is bounded by the configured limits', async () => {
    const cache = { type: 'in-memory', options: { maxValueBytes: 10, ttlSeconds: 60 } } as const
    const storage = await open({ ...sqlite(), cache }, { cacheStore: new MapCacheStore() })
    await storage.cache.set('small', 1)
    await storage.cache.set('large', 'more than ten bytes')
    expect(await storage.cache.getMany(['small', 'large'])).toEqual(new Map([['small', 1]]))
  })

  it('is not listed or cleared without the methods for it, and says so', async () => {
    const { keys: _, clear: __, ...cacheStore } = methodsOf<CacheStore>(new MapCacheStore())
    const { cache } = await open(sqlite(), { cacheStore })
    await cache.set('key', 1)
    expect(await cache.has('key')).toBe(true)
    await expect(cache.keys().next()).rejects.toMatchObject({
      code: 'INVALID_STATE',
      message: 'The cache store map cannot list its keys: it has no method keys()',
    })
    await expect(cache.clear()).rejects.toMatchObject({
      code: 'INVALID_STATE',
      message: 'The cache store map cannot remove by prefix: it has no method clear()',
    })
    const { cache: listed } = await open(sqlite(), { cacheStore: new MapCacheStore() })
    await listed.set('key', 1)
    expect((await listed.keys().next()).value).toBe('key')
    expect(await listed.clear()).toBe(1)
  })

  it('is shared by the instances of a program: a write through one is read through the other', async () => {
    const config: StorageConfig = { database: { type: 'postgres', url: await freshPostgres() } }
    const entries = new Map()
    const one = await open(config, { cacheStore: new MapCacheStore({ entries }) })
    const other = await open(config, { cacheStore: new MapCacheStore({ entries }) })
    await one.kv.set('key', 'before')
    expect(await other.kv.get('key')).toBe('before')
    await one.kv.set('key', 'after')
    expect(await other.kv.get('key')).toBe('after')
    expect((await other.stats()).cache).toMatchObject({ hits: 0, misses: 2 })
    expect(await one.kv.get('key')).toBe('after')
    expect((await one.stats()).cache).toMatchObject({ hits: 1 })
  })

  it('does not return a row of another database when two databases share it', async () => {
    const entries = new Map()
    const one = await open(sqlite(), { cacheStore: new MapCacheStore({ entries }) })
    const other = await open(sqlite(), { cacheStore: new MapCacheStore({ entries }) })
    await one.kv.set('key', 'of the first')
    expect(await one.kv.get('key')).toBe('of the first')
    expect(await other.kv.get('key')).toBeUndefined()
  })
})

describe('openStorage() with backends of the program', () => {
  it('closes each of them once', async () => {
    const backends = { bytes: new MapBytes(), cacheStore: new MapCacheStore() }
    const storage = await openStorage(sqlite(), { ...backends, logger: silent })
    expect([backends.bytes.closes, backends.cacheStore.closes]).toEqual([0, 0])
    await storage.close()
    expect([backends.bytes.closes, backends.cacheStore.closes]).toEqual([1, 1])
  })

  it.each([
    ['a step of maintenance', { sweepStaged: () => new Promise<number>(() => {}) }, 'a step of maintenance waited'],
    ['close()', { close: () => new Promise<void>(() => {}) }, 'close() of a backend had not ended after 200 ms'],
  ])('closes within a bound though %s of a backend never ends', { timeout: 10_000 }, async (_, hangs, message) => {
    const warnings: string[] = []
    const logger = { ...silent, warn: (text: string) => void warnings.push(text) }
    const bytes = Object.assign(new MapBytes({ type: 'in-memory' }), hangs)
    const storage = await openStorage({}, { bytes, logger, maintenance: false, closeTimeoutMillis: 200 })
    void storage.maintain()
    await sleep(50)
    await storage.close()
    expect(warnings.at(-1)).toContain(message)
    await expect(storage.kv.get('key')).rejects.toMatchObject({ code: 'CLOSED' })
  })

  it('accepts a bytes backend without close()', async () => {
    const { close: _, ...bytes } = Object.assign(Object.create(null), methodsOf(new MapBytes()))
    const storage = await openStorage({}, { bytes, logger: silent })
    await storage.close()
  })

  it('closes them when a layer cannot be opened', async () => {
    const backends = { bytes: new MapBytes(), cacheStore: new MapCacheStore() }
    const config = { database: { type: 'sqlite', path: '/dev/null/agent.db' } } as const
    await expect(openStorage(config, { ...backends, logger: silent })).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
    })
    expect([backends.bytes.closes, backends.cacheStore.closes]).toEqual([1, 1])
  })

  it('closes the others, and says why a layer cannot be opened, though a close() fails', async () => {
    const bytes = Object.assign(new MapBytes(), { close: () => Promise.reject(new Error('no')) })
    const cacheStore = new MapCacheStore()
    const config = { database: { type: 'sqlite', path: '/dev/null/agent.db' } } as const
    const opening = openStorage(config, { bytes, cacheStore, logger: silent })
    await expect(opening).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
    expect(cacheStore.closes).toBe(1)
  })

  it('says why a layer cannot be opened though a close() returns no promise, throws at once or never ends', async () => {
    const config = { database: { type: 'sqlite', path: '/dev/null/agent.db' } } as const
    const closes: unknown[] = [() => {}, () => fail('no'), () => new Promise(() => {})]
    for (const close of closes) {
      const cacheStore = new MapCacheStore()
      const bytes = Object.assign(new MapBytes(), { close })
      const opening = openStorage(config, {
        bytes,
        cacheStore,
        logger: silent,
        closeTimeoutMillis: 200,
      } as StorageOptions)
      await expect(opening).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
      expect(cacheStore.closes).toBe(1)
    }
  })

  it('closes all of them before close() says that one has failed', async () => {
    const closes: unknown[] = [() => fail('no'), () => Promise.reject(new Error('no'))]
    for (const close of closes) {
      for (const failing of ['bytes', 'cacheStore']) {
        const backends = { bytes: new MapBytes(), cacheStore: new MapCacheStore() }
        const closed: string[] = []
        for (const [name, backend] of Object.entries(backends)) {
          const late = () => sleep(50).then(() => closed.push(name))
          Object.assign(backend, { close: name === failing ? close : late })
        }
        const storage = await openStorage({}, { ...backends, ...quiet })
        await expect(storage.close()).rejects.toThrow('no')
        expect(closed).toHaveLength(1)
      }
    }
  })

  it('names each missing method, and a missing type', async () => {
    const { stage: _, ping: __, ...bytes } = methodsOf(new MapBytes())
    const { type: ___, ...cacheStore } = methodsOf(new MapCacheStore())
    const error = await openStorage({}, { bytes, cacheStore } as object).catch((error: unknown) => error)
    expect(isStorageError(error, 'INVALID_INPUT') && error.details.problems).toEqual([
      { path: 'options.bytes.stage', message: 'must be a method' },
      { path: 'options.bytes.ping', message: 'must be a method' },
      { path: 'options.cacheStore.type', message: 'must be a text' },
    ])
  })

  it.each([5, 'text', null])('refuses %j as a backend', async (bytes) => {
    await expect(openStorage({}, { bytes } as object)).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      details: { problems: [{ path: 'options.bytes', message: 'must be an object' }] },
    })
  })

  it('refuses a configuration that names another backend', async () => {
    const config = {
      cache: { type: 'redis', host: 'nowhere.invalid' },
      blobStore: { type: 'local', storePath: freshDirectory() },
    } as const
    const opening = openStorage(config, { bytes: new MapBytes(), cacheStore: new MapCacheStore() })
    await expect(opening).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      details: {
        problems: [
          { path: 'options.bytes', message: expect.stringContaining('contradicts blobStore.type "local"') },
          { path: 'options.cacheStore', message: expect.stringContaining('contradicts cache.type "redis"') },
        ],
      },
    })
    const { file } = await configFile('storage: { blobStore: { type: local } }')
    const fromFile = openStorageFromFile(file, { bytes: new MapBytes() })
    await expect(fromFile).rejects.toMatchObject({ code: 'INVALID_INPUT' })
  })
})

/** Returns a plain object with the type and the methods of a backend. */
function methodsOf<T extends object>(backend: T): T {
  const target: object = backend
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(backend)).filter((name) => name !== 'constructor')
  const methods = names.map((name) => [
    name,
    (...args: unknown[]) => Reflect.apply(Reflect.get(target, name), target, args),
  ])
  return { type: Reflect.get(backend, 'type'), ...Object.fromEntries(methods) }
}

function fail(message: string): never {
  throw new Error(message)
}
