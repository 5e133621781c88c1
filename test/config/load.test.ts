import { writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type LoadOptions, loadStorageConfig } from '../../src/config/load.ts'
import { resolveConfig } from '../../src/config/resolve.ts'
import type { StorageConfig } from '../../src/config/types.ts'
import { configFile } from './blocks.ts'

const load = async (text: string, env: LoadOptions['env'] = {}) =>
  loadStorageConfig((await configFile(text)).file, { env })
const memory = { cache: { type: 'in-memory' }, database: { type: 'in-memory' }, blobStore: { type: 'in-memory' } }

describe('loadStorageConfig() of a file', () => {
  test('reads the storage section alone: the rest is neither checked nor interpolated', async () => {
    const text = `
systemPrompt: "Use $UNSET and \${{unknown.thing}}"
cache: { mine: true }
1: numbers are keys, too
storage:
  database: { type: sqlite }`
    expect((await load(text)).database.type).toBe('sqlite')
  })

  test.each([
    ['an empty file', ''],
    ['only a comment', '# nothing'],
    ['an agent without a storage section', 'llm:\n  model: x'],
    ['an empty section', 'storage:'],
  ])('returns in-memory backends for %s', async (_, text) => {
    expect(await load(text)).toMatchObject(memory)
  })

  test('accepts the section as the whole file and rejects unknown keys in it', async () => {
    expect((await load('database: { type: sqlite }')).database.type).toBe('sqlite')
    expect((await load('blob: { type: local }')).blobStore.type).toBe('local')
    await expect(load('database: { type: sqlite }\ncahce: {}')).rejects.toThrow('cahce: unknown key')
  })

  test.each(['storge: {}', 'Storage: {}', 'storages:'])('rejects a misspelt section: %s', async (text) => {
    await expect(load(text)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('"storage"'),
    })
  })

  test.each([
    ['Database: { type: sqlite }', 'database'],
    ['databse: { type: postgres, url: "postgres://h/d" }', 'database'],
    ['blobstore: { type: local }', 'blobStore'],
    ['blobStores: { type: local }', 'blobStore'],
  ])('rejects a misspelt part of the section that is the whole file: %s', async (text, meant) => {
    await expect(load(text)).rejects.toThrow(`unknown key; did you mean "${meant}"?`)
  })

  test.each([
    ['storage:\ndatabase: { type: sqlite, path: a.db }', 'database: is beside "storage", and nothing is under'],
    ['storage:\nblobStore: { type: local }', 'blobStore: is beside "storage", and nothing is under'],
    ['storage:\n  database: { type: sqlite }\nretention: { events: 7d }', 'retention: has no effect here'],
    ['retention: { events: 7d, sessions: { idle: 90d } }', 'retention: has no effect here: move it under "storage"'],
    ['storage:\nretention: { messages: 7d }', 'retention: has no effect here: move it under "storage"'],
  ])('refuses a part of the section that is outside of it: %j', async (text, message) => {
    await expect(load(text)).rejects.toThrow(message)
  })

  test.each([
    'storage: {}\ndatabase: { type: mysql }',
    'storage:\ndatabase: mine',
    'retention: 30d',
    'retention: { logs: 30d }',
    'storage: { retention: { events: 1d } }\nretention: { events: 7d }',
  ])('leaves to the file what only has the name of a part: %j', async (text) => {
    expect(await load(text)).toMatchObject(memory)
  })

  test.each([
    [
      'storage:\n  database: { type: sqlite, path: !env FILE }',
      'line 2, column 35: has a tag that has no meaning here',
    ],
    ['storage: !include storage.yml', 'line 1, column 10: has a tag'],
    ['storage: !mine\n  cache: { type: redis }', 'line 1, column 10: has a tag'],
    ['cache: { type: redis, password: !vault secret }', 'line 1, column 33: has a tag'],
    ['x: &a !env FILE\nstorage: { database: { type: sqlite, path: *a } }', 'line 1, column 7: has a tag'],
    ['x: !env &a FILE\nstorage: { database: { type: sqlite, path: *a } }', 'line 1, column 4: has a tag'],
    ['x: &a\n  path: !env F\nstorage: { database: { <<: *a, type: sqlite } }', 'line 2, column 9: has a tag'],
    ['x: &a !env F\ny: &b { path: *a, type: sqlite }\nstorage: { database: *b }', 'line 1, column 7: has a tag'],
  ])('refuses a tag in the section that it would ignore: %j', async (text, message) => {
    await expect(load(text)).rejects.toThrow(message)
  })

  test('leaves tags to the rest of the file, and reads those of YAML', async () => {
    const text = `prompt: !include prompt.md\nstorage: { cache: { type: redis, port: !!int "7", password: !!str 5 } }\nb: !x y`
    expect((await load(text)).cache).toMatchObject({ type: 'redis', port: 7, password: '5' })
    expect(await load('tools: [!tool search]')).toMatchObject(memory)
    expect(
      await load('x: { a: &a in-memory, b: !env X, c: [!x &c d] }\nstorage: { cache: { type: *a } }'),
    ).toMatchObject(memory)
  })

  test('takes a part of an agent for its own that only looks alike', async () => {
    expect(await load('databases: [{ type: mysql }]')).toMatchObject(memory)
  })

  test.each([
    ['never', 'never'],
    ['7', 7],
    ['$DAYS', 60],
    ['$NEVER', 'never'],
  ])('reads cleanupAfterDays: %s', async (text, expected) => {
    const env = { DAYS: '60', NEVER: 'never' }
    const config = await load(`blob: { type: local, cleanupAfterDays: ${text} }`, env)
    expect(config.blobStore).toMatchObject({ cleanupAfterDays: expected })
  })

  test('accepts JSON with tabs and a byte order mark', async () => {
    const text = `\ufeff${JSON.stringify({ storage: { cache: { type: 'redis', port: 1 } } }, null, '\t')}`
    expect((await load(text)).cache).toMatchObject({ type: 'redis', port: 1 })
  })

  test('accepts anchors and merge keys', async () => {
    const text = `
defaults: &pool { maxConnections: 7 }
storage:
  cache: { <<: *pool, type: redis }
  database: { <<: *pool, type: postgres, url: "postgres://h/d" }`
    const { cache, database } = await load(text)
    expect([cache.maxConnections, database.maxConnections]).toEqual([7, 7])
  })
})

