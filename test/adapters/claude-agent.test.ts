import { randomUUID } from 'node:crypto'
import {
  deleteSession,
  foldSessionSummary,
  forkSession,
  getSessionInfo,
  getSessionMessages,
  getSubagentMessages,
  InMemorySessionStore,
  listSessions,
  listSubagents,
  renameSession,
  type SessionKey,
  type SessionStoreEntry,
  tagSession,
} from '@anthropic-ai/claude-agent-sdk'
import fc from 'fast-check'
import { isStorageError, openStorage } from 'holdfast'
import { HoldfastSessionStore } from 'holdfast/claude-agent'
import { expect, it } from 'vitest'
import { startLink } from '../database/link.ts'
import { eachDatabase } from '../repositories/databases.ts'
import { freshPostgres } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'

const user = (uuid: string, text = uuid): SessionStoreEntry => ({
  type: 'user',
  uuid,
  parentUuid: null,
  timestamp: '2026-01-01T00:00:00.000Z',
  cwd: '/work',
  isSidechain: false,
  message: { role: 'user', content: text },
})
const title = (customTitle: string): SessionStoreEntry => ({ type: 'custom-title', customTitle })

/** Lines as they occur, with what is easily lost. */
const LINES: SessionStoreEntry[] = [
  user('u1', 'Hello \u0000 \ud800 🗝'),
  {
    type: 'assistant',
    uuid: 'a1',
    message: { id: 'msg', role: 'assistant', usage: { tokens: 1 }, content: [{ type: 'text', text: 'Hi' }] },
  },
  { type: 'user', uuid: 'u2', message: { role: 'user', content: [{ type: 'tool_result', content: null }] } },
  { type: 'assistant', uuid: 'a2', message: { role: 'assistant', content: null } },
  { type: 'user', uuid: 'u3', message: { content: 'without a role', $bytes: 'x' } },
  { type: 'summary', summary: 'They said hello.', leafUuid: 'a1' },
  title('A greeting'),
  { type: 'x', message: 'a text', nested: { $date: 'x', deep: [{ $bytes: '' }] } },
]

