import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { createContext, runInContext } from 'node:vm'
import { build } from 'esbuild'
import type * as Holdfast from 'holdfast'
import { openStorage, StorageError } from 'holdfast'
import type * as Testing from 'holdfast/testing'
import { describe, expect, it } from 'vitest'
import { freshDirectory, freshPostgres, redisPrefix, redisUrl } from './setup/databases.ts'
import { rounds } from './setup/rounds.ts'
import { quiet, silent } from './setup/silent.ts'

// A realm has classes of its own, such as Date and Error. Jest evaluates each test file in a new realm, with its packages.
// Node's own modules and native addons stay in the first realm, and their errors and arrays are instances of its classes.

const root = resolve(import.meta.dirname, '..')

/** Returns a realm with the globals that Jest gives to tests. */
function newRealm() {
  const realm = createContext({})
  const own = new Set<string>(runInContext('Object.getOwnPropertyNames(globalThis)', realm))
  for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(globalThis))) {
    const isShared = !own.has(name) || name === 'Uint8Array' || name === 'ArrayBuffer'
    if (isShared) Object.defineProperty(realm, name, property)
  }
  return realm
}

/** Evaluates the package in a new realm. The drivers are loaded in the first realm. */
async function inNewRealm(): Promise<typeof Holdfast & typeof Testing> {
  const { outputFiles } = await build({
    stdin: { contents: "export * from 'holdfast'\nexport * from 'holdfast/testing'", resolveDir: root, loader: 'ts' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    write: false,
    external: ['better-sqlite3', 'postgres', 'ioredis'],
    supported: { 'dynamic-import': false }, // a script in a realm has no import()
    tsconfigRaw: {
      compilerOptions: {
        paths: { holdfast: [join(root, 'src/index.ts')], 'holdfast/testing': [join(root, 'src/testing/index.ts')] },
      },
    },
    logLevel: 'silent',
  })
  const code = outputFiles.map(({ text }) => text).join()
  const module = { exports: {} }
  const evaluate = runInContext(`(function (module, exports, require) { ${code}\n})`, newRealm())
  evaluate(module, module.exports, createRequire(join(root, 'package.json')))
  return module.exports as typeof Holdfast & typeof Testing // what the bundle exports
}

const realm = await inNewRealm()

it('the classes of a new realm are other classes', () => {
  expect(realm.StorageError).not.toBe(StorageError)
  expect(new realm.StorageError('TIMEOUT', '')).not.toBeInstanceOf(Error)
})

describe('in a new realm, files', () => {
  const directory = freshDirectory()
  const config: Holdfast.StorageConfig = {
    database: { type: 'sqlite', path: join(directory, 'a.db') },
    blobStore: { type: 'local', storePath: join(directory, 'blobs') },
  }
  const open: Testing.OpenStorage = (options) => realm.openStorage(config, { logger: silent, ...options })
  const cases = [...realm.repositoryContract(open), ...realm.blobsContract(open)]
  for (const { name, run } of cases.filter((_, i) => i % rounds(8, 1) === 0)) it(name, run)
})

describe('in a new realm, servers', () => {
  let url: Promise<string> | undefined
  const open: Testing.OpenStorage = async (options) => {
    url ??= freshPostgres()
    const cache: Holdfast.StorageConfig['cache'] = {
      type: 'redis',
      url: redisUrl(),
      options: { keyPrefix: redisPrefix() },
    }
    return realm.openStorage({ cache, database: { type: 'postgres', url: await url } }, { logger: silent, ...options })
  }
  // Two groups are enough: the other groups take the same paths through the drivers.
  const cases = realm.repositoryContract(open).filter(({ name }) => /^(?:lists|events)\./.test(name))
  for (const { name, run } of cases) it(name, run)
})

it('openStorage() in a new realm names a PostgreSQL that is out of reach', async () => {
  const opening = realm.openStorage({ database: { type: 'postgres', url: 'postgres://u@127.0.0.1:1/d' } })
  await expect(opening).rejects.toMatchObject({ code: 'CONNECTION_FAILED', retryable: true })
})

it('calls accept Dates, objects and bytes of another realm, and refuse its Map', async () => {
  const other = (code: string) => runInContext(code, createContext({}))
  await using storage = await openStorage(other('({ database: { type: "in-memory" } })'), {
    ...quiet,
    now: other('() => new Date(1700000000000)'),
  })
  const { expiresAt, createdAt } = await storage.sessions.create(
    other('({ id: "s", expiresAt: new Date(1800000000000) })'),
  )
  expect([createdAt, expiresAt]).toEqual([new Date(1_700_000_000_000), new Date(1_800_000_000_000)])
  expect(expiresAt).toBeInstanceOf(Date)
  await storage.kv.set('a', other('({ b: [1, { c: null }] })'))
  expect(await storage.kv.get('a')).toEqual({ b: [1, { c: null }] })
  for (const bytes of ['new Uint8Array([1, 2])', 'new Uint8Array([1, 2]).buffer']) {
    expect((await storage.blobs.put(other(bytes))).size).toBe(2)
  }
  for (const value of ['new Map()', 'new Date()', 'new (class { a = 1 })()']) {
    await expect(storage.kv.set('a', other(value)), value).rejects.toMatchObject({ code: 'INVALID_INPUT' })
  }
  for (const instant of ['new Date(NaN)', '{ getTime: () => 1 }', '1700000000000', 'Object.create(Date.prototype)']) {
    const input = other(`({ expiresAt: ${instant} })`)
    await expect(storage.sessions.create(input), instant).rejects.toMatchObject({ code: 'INVALID_INPUT' })
  }
})