describe('loadStorageConfig() of a file that cannot be read', () => {
  test('names the file and the reason', async () => {
    const { directory } = await configFile('')
    const file = join(directory, 'absent.yml')
    await expect(loadStorageConfig(file)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: `${file} is not valid:\n  file: cannot be read (ENOENT); expected a YAML or JSON file`,
    })
    await expect(loadStorageConfig(directory)).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  })

  test.each(['latin1', 'utf16le'] as const)('refuses the encoding %s', async (encoding) => {
    const { file } = await configFile('')
    await writeFile(file, '\ufeffstorage: { database: { type: sqlite, path: dätä } }', encoding)
    await expect(loadStorageConfig(file)).rejects.toThrow('file: is not UTF-8; save it with this encoding')
  })

  test.each([
    [
      'a duplicate key',
      'storage:\n  cache: { type: redis }\n  cache: { password: geheim }',
      'line 3, column 3: not YAML: duplicate key',
    ],
    ['an open quote', 'storage:\n  a: "geheim\n', 'line 3, column 1: not YAML'],
    ['an escape', 'storage: "\\qgeheim"', 'line 1, column 11: not YAML: bad dq escape'],
    ['a key beside a text', 'storage: geheim\n  x: 1', 'line 1, column 10: not YAML'],
    ['a tab', 'storage:\n\tcache: geheim', 'line 2, column 1: not YAML'],
    ['two documents', 'a: 1\n---\nb: geheim', 'line 2, column 1: not YAML'],
    ['no mapping', '- geheim', 'file: expected a mapping'],
    ['an alias without an anchor', 'storage: *geheim', 'file: expected aliases'],
    ['an alias of its own parent', 'storage: &geheim { cache: *geheim }', 'file: expected aliases'],
    ['an alias bomb', `a0: &a0 [geheim]\n${bomb(30)}storage: *a30`, 'file: expected aliases'],
  ])('names the position of %s without quoting the file', async (_, text, expected) => {
    const error: Error = await load(text).then(
      () => {
        throw new Error('was accepted')
      },
      (error) => error,
    )
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' })
    expect(error.message).toContain(expected)
    expect(JSON.stringify([error.message, error.stack, error.cause])).not.toContain('geheim')
  })
})

