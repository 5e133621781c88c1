import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel'
import { join } from 'node:path'
import { openStorage, type Storage } from 'holdfast'
import { describe, expect, it } from 'vitest'
import { OBSERVABLES } from '../../src/repositories/observables.ts'
import { pageText } from '../docs/pages.ts'
import { freshDirectory, freshPostgres, redisPrefix, redisUrl } from '../setup/databases.ts'
import { methodsOf } from '../setup/methods.ts'
import { quiet } from '../setup/silent.ts'
import { blobCalls, cacheCalls, MARK, repositoryCalls, storageCalls } from './every-call.ts'
import { type Heard, heardDuring } from './heard.ts'

const databases: [name: string, namespace: string, open: () => Promise<Storage>][] = [
  [
    'sqlite',
    'agent.db',
    async () => {
      const directory = freshDirectory()
      const database = { type: 'sqlite', path: join(directory, 'agent.db'), options: { search: true } } as const
      return openStorage({ database, blobStore: { type: 'local', storePath: join(directory, 'blobs') } }, quiet)
    },
  ],
  [
    'postgres',
    'expected below',
    async () =>
      openStorage(
        {
          database: { type: 'postgres', url: await freshPostgres(), options: { search: true } },
          cache: { type: 'redis', url: redisUrl(), options: { keyPrefix: redisPrefix() } },
          blobStore: { type: 'local', storePath: join(freshDirectory(), 'blobs') },
        },
        quiet,
      ),
  ],
]

const ignored = () => {}

/** The only calls of every-call.ts that are refused for their arguments. */
const REFUSED = ['messages.list', 'messages.import', 'kv.set', 'queues.ack', 'blobs.put', 'blobs.put']

/** Runs every call one after the other. Returns the messages of each. */
async function everyCall(storage: Storage): Promise<Map<string, Heard[]>> {
  const heard = new Map<string, Heard[]>()
  const calls = { ...repositoryCalls, ...blobCalls, ...cacheCalls }
  for (const [name, call] of Object.entries(calls)) {
    heard.set(name, (await heardDuring(async () => Promise.resolve(call(storage)).catch(ignored))).messages)
  }
  for (const [name, call] of Object.entries(storageCalls)) {
    heard.set(name, (await heardDuring(async () => Promise.resolve(call(storage)).catch(ignored))).messages)
  }
  return heard
}

/** The fields of each channel, as docs/observability.md has them. `latencyMs` and `error` are those of every message. */
const documented = Object.fromEntries(
  Array.from(
    pageText('docs/observability.md').matchAll(/^\| `holdfast:(\w+)` \|.*\| (.*) \|$/gm),
    ([, name = '', fields = '']) => [name, Array.from(fields.matchAll(/`(\w+)`/g), ([, field]) => field).sort()],
  ),
)

/** The fields of the messages by channel. */
function fieldsOf(messages: readonly Heard[]): Record<string, string[]> {
  const fields = new Map<string, Set<string>>()
  for (const { channel, latencyMs, error, ...rest } of messages) {
    fields.set(channel, new Set([...(fields.get(channel) ?? []), ...Object.keys(rest)]))
  }
  return Object.fromEntries(Array.from(fields, ([channel, names]) => [channel, [...names].sort()]))
}

