import type { AgentInputItem, Session } from '@openai/agents-core'
import { isStorageError, openStorage, StorageError } from 'holdfast'
import { HoldfastSession, toOpenAIItem } from 'holdfast/openai-agents'
import { describe, expect, it, vi } from 'vitest'
import { startLink } from '../database/link.ts'
import { eachDatabase } from '../repositories/databases.ts'
import { freshPostgres, sharedDatabases } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'

const user = (content: string): AgentInputItem => ({ role: 'user', content })
const call = (callId: string, args = '{}'): AgentInputItem => ({
  type: 'function_call',
  callId,
  name: 'search',
  arguments: args,
  status: 'completed',
})

/** One of each kind, with what is easily lost: provider data, bytes, and keys in an unusual order. */
const ITEMS: AgentInputItem[] = [
  user('Hello \u0000 \ud800 🗝'),
  { status: 'completed', role: 'assistant', type: 'message', id: 'm', content: [{ type: 'output_text', text: 'Hi' }] },
  { role: 'user', content: [{ type: 'input_image', image: 'https://example.org/a.png', providerData: { a: [1] } }] },
  { role: 'system', content: 'Be brief.', providerData: { cache: { deep: { $bytes: 'x' } } } },
  call('c1', '{"q":"東京"}'),
  {
    type: 'function_call_result',
    callId: 'c1',
    name: 'search',
    status: 'completed',
    output: { type: 'text', text: '' },
  },
  { type: 'reasoning', id: 'r', content: [{ type: 'input_text', text: 'think' }], rawContent: [] },
  { type: 'compaction', encrypted_content: 'x' },
  { type: 'unknown', providerData: { bytes: new Uint8Array([0, 255]) } },
]