eachDatabase((open) => {
  it('load() returns what append() was given, in its order, and null for what was never written', async () => {
    await using storage = await open()
    const store = new HoldfastSessionStore(storage)
    const key = { projectKey: randomUUID(), sessionId: randomUUID() }
    expect(await store.load(key)).toBeNull()
    await store.append(key, LINES.slice(0, 3))
    await store.append(key, [])
    await store.append(key, LINES.slice(3))
    expect(await store.load(key)).toEqual(LINES)
    expect(await store.load({ ...key, projectKey: randomUUID() })).toBeNull()
    expect(await store.load({ ...key, subpath: 'subagents/agent-1' })).toBeNull()
  })

  it('append() leaves out a uuid that is there already, in one call or in several, and nothing without a uuid', async () => {
    await using storage = await open()
    const store = new HoldfastSessionStore(storage, { foldSessionSummary })
    const key = { projectKey: randomUUID(), sessionId: randomUUID() }
    await store.append(key, [user('1'), title('a'), user('1', 'again')])
    await Promise.all([1, 2, 3].map(() => store.append(key, [user('1', 'again'), user('2'), user('3')])))
    await store.append(key, [title('a')])
    expect(await store.load(key)).toEqual([user('1'), title('a'), user('2'), user('3'), title('a')])
  })

  it('append() takes 2,500 lines', async () => {
    await using storage = await open()
    const store = new HoldfastSessionStore(storage)
    const key = { projectKey: randomUUID(), sessionId: randomUUID() }
    const lines = Array.from({ length: 2500 }, (_, i) => user(`${i}`))
    await store.append(key, lines)
    await store.append(key, lines.slice(-2))
    expect(await store.load(key)).toEqual(lines)
  })

  it('append() refuses a key without its parts', async () => {
    await using storage = await open()
    const store = new HoldfastSessionStore(storage)
    const whole = { projectKey: 'p', sessionId: 's' }
    for (const wrong of [{ subpath: '' }, { sessionId: '' }, { projectKey: undefined as unknown as string }]) {
      for (const call of [store.append({ ...whole, ...wrong }, [user('1')]), store.load({ ...whole, ...wrong })]) {
        await expect(call).rejects.toSatisfy((error) => isStorageError(error, 'INVALID_INPUT'))
      }
    }
    const invalid = store.append({ ...whole, sessionId: randomUUID() }, [{ type: 'x', value: Number.NaN }])
    await expect(invalid).rejects.toThrow(/value/)
  })

  it('keeps keys apart however they are spelled', async () => {
    await using storage = await open()
    const store = new HoldfastSessionStore(storage)
    const long = 'é'.repeat(300)
    const keys: SessionKey[] = [
      { projectKey: 'a/b', sessionId: 'c' },
      { projectKey: 'a', sessionId: 'b/c' },
      { projectKey: 'a', sessionId: 'b', subpath: 'c' },
      { projectKey: 'a', sessionId: 'b' },
      { projectKey: 'a%2Fb', sessionId: 'c' },
      { projectKey: long, sessionId: long, subpath: long },
      { projectKey: long, sessionId: long, subpath: `${long}é` },
      { projectKey: '\0', sessionId: '\ud800' },
      { projectKey: '\0', sessionId: '\ud801' },
    ]
    for (const [i, key] of keys.entries()) await store.append(key, [user(`${i}`)])
    for (const [i, key] of keys.entries()) expect(await store.load(key)).toEqual([user(`${i}`)])
    const ids = async (projectKey: string) => (await store.listSessions(projectKey)).map(({ sessionId }) => sessionId)
    expect((await ids('a')).toSorted()).toEqual(['b', 'b/c'])
    expect((await ids('\0')).toSorted()).toEqual(['\ud800', '\ud801'])
    expect((await store.listSubkeys({ projectKey: long, sessionId: long })).toSorted()).toEqual([long, `${long}é`])
  })

  it("does what the SDK's own store in memory does, whatever the calls", async () => {
    await using storage = await open()
    const key = fc.record(
      {
        projectKey: fc.constantFrom('p', 'q'),
        sessionId: fc.constantFrom('s', 't'),
        subpath: fc.constantFrom('x', 'x/y'),
      },
      { requiredKeys: ['projectKey', 'sessionId'] },
    )
    const line = fc.oneof(
      fc
        .constantFrom(...LINES)
        .map((entry): SessionStoreEntry => (entry.uuid ? { ...entry, uuid: randomUUID() } : entry)),
      fc
        .record({ type: fc.string({ minLength: 1 }), value: fc.jsonValue() })
        .map((entry): SessionStoreEntry => JSON.parse(JSON.stringify(entry))),
    )
    const call = fc.oneof(
      { weight: 3, arbitrary: fc.record({ append: fc.array(line, { minLength: 1, maxLength: 3 }), key }) },
      { weight: 1, arbitrary: fc.record({ delete: fc.constant(true), key }) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(call, { minLength: 3, maxLength: 12 }), async (calls) => {
        const theirs = new InMemorySessionStore()
        const scope = storage.scope({ ownerId: randomUUID() })
        const ours = new HoldfastSessionStore(scope, { foldSessionSummary })
        for (const each of calls) {
          for (const store of [theirs, ours]) {
            if ('append' in each) await store.append(each.key, each.append)
            else await store.delete(each.key)
          }
        }
        const stateOf = async (store: InMemorySessionStore | HoldfastSessionStore) => {
          const state: Record<string, unknown> = {}
          for (const projectKey of ['p', 'q']) {
            const ids = (await store.listSessions(projectKey)).map(({ sessionId }) => sessionId)
            const summaries = (await store.listSessionSummaries?.(projectKey)) ?? []
            const data = summaries.map(({ sessionId, data }) => [sessionId, data]).toSorted()
            state[projectKey] = { ids: ids.toSorted(), data }
            for (const sessionId of ['s', 't']) {
              const subkeys = (await store.listSubkeys({ projectKey, sessionId })).toSorted()
              const lines = [await store.load({ projectKey, sessionId })]
              for (const subpath of subkeys) lines.push(await store.load({ projectKey, sessionId, subpath }))
              state[projectKey + sessionId] = { subkeys, lines }
            }
          }
          return state
        }
        expect(await stateOf(ours)).toEqual(await stateOf(theirs))
      }),
      { numRuns: rounds(15, 500) },
    )
  })

  it('keeps one summary of all lines while several append, which reading and writing alone does not', async () => {
    await using storage = await open()
    const key = { projectKey: randomUUID(), sessionId: randomUUID() }
    const lines: SessionStoreEntry[] = [
      user('1'),
      title('title'),
      { type: 'ai-title', aiTitle: 'ai' },
      { type: 'tag', tag: 'tag' },
      { type: 'last-prompt', lastPrompt: 'last' },
    ]
    const expected = Object.keys(foldSessionSummary(undefined, key, lines).data).toSorted()
    await Promise.all(
      lines.map(async (line) => {
        const data = await storage.kv.get<Record<string, unknown>>(`naive ${key.sessionId}`)
        const before = data && { sessionId: key.sessionId, mtime: 0, data }
        await storage.kv.set(`naive ${key.sessionId}`, foldSessionSummary(before, key, [line]).data)
      }),
    )
    const naive = await storage.kv.get<Record<string, unknown>>(`naive ${key.sessionId}`)
    expect(Object.keys(naive ?? {}).length).toBeLessThan(expected.length)

    const store = new HoldfastSessionStore(storage, { foldSessionSummary })
    await Promise.all(lines.map((line) => store.append(key, [line])))
    const [summary] = (await store.listSessionSummaries?.(key.projectKey)) ?? []
    expect(Object.keys(summary?.data ?? {}).toSorted()).toEqual(expected)
    expect(summary?.mtime).toBe((await store.listSessions(key.projectKey))[0]?.mtime)
    expect(Math.abs(Date.now() - (summary?.mtime ?? 0))).toBeLessThan(60_000)
    expect(new HoldfastSessionStore(storage).listSessionSummaries).toBeUndefined()
  })

  it("serves the SDK's functions for sessions, with and without summaries", async () => {
    await using storage = await open()
    const scope = storage.scope({ ownerId: randomUUID() })
    for (const sessionStore of [
      new HoldfastSessionStore(scope, { foldSessionSummary }),
      new HoldfastSessionStore(scope),
    ]) {
      const options = { dir: import.meta.dirname, sessionStore }
      let projectKey = ''
      const spy = Object.assign(Object.create(sessionStore), {
        listSessions: (key: string) => {
          projectKey = key
          return sessionStore.listSessions(key)
        },
      })
      expect(await listSessions({ ...options, sessionStore: spy })).toEqual([])
      const sessionId = randomUUID()
      await sessionStore.append({ projectKey, sessionId }, [{ ...user(randomUUID(), 'Book a train'), sessionId }])
      const subpath = 'subagents/agent-abc'
      const side = { ...user(randomUUID(), 'Look it up'), sessionId, isSidechain: true, agentId: 'abc' }
      await sessionStore.append({ projectKey, sessionId, subpath }, [side])
      await renameSession(sessionId, 'A trip', options)
      await tagSession(sessionId, 'travel', options)
      expect(await getSessionInfo(sessionId, options)).toMatchObject({ summary: 'A trip', tag: 'travel' })
      expect(await getSessionMessages(sessionId, options)).toMatchObject([{ message: { content: 'Book a train' } }])
      expect(await listSubagents(sessionId, options)).toEqual(['abc'])
      expect(await getSubagentMessages(sessionId, 'abc', options)).toHaveLength(1)
      const fork = await forkSession(sessionId, options)
      expect(await getSessionMessages(fork.sessionId, options)).toMatchObject([
        { message: { content: 'Book a train' } },
      ])
      const ids = (await listSessions(options)).map((info) => info.sessionId)
      expect(ids.toSorted()).toEqual([sessionId, fork.sessionId].toSorted())
      for (const id of ids) await deleteSession(id, options)
      expect([await listSessions(options), (await scope.sessions.list()).items]).toEqual([[], []])
      expect((await scope.kv.keys()).items).toEqual([])
    }
  })
})

