import { randomUUID } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { openStorage, type Storage, type StorageScope } from 'holdfast'
import { dextoStores } from 'holdfast/dexto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eachDatabase } from '../repositories/databases.ts'
import { freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

/** What Dexto's `DextoStores` is to a program that has no types of it. */
interface Stores {
  // biome-ignore lint/suspicious/noExplicitAny: the stores of a framework whose types are not here
  getStore(name: string): any
  connect(): Promise<void>
  disconnect(): Promise<void>
  isConnected(): boolean
  getStoreType(): string
}

const storesOf = (storage: Storage | StorageScope, options = {}) => dextoStores<Stores>(storage, options)

const say = (role: string, words: string, rest: object = {}) => ({
  role,
  content: [{ type: 'text', text: words }],
  ...rest,
})

eachDatabase((open) => {
  let storage: Storage
  beforeAll(async () => {
    storage = await open()
  })
  afterAll(() => storage.close())
  const fresh = () => storesOf(storage.scope({ ownerId: randomUUID() }))

  it('a conversation comes back as it was saved, once for each id', async () => {
    const conversation = fresh().getStore('conversation')
    const of = { sessionId: 'chat' }
    const messages = [
      say('user', 'Book a train', { id: 'a', timestamp: 1, metadata: { from: 'phone', at: new Date(0) } }),
      {
        ...{
          id: 'b',
          role: 'assistant',
          content: null,
          assistantOutput: { status: 'complete' },
          tokenUsage: { total: 3 },
        },
        toolCalls: [{ id: 'c', type: 'function', function: { name: 'book', arguments: '{}' } }],
      },
      {
        ...{ id: 'd', role: 'tool', toolCallId: 'c', name: 'book', success: true },
        content: [
          { type: 'image', image: new URL('https://example.com/a.png'), mimeType: 'image/png' },
          { type: 'file', data: new Uint8Array([1, 2]), mimeType: 'application/pdf' },
        ],
      },
    ]
    for (const message of messages) await conversation.saveMessage({ ...of, message })
    expect(await conversation.listMessages(of)).toEqual(messages)
    await conversation.saveMessage({ ...of, message: say('user', 'again', { id: 'a' }) })
    expect(await conversation.listMessages(of)).toEqual(messages)
    const changed = say('user', 'Book two trains', { id: 'a', timestamp: 2 })
    await conversation.updateMessage({ ...of, message: changed })
    await conversation.updateMessage({ ...of, message: say('user', 'unknown', { id: 'z' }) })
    await conversation.updateMessage({ ...of, message: say('user', 'without an id') })
    await conversation.flush(of)
    expect(await conversation.listMessages(of)).toEqual([changed, ...messages.slice(1)])
    await conversation.clearMessages(of)
    expect(await conversation.listMessages(of)).toEqual([])
  })

  it('the history for the model starts with the newest summary', async () => {
    const conversation = fresh().getStore('conversation')
    const of = { sessionId: 'chat' }
    const history = async () => {
      const { messages, stats } = await conversation.loadModelHistory(of)
      return [messages.map(({ id }: { id: string }) => id), stats]
    }
    const save = (message: object) => conversation.saveMessage({ ...of, message })
    for (const id of ['a', 'b', 'c', 'd']) await save(say('user', id, { id }))
    expect(await history()).toEqual([
      ['a', 'b', 'c', 'd'],
      { returnedMessages: 4, skippedPreSummaryMessages: 0, summaryMessageId: null },
    ])
    await save(say('assistant', 'sum', { id: 's', metadata: { isSummary: true, originalMessageCount: 3 } }))
    await save(say('user', 'e', { id: 'e' }))
    expect(await history()).toEqual([
      ['s', 'd', 'e'],
      { returnedMessages: 3, skippedPreSummaryMessages: 3, summaryMessageId: 's' },
    ])
    await save(say('assistant', 'sum', { id: 't', metadata: { isSessionSummary: true, originalMessageCount: 99 } }))
    expect((await history())[0]).toEqual(['t'])
  })

  it('sessions are saved, listed, and removed with what belongs to them', async () => {
    const stores = fresh()
    const sessions = stores.getStore('sessions')
    const session = { id: 's', createdAt: 1, lastActivity: 2, messageCount: 0, metadata: { title: 'x' } }
    expect(await sessions.getSession({ sessionId: 's' })).toBeUndefined()
    await stores.getStore('conversation').saveMessage({ sessionId: 's', message: say('user', 'first') })
    expect(await sessions.listSessionIds()).toEqual([])
    await sessions.saveSession({ sessionId: 's', session, ttlSeconds: 1 })
    const racing = Array.from({ length: 8 }, (_, i) =>
      sessions.saveSession({ sessionId: 'r', session: { id: 'r', i } }),
    )
    await Promise.all(racing)
    expect((await sessions.listSessionIds()).sort()).toEqual(['r', 's'])
    await sessions.saveSession({ sessionId: 's', session: { ...session, messageCount: 1 } })
    await sessions.evictSession({ sessionId: 's' })
    expect(await sessions.getSession({ sessionId: 's' })).toEqual({ ...session, messageCount: 1 })
    await sessions.deleteSession({ sessionId: 's' })
    expect(await sessions.listSessionIds()).toEqual(['r'])
    expect(await stores.getStore('conversation').listMessages({ sessionId: 's' })).toEqual([])
  })

  it('memories keep their ids and times, and are found by the search of the storage', async () => {
    const scope = storage.scope({ ownerId: randomUUID() })
    const memories = storesOf(scope).getStore('memories')
    const bare = { id: 'm1', content: 'Ann likes tea', createdAt: 1, updatedAt: 1 }
    const full = { ...bare, id: 'm2', tags: ['tea'], metadata: { source: 'user', pinned: true, other: [1] } }
    await memories.create({ memory: bare })
    await memories.create({ memory: full })
    expect(await memories.get({ id: 'm1' })).toEqual(bare)
    expect(await memories.get({ id: 'm2' })).toEqual(full)
    const changed = {
      ...full,
      content: 'Ann likes coffee',
      updatedAt: 2,
      tags: ['coffee'],
      metadata: { pinned: false },
    }
    const untagged = { ...bare, id: 'm3', tags: [], metadata: { dexto: { at: new Date(3) } } }
    await memories.create({ memory: untagged })
    expect(await memories.get({ id: 'm3' })).toEqual(untagged)
    await memories.delete({ id: 'm3' })
    await memories.update({ memory: changed })
    await scope.memories.create({ content: 'of another part of the program' })
    const all = await memories.list()
    expect(all.sort((a: { id: string }, b: { id: string }) => a.id.localeCompare(b.id))).toEqual([bare, changed])
    expect((await scope.memories.list({ tags: ['coffee'], pinned: false })).items).toHaveLength(1)
    await memories.delete({ id: 'm2' })
    await memories.delete({ id: 'm2' })
    expect([await memories.get({ id: 'm2' }), await memories.list()]).toEqual([undefined, [bare]])
  })

  it('a memory is stored once, however many create, change and remove it at once', async () => {
    const memories = fresh().getStore('memories')
    const memory = (content: string) => ({ memory: { id: 'm', content, createdAt: 1, updatedAt: 1 } })
    for (let round = 0; round < 25; round++) {
      await Promise.all(['a', 'b', 'c'].map((content) => memories.create(memory(content))))
      expect(await memories.list()).toHaveLength(1)
      await Promise.all([memories.update(memory('d')), memories.delete({ id: 'm' }), memories.update(memory('e'))])
      const left = await memories.get({ id: 'm' })
      expect(await memories.list()).toEqual(left === undefined ? [] : [left])
      await memories.delete({ id: 'm' })
    }
    expect(await memories.list()).toEqual([])
  })

  it('queues hand out each message once', async () => {
    const stores = fresh()
    const of = { sessionId: 's' }
    const message = (id: string) => ({ id, content: [{ type: 'text', text: id }], queuedAt: 1 })
    const [steer, followUp] = [stores.getStore('steerQueue'), stores.getStore('followUpQueue')]
    expect(await steer.append({ ...of, message: message('a') })).toEqual({ position: 1 })
    expect(await steer.append({ ...of, message: message('b') })).toEqual({ position: 2 })
    expect(await followUp.append({ ...of, message: message('a') })).toEqual({ position: 1 })
    expect(await steer.list(of)).toEqual([message('a'), message('b')])
    expect([await steer.remove({ ...of, id: 'a' }), await steer.remove({ ...of, id: 'a' })]).toEqual([true, false])
    const taken = await Promise.all([steer.takeAll(of), steer.takeAll(of)])
    expect(taken.flat()).toEqual([message('b')])
    await followUp.clear(of)
    expect(await followUp.list(of)).toEqual([])
  })

  it('the first request and the first response are kept', async () => {
    const approvals = fresh().getStore('approvals')
    const approvalId = randomUUID()
    const request = {
      approvalId,
      type: 'tool_approval',
      sessionId: 's',
      timestamp: new Date(5),
      metadata: { tool: 'rm' },
    }
    expect(await approvals.createRequest({ request })).toEqual(request)
    expect(await approvals.createRequest({ request: { ...request, metadata: {} } })).toEqual(request)
    const other = { approvalId: randomUUID(), type: 'custom', timestamp: new Date(6), metadata: {} }
    await approvals.createRequest({ request: other })
    expect(await approvals.listPending({ sessionId: 's' })).toEqual([request])
    expect(await approvals.listPending({})).toHaveLength(2)
    expect(await approvals.getResponse({ approvalId })).toBeUndefined()
    const responses = ['approved', 'denied', 'cancelled'].map((status) => ({
      approvalId,
      status,
      timestamp: new Date(7),
    }))
    const saved = await Promise.all(responses.map((response) => approvals.saveResponse({ response })))
    const winner = saved.find(({ status }) => status === 'created')
    expect(saved.filter(({ status }) => status === 'replayed')).toHaveLength(2)
    for (const { response } of saved) expect(response).toEqual(winner.response)
    expect(await approvals.getResponse({ approvalId })).toEqual(winner.response)
    expect(await approvals.listPending({})).toEqual([other])
    expect(await approvals.getRequest({ approvalId })).toEqual(request)
    expect(await approvals.loadSessionState({})).toEqual({ approvedKeys: {} })
    await approvals.saveSessionState({ sessionId: 's', state: { approvedKeys: { rm: 'once' } } })
    expect(await approvals.loadSessionState({ sessionId: 's' })).toEqual({ approvedKeys: { rm: 'once' } })
    await approvals.deleteSessionState({ sessionId: 's' })
    expect(await approvals.loadSessionState({ sessionId: 's' })).toEqual({ approvedKeys: {} })
  })

  it('a tool call runs once, and ends once', async () => {
    const executions = fresh().getStore('toolExecutions')
    const started = (id: string) => ({
      ...{ executionId: id, status: 'running', toolName: 'book', input: { train: '9:04', at: new Date(1) } },
      identity: { runId: 'r', turnId: 't', modelStepId: 'm', toolCallId: id },
    })
    const starts = await Promise.all([1, 2, 3].map(() => executions.start({ record: started('e1') })))
    expect(starts.map(({ status }) => status).sort()).toEqual(['existing', 'existing', 'started'])
    expect(starts[0].record).toMatchObject(started('e1'))
    const completedAt = new Date()
    const result = { result: { ok: true }, display: { type: 'text' }, approvalStatus: 'approved' }
    const completed = await executions.complete({ executionId: 'e1', completedAt, result })
    expect(completed).toMatchObject({
      ...started('e1'),
      ...{ status: 'completed', modelOutput: { ok: true } },
      resultMetadata: { display: { type: 'text' }, approvalStatus: 'approved' },
    })
    expect(completed.completedAt).toBeInstanceOf(Date)
    expect(await executions.complete({ executionId: 'e1', completedAt, result: { result: 'other' } })).toEqual(
      completed,
    )
    await expect(executions.fail({ executionId: 'e1', completedAt, error: 'no' })).rejects.toMatchObject({
      code: 'INVALID_STATE',
    })
    await expect(executions.cancel({ executionId: 'none', completedAt })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await executions.start({ record: started('e2') })
    expect(await executions.fail({ executionId: 'e2', completedAt, error: 'no' })).toMatchObject({
      status: 'failed',
      error: 'no',
    })
    await executions.start({ record: started('e3') })
    expect(await executions.cancel({ executionId: 'e3', completedAt })).not.toHaveProperty('reason')
    expect(await executions.get({ executionId: 'e1' })).toEqual(completed)
    expect(await executions.get({ executionId: 'none' })).toBeUndefined()
  })

  it('preferences, tool state, prompts, workspaces and events come back as they were saved', async () => {
    const stores = fresh()
    const preferences = stores.getStore('toolPreferences')
    await preferences.allowTool({ toolName: 'read' })
    await preferences.allowTool({ toolName: 'write', sessionId: 's' })
    const allowed = [{ toolName: 'read', sessionId: 's' }, { toolName: 'write', sessionId: 's' }, { toolName: 'write' }]
    expect(await Promise.all(allowed.map((tool) => preferences.isToolAllowed(tool)))).toEqual([true, true, false])
    await preferences.disallowTool({ toolName: 'write', sessionId: 's' })
    expect(await preferences.listAllowedTools({})).toEqual(['read'])
    expect(await preferences.listAllowedTools({ sessionId: 's' })).toEqual([])
    const chosen = { userAutoApproveTools: ['read'], disabledTools: ['rm'] }
    await preferences.saveSessionPreferences({ sessionId: 's', preferences: chosen })
    expect(await preferences.loadSessionPreferences({ sessionId: 's' })).toEqual(chosen)
    await preferences.deleteSessionPreferences({ sessionId: 's' })
    const none = { userAutoApproveTools: [], disabledTools: [] }
    expect(await preferences.loadSessionPreferences({ sessionId: 's' })).toEqual(none)

    const state = stores.getStore('toolState')
    await state.set({ toolName: 't', key: 'a:1', value: { at: new Date(1) } })
    expect(await state.get({ toolName: 't', key: 'a:1' })).toEqual({ at: new Date(1) })
    expect(await state.listKeys({ toolName: 't', prefix: 'a:' })).toEqual(['a:1'])
    await state.delete({ toolName: 't', key: 'a:1' })
    expect(await state.get({ toolName: 't', key: 'a:1' })).toBeUndefined()

    const prompts = stores.getStore('customPrompts')
    const prompt = { id: 'p', name: 'greet', title: 'Greet', content: 'Hello', createdAt: 1, updatedAt: 2 }
    await prompts.save({ prompt })
    expect([await prompts.get({ name: 'greet' }), await prompts.list()]).toEqual([prompt, [prompt]])
    await prompts.delete({ name: 'greet' })
    expect(await prompts.get({ name: 'greet' })).toBeUndefined()

    const workspaces = stores.getStore('workspaces')
    const workspace = { id: 'w', path: '/a', name: 'A', createdAt: 1, lastActiveAt: 2 }
    await workspaces.saveWorkspace({ workspace })
    await workspaces.setCurrentWorkspace({ id: 'w' })
    expect(await workspaces.getCurrentWorkspaceId()).toBe('w')
    expect(await workspaces.findWorkspaceByPath({ path: '/a' })).toEqual(workspace)
    const second = workspaces.saveWorkspace({ workspace: { ...workspace, id: 'second' } })
    await expect(second).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
    expect(await workspaces.listWorkspaces()).toEqual([workspace])
    await workspaces.clearCurrentWorkspace()
    expect(await workspaces.getCurrentWorkspaceId()).toBeUndefined()

    const events = stores.getStore('runtimeEvents')
    const event = (n: number) => ({
      id: `e${n}`,
      type: 'x',
      occurredAt: new Date(n),
      runId: `r${n % 2}`,
      payload: { n },
    })
    for (const n of [1, 2, 3, 4]) await events.append({ event: event(n) })
    expect(await events.list({})).toEqual([1, 2, 3, 4].map(event))
    expect(await events.list({ limit: 2 })).toEqual([3, 4].map(event))
    expect(await events.list({ runId: 'r1', limit: 9 })).toEqual([1, 3].map(event))
  })

  it('artifacts are stored, read in every format, and counted', async () => {
    const stores = storesOf(storage.scope({ ownerId: randomUUID() }), { storagePath: '/data/blobs' })
    const artifacts = stores.getStore('artifacts')
    const metadata = { mimeType: 'text/plain', originalName: 'a.txt', source: 'tool' }
    const { uri, metadata: stored } = await artifacts.store({ data: Buffer.from('hello'), metadata })
    expect(stored).toMatchObject({ ...metadata, size: 5 })
    for (const data of ['aGVsbG8', 'aGVsbG8=', 'data:text/plain;base64,aGVsbG8=']) {
      const { uri } = await artifacts.store({ data })
      expect(await artifacts.retrieve({ reference: uri })).toMatchObject({ format: 'base64', data: 'aGVsbG8=' })
    }
    for (const data of ['../../etc/passwd', 'Hello there', 'aGVs\nbG8='])
      await expect(artifacts.store({ data })).rejects.toMatchObject({ code: 'INVALID_INPUT' })
    const read = async (format: string) => (await artifacts.retrieve({ reference: uri, format })).data
    expect(await read('buffer')).toEqual(Buffer.from('hello'))
    expect(await text(await read('stream'))).toBe('hello')
    expect(await read('url')).toMatch(/^(file:\/\/\/|data:text\/plain;base64,aGVsbG8=)/)
    expect(await artifacts.exists({ reference: uri })).toBe(true)
    expect(await artifacts.getStats()).toMatchObject({ count: 4, storePath: '/data/blobs' })
    expect(await artifacts.listArtifacts()).toHaveLength(4)
    await artifacts.delete({ reference: uri })
    await expect(artifacts.retrieve({ reference: uri })).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
    await expect(artifacts.cleanup()).rejects.toMatchObject({ code: 'INVALID_STATE' })
    expect(
      await storesOf(storage)
        .getStore('artifacts')
        .cleanup({ olderThan: new Date(0) }),
    ).toBe(0)
  })
})

it('connecting and disconnecting leaves the storage open', async () => {
  await using storage = await openStorage({ blobStore: { type: 'local', storePath: freshDirectory() } }, quiet)
  const stores = storesOf(storage)
  expect([stores.isConnected(), stores.getStoreType()]).toEqual([false, 'holdfast'])
  await stores.connect()
  expect(stores.isConnected()).toBe(true)
  const { uri } = await stores.getStore('artifacts').store({ data: new Uint8Array([1]).buffer })
  const { data } = await stores.getStore('artifacts').retrieve({ reference: uri, format: 'path' })
  expect(data).toMatch(/objects/)
  await stores.disconnect()
  expect([stores.isConnected(), await storage.blobs.exists(uri)]).toEqual([false, true])
  expect(() => stores.getStore('more')).toThrow('does not have')
})