eachDatabase((open) => {
  it('returns every item as it was added, the newest if there is a limit', async () => {
    await using storage = await open()
    const session: Session = new HoldfastSession(storage)
    expect(await session.getItems()).toEqual([])
    await session.addItems(ITEMS)
    await session.addItems([])
    expect(await session.getItems()).toEqual(ITEMS)
    expect(await session.getItems(2)).toEqual(ITEMS.slice(-2))
    for (const none of [0, -1]) expect(await session.getItems(none)).toEqual([])
    expect(await session.getItems(100)).toEqual(ITEMS)
    expect(await new HoldfastSession(storage, { sessionId: await session.getSessionId() }).getItems(1)).toHaveLength(1)
  })

  it('addItems() stores items once if it is repeated after a failure, and again if it has succeeded', async () => {
    await using storage = await open()
    const session = new HoldfastSession(storage)
    const append = storage.messages.append.bind(storage.messages)
    const items = [call('c1'), user('Hello')]
    for (const lost of [items, []]) {
      vi.spyOn(storage.messages, 'append').mockImplementationOnce(async (...args) => {
        await append(...args)
        throw new StorageError('CONNECTION_LOST', 'The answer is lost')
      })
      await expect(session.addItems(lost)).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
    }
    const { type, ...fields } = call('c1')
    await session.addItems([{ ...fields, type } as AgentInputItem, user('Hello')]) // as the SDK reads a stored state
    expect(await session.getItems()).toEqual(items)
    await session.addItems(items)
    expect(await session.getItems()).toEqual([...items, ...items])
  })

  it('addItems() stores the items of several calls once if all of them are repeated after an outage', async () => {
    await using storage = await open()
    const session = new HoldfastSession(storage)
    const append = storage.messages.append.bind(storage.messages)
    const lost = vi.spyOn(storage.messages, 'append').mockImplementation(async (...args) => {
      await append(...args)
      throw new StorageError('CONNECTION_LOST', 'The answer is lost')
    })
    const calls = [[user('a')], [user('b'), call('c1')], [user('c')]]
    for (const items of [...calls, ...calls])
      await expect(session.addItems(items)).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
    lost.mockRestore()
    for (const items of calls) await session.addItems(items)
    expect(await session.getItems()).toEqual(calls.flat())
  })

  it('addItems() stores a tool call once that the SDK repeats with its result', async () => {
    await using storage = await open()
    const session = new HoldfastSession(storage)
    const append = storage.messages.append.bind(storage.messages)
    vi.spyOn(storage.messages, 'append').mockImplementationOnce(async (...args) => {
      await append(...args)
      throw new StorageError('CONNECTION_LOST', 'The answer is lost')
    })
    await expect(session.addItems([user('yes'), call('c1')])).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
    const result = { type: 'function_call_result', callId: 'c1', name: 'search', status: 'completed', output: 'found' }
    const others = [call('c1'), result as AgentInputItem, user('yes'), call('c1')]
    await session.addItems(others)
    expect(await session.getItems()).toEqual([user('yes'), ...others])
  })

  it('keeps 2,500 items in their order', async () => {
    await using storage = await open()
    const session = new HoldfastSession(storage)
    const items = Array.from({ length: 2500 }, (_, i) => user(`${i}`))
    await session.addItems(items)
    expect(await session.getItems()).toEqual(items)
    expect(await session.getItems(1200)).toEqual(items.slice(-1200))
    await session.replaceHistoryWithCompaction(items.slice(0, 1100))
    expect(await session.getItems()).toEqual(items.slice(0, 1100))
    await session.replaceHistoryWithCompaction([user('summary')])
    expect(await session.getItems()).toEqual([user('summary')])
  })

  it('pops the newest item and clears the session', async () => {
    await using storage = await open()
    const session = new HoldfastSession(storage)
    await session.addItems(ITEMS.slice(0, 2))
    expect(await session.popItem()).toEqual(ITEMS[1])
    expect(await session.popItem()).toEqual(ITEMS[0])
    expect(await session.popItem()).toBeUndefined()
    await session.addItems(ITEMS)
    await session.clearSession()
    await session.clearSession()
    expect(await session.getItems()).toEqual([])
    await session.addItems(ITEMS)
    expect(await session.getItems()).toEqual(ITEMS)
  })

  it('keeps what is no item when the SDK clears a session to compact it', async () => {
    await using storage = await open()
    const sessionId = 'compacted'
    await storage.sessions.create({ id: sessionId, title: 'Trip', metadata: { plan: 'pro' } })
    await storage.events.append({ sessionId, type: 'started' })
    const session = new HoldfastSession(storage, { sessionId })
    const append = () =>
      session.applyHistoryTransaction({ operationId: 'o', transaction: { type: 'append_items', items: ITEMS } })
    await append()
    await session.clearSession()
    await session.addItems([user('summary')])
    expect(await storage.sessions.get(sessionId)).toMatchObject({ title: 'Trip', metadata: { plan: 'pro' } })
    expect((await storage.events.list({ sessionId })).items).toHaveLength(1)
    await append() // again, by a run that was resumed: the summary has these items
    expect(await session.getItems()).toEqual([user('summary')])
  })

  it('rewrites a function call in place, and removes further items of it', async () => {
    await using storage = await open()
    const session = new HoldfastSession(storage)
    await session.addItems([user('a'), call('c1'), call('c2'), call('c1'), user('b')])
    const replacement = { ...call('c1', '{"approved":true}'), type: 'function_call' as const }
    const mutation = { type: 'replace_function_call' as const, callId: 'c1', replacement: replacement as never }
    await session.applyHistoryMutations({ mutations: [mutation] })
    expect(await session.getItems()).toEqual([user('a'), replacement, call('c2'), user('b')])
    await session.applyHistoryMutations({ mutations: [mutation] })
    await session.applyHistoryMutations({ mutations: [] })
    await new HoldfastSession(storage).applyHistoryMutations({ mutations: [mutation] })
    expect(await session.getItems()).toHaveLength(4)
  })

  it('makes mutations one after the other, as the SDK does', async () => {
    await using storage = await open()
    const session = new HoldfastSession(storage)
    await session.addItems([call('c1'), user('a'), call('c2'), call('c3')])
    const rename = (callId: string, to: string) => {
      const replacement = { ...call(to), type: 'function_call' as const }
      return { type: 'replace_function_call' as const, callId, replacement: replacement as never }
    }
    await session.applyHistoryMutations({ mutations: [rename('c1', 'c2'), rename('c2', 'c4'), rename('c3', 'c5')] })
    expect(await session.getItems()).toEqual([call('c4'), user('a'), call('c5')])
  })

  it('replaces a suffix by more than 1000 items, once', async () => {
    await using storage = await open()
    const session = new HoldfastSession(storage)
    await session.addItems([user('a'), user('b')])
    const replacement = Array.from({ length: 1500 }, (_, i) => user(`${i}`))
    const transaction = { type: 'replace_suffix' as const, expectedSuffix: [user('b')], replacement }
    await session.applyHistoryTransaction({ operationId: 'o', transaction })
    await session.applyHistoryTransaction({ operationId: 'o', transaction })
    expect(await session.getItems()).toEqual([user('a'), ...replacement])
    const other = { ...transaction, expectedSuffix: replacement.slice(-1) }
    const refused = session.applyHistoryTransaction({ operationId: 'o', transaction: other })
    await expect(refused).rejects.toSatisfy((error) => isStorageError(error, 'INVALID_STATE'))
    expect(await session.getItems()).toHaveLength(1501)
  })

  it('does each history transaction once, and refuses an operation that says something else', async () => {
    await using storage = await open()
    const session = new HoldfastSession(storage)
    const append = (operationId: string, ...items: AgentInputItem[]) =>
      session.applyHistoryTransaction({ operationId, transaction: { type: 'append_items', items } })
    const replace = (operationId: string, expectedSuffix: AgentInputItem[], replacement: AgentInputItem[]) =>
      session.applyHistoryTransaction({
        operationId,
        transaction: { type: 'replace_suffix', expectedSuffix, replacement },
      })
    await Promise.all([append('1', ...ITEMS), append('1', ...ITEMS), append('1', ...ITEMS)])
    expect(await session.getItems()).toEqual(ITEMS)
    await expect(append('1', user('other'))).rejects.toSatisfy((error) => isStorageError(error, 'INVALID_STATE'))
    await replace('2', ITEMS.slice(-3), [user('x'), call('c3')])
    await replace('2', ITEMS.slice(-3), [user('x'), call('c3')])
    const now = [...ITEMS.slice(0, -3), user('x'), call('c3')]
    expect(await session.getItems()).toEqual(now)
    await expect(replace('2', ITEMS.slice(-3), [])).rejects.toSatisfy((error) => isStorageError(error, 'INVALID_STATE'))
    await expect(replace('3', [user('x')], [])).rejects.toSatisfy((error) => isStorageError(error, 'INVALID_STATE'))
    await expect(replace('3', [user('too long'), ...now], [])).rejects.toThrow(/expected suffix/)
    await replace('3', [], [user('at the end')])
    await replace('4', [...now, user('at the end')], [])
    expect(await session.getItems()).toEqual([])
    await replace('5', [], [user('first')])
    await expect(append('', user('x'))).rejects.toSatisfy((error) => isStorageError(error, 'INVALID_INPUT'))
    expect(await session.getItems()).toEqual([user('first')])
  })

  it('shows what other parts of the program append, and keeps to its owner', async () => {
    await using storage = await open()
    const ada = storage.scope({ ownerId: 'ada' })
    await ada.messages.append('chat', { role: 'user', content: 'Hello' })
    await new HoldfastSession(storage.scope({ ownerId: 'bob' }), { sessionId: 'chat' }).addItems([user('Bob')])
    expect(await new HoldfastSession(ada, { sessionId: 'chat' }).getItems()).toEqual([user('Hello')])
    expect((await ada.messages.latest('chat', 1)).map(toOpenAIItem)).toEqual([user('Hello')])
  })
})

