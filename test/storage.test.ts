import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadStorageConfig, openStorage, openStorageFromFile, type Storage, StorageError } from 'holdfast'
import { afterEach, expect, test, vi } from 'vitest'
import { times } from '../src/testing/contract.ts'
import { eachDatabase } from './repositories/databases.ts'
import { freshDirectory, freshPostgres } from './setup/databases.ts'
import { quiet, silent } from './setup/silent.ts'

const user = (content: string, id?: string) => ({ id, role: 'user', content })

afterEach(() => {
  vi.useRealTimers()
})

/** One call of each kind. All reject after close(). */
const calls: ((storage: Storage) => Promise<unknown>)[] = [
  (storage) => storage.sessions.get('id'),
  (storage) => storage.sessions.create(),
  (storage) => storage.messages.append('id', user('x')),
  (storage) => storage.messages.iterate('id').next(),
  (storage) => storage.events.follow().next(),
  (storage) => storage.kv.get('key'),
  (storage) => storage.kv.getMany(['key']),
  (storage) => storage.kv.set('key', 1),
  (storage) => storage.lists.update('key', (items) => ({ items, result: 1 })),
  (storage) => storage.transaction(async () => {}),
  (storage) => storage.stats(),
  (storage) => storage.cache.get('key'),
  (storage) => storage.cache.getMany(['key']),
  (storage) => storage.cache.set('key', 1),
  (storage) => storage.cache.delete('key'),
]