/** Returns YAML whose aliases double the value `depth` times. */
const bomb = (depth: number) =>
  Array.from({ length: depth }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}]\n`).join('')

describe('loadStorageConfig() of paths', () => {
  test('returns absolute paths, so that the result can be opened from any directory', async () => {
    const text = 'storage: { database: { type: sqlite, path: data/a.db }, blobStore: { type: local, storePath: ../b } }'
    const { file, directory } = await configFile(text)
    // The path of the file is relative too.
    const config = await loadStorageConfig(relative(process.cwd(), file))
    expect(config.database).toMatchObject({ path: join(directory, 'data/a.db') })
    const resolved = resolveConfig(config, { baseDir: '/somewhere/else' })
    expect(resolved.database).toMatchObject({ file: join(directory, 'data/a.db') })
    expect(resolved.blobStore).toMatchObject({ storePath: join(directory, '../b') })
  })

  test.each([
    ['', 'agent.db'],
    ['database: plain', 'plain'],
    ['path: dir.d/', 'dir.d/agent.db'],
    ['path: dir', 'dir/agent.db'],
    ['path: dir.d, database: plain', 'dir.d/plain'],
  ])('resolves "%s" against the directory of the file to %s', async (fields, expected) => {
    const { file, directory } = await configFile(`storage: { database: { type: sqlite, ${fields} } }`)
    const resolved = resolveConfig(await loadStorageConfig(file), { baseDir: '/somewhere/else' })
    expect(resolved.database).toMatchObject({ file: join(directory, expected) })
  })
})

describe('loadStorageConfig() of variables', () => {
  test('turns a variable into a number or boolean if the schema expects one, and else into text', async () => {
    const text = `
storage:
  cache:
    type: $CACHE
    host: $DIGITS
    port: $DIGITS
    password: $DIGITS
    database: "1\${ONE}"
    options: { tls: $TRUE, keyPrefix: $TRUE, ttlSeconds: $DIGITS }
  database:
    type: postgres
    host: h
    database: $DIGITS
    user: $TRUE
    options: { prepare: $FALSE, ssl: { rejectUnauthorized: $FALSE, ca: [$DIGITS] } }`
    const env = { CACHE: 'redis', DIGITS: '123', ONE: '1', TRUE: 'true', FALSE: 'false' }
    const { cache, database } = await load(text, env)
    expect(cache).toMatchObject({
      host: '123',
      port: 123,
      password: '123',
      database: 11,
      options: { tls: true, keyPrefix: 'true', ttlSeconds: 123 },
    })
    expect(database).toMatchObject({
      database: '123',
      user: 'true',
      options: { prepare: false, ssl: { rejectUnauthorized: false, ca: ['123'] } },
    })
  })

  test.each(['geheim', '0x10', '1.5', '-1', '', 'constructor', 'true'])('rejects %j for a port', async (PORT) => {
    const loaded = load('storage: { cache: { type: redis, port: $PORT } }', { PORT })
    await expect(loaded).rejects.toThrow(/storage\.cache\.port: expected number, received (string|boolean)$/)
  })

  test('rejects text of the file for a port', async () => {
    await expect(load('storage: { cache: { type: redis, port: "6379" } }')).rejects.toThrow('expected number')
  })
})

test('loadStorageConfig() reads variables from process.env unless `env` is given', async () => {
  const { file } = await configFile('storage: { cache: { type: redis, options: { keyPrefix: $PATH } } }')
  // The result is assignable to StorageConfig.
  const config: StorageConfig = await loadStorageConfig(file)
  expect(config.cache?.options).toMatchObject({ keyPrefix: process.env.PATH })
  await expect(loadStorageConfig(file, { env: {} })).rejects.toMatchObject({ code: 'CONFIG_ENV_MISSING' })
})
