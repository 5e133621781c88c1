import { randomUUID } from 'node:crypto'
import {
  foldSessionSummary,
  InMemorySessionStore,
  type SessionKey,
  type SessionStoreEntry,
} from '@anthropic-ai/claude-agent-sdk'
import fc from 'fast-check'
import { isStorageError } from 'holdfast'
import { HoldfastSessionStore } from 'holdfast/claude-agent'
import { expect, it } from 'vitest'
import { eachDatabase } from '../repositories/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { title, user } from './claude-lines.ts'

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
    await store.append(key, [])
    expect([await store.load(key), await store.listSessions(key.projectKey)]).toEqual([null, []])
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
})