eachDatabase((open) => {
  test('close() waits for calls in flight and rejects later calls', async () => {
    const storage = await open()
    await storage.kv.set('key', 'cached')
    await storage.kv.get('key')
    const before = (await storage.stats()).database.rows.messages ?? 0
    let done = 0
    const inFlight = [
      ...times(20, (i) => storage.messages.append(`session ${i % 3}`, user(`${i}`))),
      storage.transaction(async (tx) => {
        for (const i of times(5, (index) => index)) {
          await tx.messages.append('session', user(`${i}`))
          await new Promise((resolve) => setTimeout(resolve, 5))
        }
      }),
    ].map((call) => Promise.resolve(call).then(() => done++))
    const closed = Promise.all([storage.close(), storage.close()])
    for (const call of calls) await expect(call(storage)).rejects.toMatchObject({ code: 'CLOSED' })
    await closed
    expect(done).toBe(21)
    await Promise.all(inFlight)
    await storage.close()
    for (const call of calls) await expect(call(storage)).rejects.toMatchObject({ code: 'CLOSED' })
    expect(await storage.health()).toMatchObject({ ok: false, database: { ok: false, error: /closed/ } })

    await using again = await open()
    const { type } = again.config.database
    const { messages } = (await again.stats()).database.rows
    expect(Number(messages) - before).toBe(type === 'in-memory' ? 0 : 25) // a database in memory ended with close()
  })

  test('close() rejects later calls at once and logs no error when maintenance is running', async () => {
    const logged: string[] = []
    let now = Date.now()
    const logger = { ...silent, error: (message: string) => logged.push(message) }
    const storage = await open({ logger, maintenance: false, now: () => new Date(now) })
    const expiresAt = new Date(now + 1000)
    await Promise.all(times(200, () => storage.sessions.create({ expiresAt })))
    now += 302_000 // five minutes after they expired
    const round = storage.maintain()
    const closed = storage.close()
    await expect(storage.kv.get('key')).rejects.toMatchObject({ code: 'CLOSED' })
    await closed
    for (const { error } of await round) if (error) expect(error).toMatchObject({ code: 'CLOSED' })
    expect(logged).toEqual([])
    await using again = await open({ maintenance: false, now: () => new Date(now) })
    await again.maintain() // removes what the interrupted round left
    expect((await again.stats()).database.rows.sessions).toBeLessThan(10)
  })

  test('await using closes the storage when the block throws', async () => {
    let storage: Storage | undefined
    const failing = async () => {
      await using opened = await open()
      storage = opened
      throw new Error('of the program')
    }
    await expect(failing()).rejects.toThrow('of the program')
    await expect(storage?.kv.get('key')).rejects.toMatchObject({ code: 'CLOSED' })
  })

  test('health() returns the type and latency of every layer', async () => {
    await using storage = await open()
    const health = await storage.health()
    expect(health).toMatchObject({ ok: true, database: { ok: true, type: storage.config.database.type } })
    const { ok, ...layers } = health
    for (const layer of Object.values(layers)) {
      expect(layer.latencyMs).toBeGreaterThanOrEqual(0)
      expect(layer).not.toHaveProperty('error')
    }
  })

  test('stats() counts the rows of each table and the bytes', async () => {
    await using storage = await open()
    const before = (await storage.stats()).database
    await storage.messages.append(
      'counted',
      times(3, () => user(randomBytes(50_000).toString('hex'))),
    )
    await storage.kv.set('counted', 1)
    const after = (await storage.stats()).database
    const added = (table: string) => Number(after.rows[table]) - Number(before.rows[table])
    expect(['sessions', 'messages', 'kv', 'lists'].map(added)).toEqual([1, 3, 1, 0])
    if (storage.config.database.type !== 'sqlite') expect(after.bytes - before.bytes).toBeGreaterThan(8_000)
    expect(after.bytes).toBeGreaterThan(8_000)
    await storage.sessions.delete('counted')
    await storage.kv.delete('counted')
  })

  test('openStorage() runs maintenance once a minute until close()', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    let now = Date.now()
    const storage = await open({ now: () => new Date(now) })
    await storage.kv.set('expiring', 1, { ttlSeconds: 30 })
    await storage.sessions.create({ id: 'expiring', expiresAt: new Date(now + 30_000) })
    const rows = async () => {
      const counted = (await storage.stats()).database.rows
      return [counted.kv, counted.sessions]
    }
    const [keys = 0, sessions = 0] = await rows()
    now += 59_000
    vi.advanceTimersByTime(59_000)
    expect(await rows()).toEqual([keys, sessions])
    now += 300_000 // what has expired stays for five minutes
    vi.advanceTimersByTime(1_000)
    await expect.poll(() => rows()).toEqual([keys - 1, sessions - 1])
    await storage.close()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('maintain() reports each step and runs all steps when one fails', async () => {
    const logged: string[] = []
    const logger = { ...silent, error: (message: string) => logged.push(message) }
    const storage = await open({ logger, maintenance: false })
    const reports = await storage.maintain()
    expect(reports.map(({ step }) => step)).toEqual(expect.arrayContaining(['expired-sessions', 'expired-keys']))
    for (const { removed, millis, error } of reports) {
      expect(removed).toBeGreaterThanOrEqual(0)
      expect(millis).toBeGreaterThanOrEqual(0)
      expect(error).toBeUndefined()
    }
    expect(logged).toEqual([])
    await storage.close()
    const failed = await storage.maintain()
    expect(failed.map(({ step }) => step)).toEqual(reports.map(({ step }) => step))
    for (const { error } of failed) expect(error).toMatchObject({ code: 'CLOSED' })
    expect(logged).toHaveLength(failed.length)
  })
})

test('openStorage() keeps everything in memory if nothing is configured', async () => {
  await using storage = await openStorage(undefined, { logger: silent })
  expect(storage.config).toMatchObject({
    cache: { type: 'in-memory' },
    database: { type: 'in-memory' },
    blobStore: { type: 'in-memory' },
  })
  await storage.kv.set('key', 1)
  await using other = await openStorage({}, { logger: silent })
  expect(await other.kv.get('key')).toBeUndefined()
})

/** Writes the smallest agent file and returns its path. */
function agentFile(): string {
  const file = join(freshDirectory(), 'agent.yml')
  writeFileSync(file, 'name: agent')
  return file
}

const invalid = (path: string) => ({ code: 'INVALID_INPUT', details: { problems: [{ path }] } })

test.each<[options: unknown, path: string]>([
  [null, 'options'],
  ['x', 'options'],
  [{ foo: 1 }, 'options.foo'],
  [{ baseDir: 5 }, 'options.baseDir'],
  [{ migrate: 'no' }, 'options.migrate'],
  [{ maintenance: 'x' }, 'options.maintenance'],
  [{ logger: {} }, 'options.logger'],
  [{ now: 5 }, 'options.now'],
  [{ env: 5 }, 'options.env'],
])('openStorage() and openStorageFromFile() reject the options %j', async (options, path) => {
  await expect(openStorage({}, options as object)).rejects.toMatchObject(invalid(path))
  await expect(openStorageFromFile(agentFile(), options as object)).rejects.toMatchObject(invalid(path))
})

test('loadStorageConfig() rejects options that are null', async () => {
  await expect(loadStorageConfig(agentFile(), null as never)).rejects.toMatchObject(invalid('options'))
})

test.each([undefined, null, 5] as never[])(
  'loadStorageConfig() and openStorageFromFile() reject the path %s',
  async (path) => {
    await expect(loadStorageConfig(path)).rejects.toMatchObject(invalid('path'))
    await expect(openStorageFromFile(path)).rejects.toMatchObject(invalid('path'))
  },
)

test('openStorageFromFile() accepts options that are undefined', async () => {
  await using storage = await openStorageFromFile(agentFile(), { env: process.env, logger: console, now: undefined })
  expect(await storage.kv.get('key')).toBeUndefined()
})

test('openStorageFromFile() resolves paths against the file and variables against the environment', async () => {
  const directory = freshDirectory()
  const file = join(directory, 'agent.yml')
  writeFileSync(file, 'name: agent\nstorage:\n  database:\n    type: sqlite\n    path: $DATA/agent.db\n')
  {
    await using storage = await openStorageFromFile(file, { env: { DATA: 'data' } })
    expect(storage.config.database).toMatchObject({ type: 'sqlite', file: join(directory, 'data/agent.db') })
    await storage.kv.set('key', 'kept')
  }
  await using storage = await openStorageFromFile(file, { env: { DATA: './data' } })
  expect(await storage.kv.get('key')).toBe('kept')
  await expect(openStorageFromFile(file, { env: {} })).rejects.toMatchObject({ code: 'CONFIG_ENV_MISSING' })
  await expect(openStorageFromFile(join(directory, 'none.yml'))).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
})

test('openStorage() shows no secret in its configuration and in its errors', async () => {
  const url = await freshPostgres()
  await using storage = await openStorage({ database: { type: 'postgres', url } }, { logger: silent })
  const { password } = new URL(url)
  expect(password).not.toBe('')
  expect(JSON.stringify(storage.config)).toContain('***')
  for (const secret of [password, decodeURIComponent(password)]) {
    expect(JSON.stringify(storage.config)).not.toContain(secret)
  }
  const wrong = new URL(url)
  wrong.password = 'wrong-secret'
  const error = await openStorage({ database: { type: 'postgres', url: wrong.href } }).catch((thrown) => thrown)
  expect(error).toBeInstanceOf(StorageError)
  expect(error).toMatchObject({ code: 'CONNECTION_FAILED', retryable: false })
  expect(`${error.stack} ${JSON.stringify(error.details)} ${error.cause?.stack}`).not.toContain('wrong-secret')
})

test('openStorage() with readonly reads a SQLite file and rejects writes', async () => {
  const path = join(freshDirectory(), 'agent.db')
  const readonly = { database: { type: 'sqlite', path, options: { readonly: true } } } as const
  await expect(openStorage(readonly)).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
  {
    await using storage = await openStorage({ database: { type: 'sqlite', path } })
    await storage.messages.append(
      'session',
      times(3, (i) => user(`${i}`)),
    )
    await Promise.all(times(80, (i) => storage.kv.set(`${i}`, i)))
  }
  await using storage = await openStorage(readonly)
  expect(await storage.messages.latest('session', 10)).toHaveLength(3)
  expect((await storage.kv.getMany(times(100, String))).size).toBe(80)
  expect((await storage.sessions.list()).items).toHaveLength(1)
  const writes = [
    storage.kv.set('0', 'changed'),
    storage.messages.append('session', user('x')),
    storage.transaction((tx) => tx.kv.delete('0')),
    storage.lists.update('list', (items) => ({ items, result: 1 })),
  ]
  for (const outcome of await Promise.allSettled(writes)) {
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'READ_ONLY' } })
  }
  expect(await storage.kv.get('0')).toBe(0)
})