describe.each(databases)('on %s', (type, _, open) => {
  it('every call is an operation, with its own tables, and no message has a part of an argument', async () => {
    await using storage = await open()
    const heard = await everyCall(storage)
    const operations = [...heard.values()].flat().filter(({ channel }) => channel === 'operation')
    const names = new Set(operations.map(({ repository, method }) => `${repository}.${method}`))
    const methods = [...Object.keys(OBSERVABLES), 'blobs', 'cache'].flatMap((repository) =>
      methodsOf(Reflect.get(storage, repository)).map((method) => `${repository}.${method}`),
    )
    expect(methods.filter((name) => !names.has(name)).sort()).toEqual([
      'events.follow',
      'kv.namespace',
      'kv.sweepExpired',
      'lists.ofSession',
      'sessions.sweepExpired',
    ])
    expect([...names].filter((name) => !methods.includes(name)).sort()).toEqual([
      'storage.backup',
      'storage.diagnose',
      'storage.embedPending',
      'storage.enablePgvector',
      'storage.erase',
      'storage.export',
      'storage.prune',
      'storage.rebuildSearch',
      'storage.removeEmbeddings',
      'storage.stats',
      'transaction.lockSession',
      'transaction.once',
    ])
    expect(JSON.stringify([...heard.values()])).not.toContain(MARK)
    const refused = operations.filter(({ error }) => (error as { code?: string } | undefined)?.code === 'INVALID_INPUT')
    expect(refused.map(({ repository, method }) => `${repository}.${method}`)).toEqual(REFUSED)
    for (const message of [...heard.values()].flat()) expect(message.latencyMs).toBeGreaterThanOrEqual(0)
    expect(fieldsOf([...heard.values()].flat())).toEqual(documented)

    for (const [repository, { tables }] of Object.entries(OBSERVABLES)) {
      const calls = [...heard].filter(([name]) => name.startsWith(repository)).flatMap(([, messages]) => messages)
      const used = calls.filter(({ channel }) => channel === 'statement').map(({ sql }) => String(sql))
      const unused = tables.filter((table) => !used.some((sql) => sql.includes(`"${table}"`)))
      expect({ repository, unused }).toEqual({ repository, unused: [] })
    }
  })

  it('what the storage calls by itself is no operation', async () => {
    await using storage = await open()
    const { messages } = await heardDuring(async () => {
      await storage.maintain()
      await storage.erase({ ownerId: 'ada' })
      await storage.messages.find(['a', 'b'])
    }, ['operation'])
    expect(messages.map(({ repository, method, batchSize }) => [repository, method, batchSize])).toEqual([
      ['storage', 'erase', undefined],
      ['messages', 'find', 2],
    ])
  })

  it('the messages say what was done, and how it failed', async () => {
    await using storage = await open()
    const source = { database: type, namespace: expect.any(String), latencyMs: expect.any(Number) }
    const of = async (work: () => Promise<unknown>) =>
      (await heardDuring(() => work().catch(ignored), ['operation'])).messages

    const message = { role: 'user', content: 'Hello' }
    expect(await of(() => storage.messages.append('chat', [message, message]))).toEqual([
      {
        channel: 'operation',
        repository: 'messages',
        method: 'append',
        tables: ['messages', 'sessions'],
        batchSize: 2,
        rows: 2,
        ...source,
      },
    ])
    expect(await of(() => storage.messages.append('chat', message))).toMatchObject([{ rows: 1 }])
    expect(await of(() => storage.messages.list('chat'))).toMatchObject([{ method: 'list', rows: 3 }])
    const iterate = async () => {
      for await (const _ of storage.messages.iterate('chat'));
    }
    expect(await of(iterate)).toMatchObject([{ method: 'iterate', rows: 3 }])

    await storage.kv.set('key', 'value')
    const [miss] = await of(() => storage.kv.get('key'))
    expect(miss).toMatchObject({ method: 'get', cache: 'miss' })
    const [hit] = await of(() => storage.kv.get('key'))
    expect(hit).toMatchObject({ method: 'get', cache: 'hit' })
    expect(await of(() => storage.transaction((tx) => tx.kv.get('key')))).toMatchObject([{ cache: 'bypass' }])
    expect(await of(() => storage.scope({ ownerId: 'ada' }).kv.get('key'))).toMatchObject([{ cache: 'miss' }])

    expect(await of(() => storage.blobs.put(Buffer.from('hello')))).toMatchObject([{ method: 'put', bytes: 5 }])
    expect(await of(() => storage.sessions.update('none', { title: 'x' }))).toMatchObject([
      { error: { code: 'NOT_FOUND' } },
    ])
    expect(await of(() => storage.lists.update('list', () => Promise.reject(new RangeError('no'))))).toMatchObject([
      { error: { code: '_OTHER' } },
    ])
    const append = () => storage.messages.append('chat', { ...message, id: 'm1' })
    await append()
    const [repeated] = (await heardDuring(append, ['statement'])).messages
    const statusCode = type === 'sqlite' ? expect.stringMatching(/^SQLITE_CONSTRAINT_/) : '23505'
    expect(repeated).toMatchObject({ operation: 'INSERT', error: { statusCode } })
  })

  it('statements, transactions, the cache, blobs and maintenance have channels of their own', async () => {
    await using storage = await open()
    const of = async (work: () => Promise<unknown>) => (await heardDuring(work)).messages
    const inTransaction = await of(() => storage.transaction((tx) => tx.kv.set('key', 'value')))
    expect(inTransaction).toMatchObject([
      { channel: 'statement', operation: 'INSERT', table: 'kv', statements: 1, transaction: true, rows: 1 },
      { channel: 'operation', repository: 'kv', method: 'set' },
      { channel: 'transaction', waitMs: expect.any(Number) },
      { channel: 'cache', method: 'invalidate', table: 'kv', keys: 1 },
    ])
    const store = type === 'sqlite' ? 'in-memory' : 'redis'
    const [loaded, read] = await of(() => storage.kv.get('key'))
    expect(loaded).toMatchObject({ channel: 'statement', operation: 'SELECT', table: 'kv', transaction: false })
    expect(read).toMatchObject({ channel: 'cache', store, method: 'read', table: 'kv', result: 'miss' })

    const { uri } = await storage.blobs.put(Buffer.from('hello'))
    const put = (await of(() => storage.blobs.put(Buffer.from('other')))).filter(({ channel }) => channel === 'blob')
    expect(put).toMatchObject([
      { store: 'local', method: 'stage', bytes: 5 },
      { store: 'local', method: 'commit', bytes: 5 },
    ])
    const [opened] = (await of(() => storage.blobs.text(uri))).filter(({ channel }) => channel === 'blob')
    expect(opened).toMatchObject({ store: 'local', method: 'open', bytes: 5 })
    const steps = (await of(() => storage.maintain())).filter(({ channel }) => channel === 'maintenance')
    expect(steps[0]).toMatchObject({ step: 'expired-sessions', removed: 0 })
  })
})

