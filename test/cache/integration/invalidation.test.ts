import type { Repositories, Storage } from 'holdfast'
import { describe, expect, it } from 'vitest'
import { methodsOf } from '../../setup/methods.ts'
import { answers, cacheConfigs, open } from './storages.ts'

const cachedReads: Record<string, (from: Repositories) => Promise<unknown>> = {
  session: (from) => from.sessions.get('s'),
  fork: (from) => from.sessions.get('fork'),
  value: (from) => from.kv.get('k'),
  entry: (from) => from.kv.getEntry('k'),
  prompt: (from) => from.prompts.get('p'),
  'tool state': (from) => from.toolState.get('tool', 'k'),
  preferences: (from) => from.toolPreferences.getPreferences(),
  "the session's preferences": (from) => from.toolPreferences.getPreferences('s'),
  'approval state': (from) => from.approvals.getState(),
  "the session's approval state": (from) => from.approvals.getState('s'),
}

interface Change {
  /** The call, and the circumstances. */
  name: string
  arrange?: (storage: Storage, inAMinute: Date) => Promise<unknown>
  /** If true, ten minutes pass before the change. */
  later?: boolean
  act: (to: Repositories) => Promise<unknown>
  /** The cached reads whose results change. */
  changes: string[]
}

const scoped = ["the session's preferences", "the session's approval state"]
const withScoped = async (storage: Storage, expiresAt?: Date) => {
  await storage.sessions.create({ id: 's', expiresAt })
  await storage.toolPreferences.setPreferences({ disabled: ['a'] }, 's')
  await storage.approvals.setState({ asked: 1 }, 's')
}
const message = { role: 'user', content: 'hello' }
const toolsOf = (name: string) => ({ autoApproved: [name] })