it('what was said is found by a search, and other messages of the session are no lines', async () => {
  await using storage = await openStorage(
    { database: { type: 'in-memory', options: { search: true } } },
    { maintenance: false },
  )
  const store = new HoldfastSessionStore(storage)
  const key = { projectKey: 'p', sessionId: 's' }
  await store.append(key, [user('1', 'Book a train to Bergen')])
  const { items } = await storage.messages.search('bergen')
  expect(items.map(({ message }) => [message.sessionId, message.role])).toEqual([['p/s', 'user']])
  await storage.messages.append('p/s', { role: 'user', content: 'from elsewhere' })
  expect(await store.load(key)).toEqual([user('1', 'Book a train to Bergen')])
})

it('takes few round trips', async () => {
  const url = new URL(await freshPostgres())
  await (await openStorage({ database: { type: 'postgres', url: url.href } }, quiet)).close() // migrates, over no link
  const link = await startLink(Number(url.port), { delayMillis: 10 })
  url.port = String(link.port)
  await using storage = await openStorage({ database: { type: 'postgres', url: url.href, maxConnections: 1 } }, quiet)
  const plain = new HoldfastSessionStore(storage)
  const folding = new HoldfastSessionStore(storage, { foldSessionSummary })
  const key = { projectKey: 'p', sessionId: 's' }
  const calls = {
    append: () => plain.append(key, [user(randomUUID())]),
    'append with a summary': () => folding.append(key, [user(randomUUID())]),
    load: () => plain.load(key),
    listSessions: () => plain.listSessions('p'),
    listSubkeys: () => plain.listSubkeys(key),
    delete: () => plain.delete(key),
  }
  const trips: Record<string, number> = {}
  for (let round = 0; round < 3; round++) {
    for (const [name, call] of Object.entries(calls)) {
      const before = link.roundTrips
      await call()
      trips[name] = link.roundTrips - before
    }
  }
  expect(trips).toEqual({ append: 4, 'append with a summary': 6, load: 1, listSessions: 1, listSubkeys: 1, delete: 7 })
})