describe.each(sharedDatabases)('two processes on %s', (_, configure) => {
  it('accept exactly one replacement of each suffix, and each repeated append once', async () => {
    const config = { database: await configure() }
    const turns = rounds(40, 200)
    await using storage = await openStorage(config, quiet)
    const session = new HoldfastSession(storage, { sessionId: 'race' })
    await session.addItems([user('0')])
    const racers = ['a', 'b'].map((name) =>
      runScript<{ accepted: number }>('test/adapters/programs/race.ts', [JSON.stringify(config), name, `${turns}`]),
    )
    const ends = await Promise.all(racers.map((racer) => racer.exit))
    expect(ends.map(({ code }) => code)).toEqual([0, 0])
    const accepted = racers.map(({ messages }) => messages[0]?.accepted ?? 0)
    expect(accepted.reduce((sum, count) => sum + count, 0)).toBe(turns)
    const items = await session.getItems()
    expect(items.filter((item) => 'content' in item && item.content === 'both')).toHaveLength(turns)
    expect(items.at(-1)).toEqual(user(`${turns}`))
  })
})

it('takes one round trip for an append transaction, and two for a replaced suffix', async () => {
  const url = new URL(await freshPostgres())
  const link = await startLink(Number(url.port), { delayMillis: 10 })
  url.port = String(link.port)
  await using storage = await openStorage({ database: { type: 'postgres', url: url.href, maxConnections: 1 } }, quiet)
  const session = new HoldfastSession(storage)
  const trips = async (work: () => Promise<unknown>) => {
    const before = link.roundTrips
    await work()
    return link.roundTrips - before
  }
  const append = (id: string, item: AgentInputItem) => () =>
    session.applyHistoryTransaction({ operationId: id, transaction: { type: 'append_items', items: [item] } })
  const replace = (id: string) => () =>
    session.applyHistoryTransaction({
      operationId: id,
      transaction: { type: 'replace_suffix', expectedSuffix: [user('b')], replacement: [user('c')] },
    })
  // The server prepares each statement at its first use.
  await append('1', user('b'))()
  await replace('2')()
  await session.addItems([user('d')])
  expect([await trips(append('3', user('b'))), await trips(replace('4'))]).toEqual([1, 2])
  expect([await trips(() => session.getItems(5)), await trips(() => session.addItems([user('d')]))]).toEqual([1, 1])
})