it('tracePromise of Node would put the result into the message', async () => {
  const channel = tracingChannel<object>('naive')
  let heard: unknown
  const listener = (message: unknown) => {
    heard = message
  }
  channel.asyncEnd.subscribe(listener)
  await channel.tracePromise(async () => MARK, {})
  channel.asyncEnd.unsubscribe(listener)
  expect(JSON.stringify(heard)).toContain(MARK)
})

it('the events of a call come in the order that Node gives them, and an error has one of its own', async () => {
  await using storage = await openStorage({}, quiet)
  const { events } = await heardDuring(() => storage.kv.get('').catch(ignored), ['operation'])
  const order = ['start', 'end', 'error', 'asyncStart', 'asyncEnd']
  expect(events).toEqual(order.map((event) => `operation ${event}`))
})

it('a listener that throws does not fail the call', async () => {
  await using storage = await openStorage({}, quiet)
  const thrown: unknown[] = []
  const before = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException').on('uncaughtException', (error) => thrown.push(error))
  const listener = () => {
    throw new Error('a fault of the listener')
  }
  subscribe('tracing:holdfast:operation:start', listener)
  try {
    expect(await storage.kv.get('key')).toBeUndefined()
    await new Promise(setImmediate)
  } finally {
    unsubscribe('tracing:holdfast:operation:start', listener)
    process.removeAllListeners('uncaughtException')
    for (const each of before) process.on('uncaughtException', each)
  }
  expect(thrown).toHaveLength(1)
})

it('breaking off an iteration ends its operation, and what the caller does meanwhile does not count', async () => {
  await using storage = await openStorage({}, quiet)
  await storage.messages.append('chat', [
    { role: 'user', content: 'one' },
    { role: 'user', content: 'two' },
  ])
  const { messages } = await heardDuring(async () => {
    for await (const _ of storage.messages.iterate('chat')) {
      await new Promise((resolve) => setTimeout(resolve, 800))
      break
    }
  }, ['operation'])
  expect(messages).toMatchObject([{ method: 'iterate', rows: 1 }])
  expect(messages[0]?.latencyMs).toBeLessThan(700)
})