test('messages.list() says what a cursor must be when it is given another', async () => {
  await using storage = await openStorage({}, quiet)
  const message = 'options.cursor: must be the nextCursor of a page of the same list'
  await expect(storage.messages.list('chat', { cursor: 'next' })).rejects.toThrow(message)
})

test('a call names the properties that it knows when it is given another', async () => {
  await using storage = await openStorage({}, quiet)
  const typo = { type: 'run', data: 1 }
  await expect(storage.events.append(typo)).rejects.toThrow(
    'event.data: is unknown here: known are id, type, sessionId, runId, payload, occurredAt',
  )
})

test('a put into a blob store in memory is warned about once, if the database stays', async () => {
  const path = join(freshDirectory(), 'agent.db')
  const warnings: unknown[] = []
  const logger = { ...silent, warn: (_: string, details: unknown) => void warnings.push(details) }
  for (const database of [{ type: 'in-memory' }, { type: 'sqlite', path }] as const) {
    await using storage = await openStorage({ database }, { ...quiet, logger })
    expect(await storage.blobs.list()).toMatchObject({ items: [] })
    expect(warnings).toEqual([])
    for (const text of ['a', 'b']) await storage.blobs.put(Buffer.from(text))
    if (database.type === 'in-memory') expect(warnings).toEqual([])
  }
  expect(warnings).toEqual([{ component: 'storage', code: 'BLOBS_IN_MEMORY' }])
})