const changes: Change[] = [
  { name: 'sessions.create()', act: (to) => to.sessions.create({ id: 's' }), changes: ['session'] },
  {
    name: 'sessions.create() when a session with this id has expired',
    arrange: withScoped,
    later: true,
    act: (to) => to.sessions.create({ id: 's' }),
    changes: ['session', ...scoped],
  },
  {
    name: 'sessions.update()',
    arrange: (storage) => storage.sessions.create({ id: 's' }),
    act: (to) => to.sessions.update('s', { title: 'new' }),
    changes: ['session'],
  },
  {
    name: 'sessions.update() that lets the session expire',
    arrange: (storage) => storage.sessions.create({ id: 's' }),
    act: (to) => to.sessions.update('s', { expiresAt: new Date(0) }),
    changes: ['session'],
  },
  {
    name: 'sessions.mergeMetadata()',
    arrange: (storage) => storage.sessions.create({ id: 's', metadata: { a: 1 } }),
    act: (to) => to.sessions.mergeMetadata('s', { b: 2 }),
    changes: ['session'],
  },
  {
    name: 'sessions.delete()',
    arrange: (storage) => withScoped(storage),
    act: (to) => to.sessions.delete('s'),
    changes: ['session', ...scoped],
  },
  {
    name: 'sessions.fork()',
    arrange: (storage) => storage.messages.append('s', message),
    act: (to) => to.sessions.fork('s', { id: 'fork' }),
    changes: ['fork'],
  },
  {
    name: 'sessions.sweepExpired()',
    arrange: withScoped,
    later: true,
    act: (to) => to.sessions.sweepExpired(),
    changes: scoped,
  },
  { name: 'messages.append()', act: (to) => to.messages.append('s', message), changes: ['session'] },
  { name: 'messages.put()', act: (to) => to.messages.put('s', [{ ...message, id: 'm' }]), changes: ['session'] },
  {
    name: 'messages.replace()',
    act: (to) => to.messages.replace('s', { afterSeq: 0 }, [message]),
    changes: ['session'],
  },
  {
    name: 'messages.import()',
    act: (to) => to.messages.import([{ ...message, sessionId: 's' }]),
    changes: ['session'],
  },
  {
    name: 'messages.import() of several sessions',
    act: (to) => to.messages.import(['other', 's'].map((sessionId) => ({ ...message, sessionId }))),
    changes: ['session'],
  },
  {
    name: 'messages.append() when a session with this id has expired',
    arrange: withScoped,
    later: true,
    act: (to) => to.messages.append('s', [message, message]),
    changes: ['session', ...scoped],
  },
  { name: 'kv.set()', act: (to) => to.kv.set('k', 1), changes: ['value', 'entry'] },
  { name: 'kv.setMany()', act: (to) => to.kv.setMany([['k', 1]]), changes: ['value', 'entry'] },
  {
    name: 'kv.deleteMany()',
    arrange: (storage) => storage.kv.set('k', 1),
    act: (to) => to.kv.deleteMany(['k']),
    changes: ['value', 'entry'],
  },
  {
    name: 'kv.clear()',
    arrange: (storage) => storage.kv.set('k', 1),
    act: (to) => to.kv.clear(),
    changes: ['value', 'entry'],
  },
  {
    name: 'kv.set() of an existing key',
    arrange: (storage) => storage.kv.set('k', 1),
    act: (to) => to.kv.set('k', 2, { ifVersion: 1, ttlSeconds: 5 }),
    changes: ['value', 'entry'],
  },
  {
    name: 'kv.set() of the same value',
    arrange: (storage) => storage.kv.set('k', 1),
    act: (to) => to.kv.set('k', 1),
    changes: ['entry'],
  },
  {
    name: 'kv.set() of a key that has expired',
    arrange: (storage) => storage.kv.set('k', 1, { ttlSeconds: 60 }),
    later: true,
    act: (to) => to.kv.set('k', 2),
    changes: ['value', 'entry'],
  },
  {
    name: 'kv.set() that lets an entry go with a session',
    arrange: async (storage) => {
      await storage.sessions.create({ id: 'other' })
      await storage.kv.set('k', 1)
    },
    act: (to) => to.kv.set('k', 2, { sessionId: 'other' }),
    changes: ['value', 'entry'],
  },
  { name: 'kv.setIfAbsent()', act: (to) => to.kv.setIfAbsent('k', 1), changes: ['value', 'entry'] },
  {
    name: 'kv.delete()',
    arrange: (storage) => storage.kv.set('k', 1),
    act: (to) => to.kv.delete('k'),
    changes: ['value', 'entry'],
  },
  {
    name: 'kv.sweepExpired()',
    arrange: (storage) => storage.kv.set('k', 1, { ttlSeconds: 60 }),
    later: true,
    act: (to) => to.kv.sweepExpired(),
    changes: [],
  },
  { name: 'prompts.save()', act: (to) => to.prompts.save({ name: 'p', content: 'x' }), changes: ['prompt'] },
  {
    name: 'prompts.save() of an existing prompt',
    arrange: (storage) => storage.prompts.save({ name: 'p', content: 'x' }),
    act: (to) => to.prompts.save({ name: 'p', content: 'y' }),
    changes: ['prompt'],
  },
  {
    name: 'prompts.delete()',
    arrange: (storage) => storage.prompts.save({ name: 'p', content: 'x' }),
    act: (to) => to.prompts.delete('p'),
    changes: ['prompt'],
  },
  { name: 'toolState.set()', act: (to) => to.toolState.set('tool', 'k', 1), changes: ['tool state'] },
  {
    name: 'toolState.set() of an existing key',
    arrange: (storage) => storage.toolState.set('tool', 'k', 1),
    act: (to) => to.toolState.set('tool', 'k', null),
    changes: ['tool state'],
  },
  {
    name: 'toolState.delete()',
    arrange: (storage) => storage.toolState.set('tool', 'k', 1),
    act: (to) => to.toolState.delete('tool', 'k'),
    changes: ['tool state'],
  },
  ...[undefined, 's'].flatMap((scope): Change[] => {
    const [preferences, state] = scope ? scoped : ['preferences', 'approval state']
    const [where, changed] = [
      scope ? 'of a session' : 'of all sessions',
      { preferences: [`${preferences}`], state: [`${state}`] },
    ]
    return [
      {
        name: `toolPreferences.setPreferences() ${where}`,
        act: (to) => to.toolPreferences.setPreferences(toolsOf('a'), scope),
        changes: changed.preferences,
      },
      {
        name: `toolPreferences.setPreferences() again ${where}`,
        arrange: (storage) => storage.toolPreferences.setPreferences(toolsOf('a'), scope),
        act: (to) => to.toolPreferences.setPreferences(toolsOf('b'), scope),
        changes: changed.preferences,
      },
      {
        name: `toolPreferences.deletePreferences() ${where}`,
        arrange: (storage) => storage.toolPreferences.setPreferences(toolsOf('a'), scope),
        act: (to) => to.toolPreferences.deletePreferences(scope),
        changes: changed.preferences,
      },
      {
        name: `approvals.setState() ${where}`,
        act: (to) => to.approvals.setState({ a: 1 }, scope),
        changes: changed.state,
      },
      {
        name: `approvals.setState() again ${where}`,
        arrange: (storage) => storage.approvals.setState(1, scope),
        act: (to) => to.approvals.setState(2, scope),
        changes: changed.state,
      },
      {
        name: `approvals.deleteState() ${where}`,
        arrange: (storage) => storage.approvals.setState(1, scope),
        act: (to) => to.approvals.deleteState(scope),
        changes: changed.state,
      },
    ]
  }),
]

