import { join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type LoadOptions, loadStorageConfig } from '../../src/config/load.ts'
import { resolveConfig } from '../../src/config/resolve.ts'
import type { StorageConfig } from '../../src/config/schema.ts'
import { configFile } from './blocks.ts'

const load = async (text: string, env: LoadOptions['env'] = {}) =>
  loadStorageConfig((await configFile(text)).file, { env })
const memory = { cache: { type: 'in-memory' }, database: { type: 'in-memory' }, blobStore: { type: 'in-memory' } }

describe('the section', () => {
  test('is taken from a whole agent file; the rest is neither checked nor replaced', async () => {
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
    ['an agent without it', 'llm:\n  model: x'],
    ['an empty section', 'storage:'],
  ])('in-memory everywhere: %s', async (_, text) => {
    expect(await load(text)).toMatchObject(memory)
  })

  test('may be the whole file, and is then as strict', async () => {
    expect((await load('database: { type: sqlite }')).database.type).toBe('sqlite')
    expect((await load('blob: { type: local }')).blobStore.type).toBe('local')
    await expect(load('database: { type: sqlite }\ncahce: {}')).rejects.toThrow('cahce: unknown key')
  })

  test.each(['storge: {}', 'Storage: {}', 'storages:'])('is not lost by a slip of the pen: %s', async (text) => {
    await expect(load(text)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('"storage"'),
    })
  })

  test('may be JSON, with tabs and a byte order mark', async () => {
    const text = `\ufeff${JSON.stringify({ storage: { cache: { type: 'redis', port: 1 } } }, null, '\t')}`
    expect((await load(text)).cache).toMatchObject({ type: 'redis', port: 1 })
  })

  test('may use anchors and merge keys', async () => {
    const text = `
defaults: &pool { maxConnections: 7 }
storage:
  cache: { <<: *pool, type: redis }
  database: { <<: *pool, type: postgres, url: "postgres://h/d" }`
    const { cache, database } = await load(text)
    expect([cache.maxConnections, database.maxConnections]).toEqual([7, 7])
  })
})

describe('a file that cannot be read', () => {
  test('names the file and why', async () => {
    const { directory } = await configFile('')
    const file = join(directory, 'absent.yml')
    await expect(loadStorageConfig(file)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: `${file} is not valid:\n  file: cannot be read (ENOENT); expected a YAML or JSON file`,
    })
    await expect(loadStorageConfig(directory)).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
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
    ['an alias of nothing', 'storage: *geheim', 'file: expected aliases'],
    ['a circle', 'storage: &geheim { cache: *geheim }', 'file: expected aliases'],
    ['an alias bomb', `a0: &a0 [geheim]\n${bomb(30)}storage: *a30`, 'file: expected aliases'],
  ])('says where, and does not quote it: %s', async (_, text, expected) => {
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

const bomb = (depth: number) =>
  Array.from({ length: depth }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}]\n`).join('')

describe('paths', () => {
  test('are absolute, so that the result can be opened from anywhere', async () => {
    const text = 'storage: { database: { type: sqlite, path: data/a.db }, blobStore: { type: local, storePath: ../b } }'
    const { file, directory } = await configFile(text)
    // A relative name of the file itself, too.
    const config = await loadStorageConfig(relative(process.cwd(), file))
    expect(config.database).toMatchObject({ path: join(directory, 'data/a.db') })
    const resolved = resolveConfig(config, { baseDir: '/somewhere/else' })
    expect(resolved.database).toMatchObject({ file: join(directory, 'data/a.db') })
    expect(resolved.blobStore).toMatchObject({ storePath: join(directory, '../b') })
  })

  test('are those of the file, whatever they look like', async () => {
    for (const [fields, expected] of [
      ['', 'agent.db'],
      ['database: plain', 'plain'],
      ['path: dir.d/', 'dir.d/agent.db'],
      ['path: dir', 'dir/agent.db'],
      ['path: dir.d, database: plain', 'dir.d/plain'],
    ]) {
      const { file, directory } = await configFile(`storage: { database: { type: sqlite, ${fields} } }`)
      const resolved = resolveConfig(await loadStorageConfig(file), { baseDir: '/somewhere/else' })
      expect(resolved.database).toMatchObject({ file: join(directory, expected ?? '') })
    }
  })
})

describe('variables for what is no text', () => {
  test('become numbers and booleans where the schema wants them, and stay text elsewhere', async () => {
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

  test.each(['geheim', '0x10', '1.5', '-1', '', 'constructor', 'true'])('must look like one: %j', async (PORT) => {
    const loaded = load('storage: { cache: { type: redis, port: $PORT } }', { PORT })
    await expect(loaded).rejects.toThrow(/storage\.cache\.port: expected number, received (string|boolean)$/)
  })

  test('text of the file is never taken for one', async () => {
    await expect(load('storage: { cache: { type: redis, port: "6379" } }')).rejects.toThrow('expected number')
  })
})

test('variables come from the environment of the process, unless another is given', async () => {
  const { file } = await configFile('storage: { cache: { type: redis, options: { keyPrefix: $PATH } } }')
  // What is loaded is a configuration like any other.
  const config: StorageConfig = await loadStorageConfig(file)
  expect(config.cache?.options).toMatchObject({ keyPrefix: process.env.PATH })
  await expect(loadStorageConfig(file, { env: {} })).rejects.toMatchObject({ code: 'CONFIG_ENV_MISSING' })
})