/** The other calls of these repositories: reads, and writes that change no cached read. */
const others = [
  ...['sessions.get', 'sessions.summary', 'sessions.list', 'sessions.forks', 'sessions.search', 'messages.search'],
  'messages.recall',
  ...['messages.list', 'messages.latest', 'messages.get', 'messages.iterate'],
  ...[
    'messages.getMany',
    'messages.find',
    'messages.around',
    'messages.countByDay',
    'messages.delete',
    'messages.update',
    'messages.pop',
    'messages.truncate',
    'messages.clear',
  ],
  ...['kv.get', 'kv.getEntry', 'kv.getMany', 'kv.has', 'kv.keys', 'kv.entries'],
  ...['kv.find', 'kv.namespaces', 'kv.namespace'],
  ...['prompts.get', 'prompts.list', 'toolState.get', 'toolState.keys'],
  ...['toolPreferences.allow', 'toolPreferences.disallow', 'toolPreferences.isAllowed', 'toolPreferences.listAllowed'],
  'toolPreferences.getPreferences',
  ...['approvals.request', 'approvals.get', 'approvals.respond', 'approvals.listPending', 'approvals.getState'],
  ...['approvals.list', 'approvals.delete'],
]

it('every call of the cached repositories is listed here', async () => {
  const { sessions, messages, kv, prompts, toolState, toolPreferences, approvals } = await open({})
  const repositories = { sessions, messages, kv, prompts, toolState, toolPreferences, approvals }
  const calls = Object.entries(repositories).flatMap(([name, repository]) =>
    methodsOf(repository).map((method) => `${name}.${method}`),
  )
  const known = new Set([...others, ...changes.map(({ name }) => name.split('()')[0])])
  expect(calls.filter((call) => !known.has(call))).toEqual([])
})

async function readAll(from: Repositories): Promise<Record<string, unknown>> {
  const results: Record<string, unknown> = {}
  for (const [name, read] of Object.entries(cachedReads)) results[name] = await read(from)
  return results
}

/** Opens a storage and caches every row that is read here, or its absence. */
async function warmed(cache: () => Parameters<typeof open>[0]['cache'], { arrange, later }: Change) {
  let now = Date.now()
  const storage = await open({ cache: cache() }, { now: () => new Date(now) })
  await arrange?.(storage, new Date(now + 60_000))
  if (later) now += 600_000 // five minutes after it expired, maintenance removes it
  await readAll(storage)
  const before = await answers(storage)
  const rows = await readAll(storage)
  expect(await answers(storage)).toEqual({ ...before, hits: before.hits + Object.keys(cachedReads).length })
  return { storage, rows }
}

function differences(one: Record<string, unknown>, other: Record<string, unknown>): string[] {
  return Object.keys(one).filter((name) => JSON.stringify([one[name]]) !== JSON.stringify([other[name]]))
}

describe.each(Object.entries(cacheConfigs))('with a warm cache in %s,', (_name, cache) => {
  it.each(changes)('$name is visible in every cached read', async (change) => {
    const { storage, rows } = await warmed(cache, change)
    await change.act(storage)
    const after = await readAll(storage)
    expect(differences(rows, after)).toEqual(change.changes)
    expect(after).toStrictEqual(await storage.transaction(readAll))
  })

  it.each(changes)('$name in a transaction is visible in every cached read after the commit', async (change) => {
    const { storage, rows } = await warmed(cache, change)
    const inside = await storage.transaction(async (tx) => {
      await change.act(tx)
      return readAll(tx)
    })
    expect(differences(rows, inside)).toEqual(change.changes)
    expect(await readAll(storage)).toStrictEqual(inside)
  })

  it.each(changes)('$name in a transaction that rolls back leaves every row cached', async (change) => {
    const { storage, rows } = await warmed(cache, change)
    const before = await answers(storage)
    const undone = storage.transaction(async (tx) => {
      await change.act(tx)
      throw new Error('undone')
    })
    await expect(undone).rejects.toThrow('undone')
    expect(await readAll(storage)).toStrictEqual(rows)
    expect(await answers(storage)).toEqual({ ...before, hits: before.hits + Object.keys(cachedReads).length })
  })

  it('maintain() is visible in every cached read', async () => {
    const expiring = changes.find(({ name }) => name === 'sessions.sweepExpired()')
    if (!expiring) throw new Error('not reached')
    const { storage, rows } = await warmed(cache, expiring)
    await storage.maintain()
    const after = await readAll(storage)
    expect(differences(rows, after)).toEqual(scoped)
  })

  it('messages.append() to an existing session leaves the session cached', async () => {
    const { storage } = await warmed(cache, { name: '', act: async () => {}, changes: [] })
    await storage.messages.append('s', message)
    await storage.sessions.get('s')
    const before = await answers(storage)
    for (let i = 0; i < 5; i++) {
      await storage.messages.append('s', message)
      expect(await storage.sessions.get('s')).toBeDefined()
    }
    expect(await answers(storage)).toEqual({ ...before, hits: before.hits + 5 })
  })
})
