import { openStorage, type Repositories, type Storage } from 'holdfast'
import { wordEmbedding } from 'holdfast/testing'
import { expect, it } from 'vitest'
import { startLink } from '../database/link.ts'
import { freshPostgres } from '../setup/databases.ts'
import { methodsOf } from '../setup/methods.ts'
import { quiet } from '../setup/silent.ts'
import { blocks, pageText, runProgram } from './pages.ts'

const page = 'docs/repositories.md'

const repositories = [
  'sessions',
  'messages',
  'kv',
  'lists',
  'queues',
  'memories',
  'events',
  'prompts',
  'workspaces',
  'toolState',
  'toolExecutions',
  'approvals',
  'toolPreferences',
  'checkpoints',
] as const satisfies (keyof Repositories)[]

it('the examples run one after the other and print what they say', async () => {
  const [first = '', ...rest] = blocks(page, 'ts').map(({ code }) => code)
  const program = [first, ...rest.map((code) => `{\n${code}}\n`)].join('')
  const said = Array.from(program.matchAll(/console\.log\(.*\) \/\/ (.+)$/gm), ([, text = '']) => text.split(', then '))
  expect((await runProgram(program)).trimEnd().split('\n')).toEqual(said.flat())
  expect(said.length).toBeGreaterThanOrEqual(repositories.length)
})

/** The rows of the tables: each call, and how many trips it takes. */
const documented = new Map(
  Array.from(pageText(page).matchAll(/^\| `(\w+\.\w+)\(.*\| (\d)[^|]*\|$/gm), ([, call = '', trips]) => [
    call,
    Number(trips),
  ]),
)

it('every call is there, and no other', async () => {
  await using storage = await openStorage({}, quiet)
  const calls = repositories.flatMap((repository) => {
    const internal = ['sweepExpired']
    return methodsOf(storage[repository])
      .filter((method) => !internal.includes(method))
      .map((method) => `${repository}.${method}`)
  })
  expect([...documented.keys()].toSorted()).toEqual(calls.toSorted())
})

it('every call takes as many trips as it says', async () => {
  const url = new URL(await freshPostgres())
  const link = await startLink(Number(url.port), { delayMillis: 10 })
  url.port = String(link.port)
  await using storage = await openStorage(
    { database: { type: 'postgres', url: url.href, maxConnections: 1, options: { search: true } } },
    quiet,
  )
  // Writes nothing, so it embeds nothing beside the measured calls.
  await using recalling = await openStorage(
    { database: { type: 'postgres', url: url.href, maxConnections: 1, options: { search: true } } },
    { ...quiet, embedding: wordEmbedding() },
  )
  const measured = new Map<string, number>()
  for (const [call, perform] of Object.entries(callsOf(storage, recalling))) {
    for (let i = 0; i < 3; i++) {
      const made = await perform(`${call} ${i}`)
      const before = link.roundTrips
      await made()
      measured.set(call, link.roundTrips - before)
    }
  }
  expect(Object.fromEntries(measured)).toEqual(Object.fromEntries(documented))
})

type Call = () => Promise<unknown>

/** Each call on something that is there and was not read before, under a new name each time. */
function callsOf(storage: Storage, recalling: Storage): Record<string, (name: string) => Call | Promise<Call>> {
  const { sessions, messages, kv, lists, queues, memories, events, prompts, workspaces } = storage
  const { toolState, toolExecutions, approvals, toolPreferences, checkpoints } = storage
  const message = (id: string) => ({ id, role: 'user', content: 'x' })
  const identity = { runId: 'r', turnId: 't', modelStepId: 's', toolCallId: 'c' }
  const after = async (made: Promise<unknown>, call: Call) => {
    await made
    return call
  }
  const chat = (name: string, call: Call) => after(messages.append(name, [message('a'), message('b')]), call)
  const key = (name: string, call: Call) => after(kv.set(name, 1), call)
  const list = (name: string, call: Call) => after(lists.append(name, 1, 2), call)
  const queue = (name: string, call: Call) => after(queues.push(name, 'q', { id: 'a' }), call)
  const leased = async (name: string, call: (receipts: string[]) => Promise<unknown>) => {
    await queues.push(name, 'q', { id: 'a' })
    const taken = await queues.take(name, 'q', { leaseSeconds: 60 })
    return () => call(taken.map(({ receipt }) => receipt))
  }
  const prompt = (name: string, call: Call) => after(prompts.save({ name, content: 'x' }), call)
  const memory = async (call: (id: string) => Promise<unknown>) => {
    const { id } = await memories.create({ content: 'x', tags: ['a'] })
    return () => call(id)
  }
  const workspace = (id: string, call: Call) => after(workspaces.save({ id, path: `/${id}` }), call)
  const state = (name: string, call: Call) => after(toolState.set('tool', name, 1), call)
  const execution = (executionId: string, call: Call) =>
    after(toolExecutions.start({ executionId, identity, toolName: 't' }), call)
  const approval = (id: string, call: Call) => after(approvals.request({ id, type: 't' }), call)
  const scope = (name: string, call: Call) =>
    after(Promise.all([approvals.setState(1, name), toolPreferences.setPreferences({}, name)]), call)
  const allowed = (name: string, call: Call) => after(toolPreferences.allow('t', name), call)
  const snapshot = { id: '1', type: 'text', data: new Uint8Array([1]), versions: { a: '1' } }
  const values = { a: { type: 'text', data: new Uint8Array([2]) } }
  const put = (threadId: string) => checkpoints.put({ threadId, ...snapshot, values })
  const thread = (threadId: string, call: Call) => after(put(threadId), call)
  const writes = [{ channel: 'a', type: 'text', data: new Uint8Array([3]) }]
  return {
    'checkpoints.put': (name) => () => put(name),
    'checkpoints.latest': (threadId) => thread(threadId, () => checkpoints.latest({ threadId })),
    'checkpoints.get': (threadId) => thread(threadId, () => checkpoints.get({ threadId, id: '1' })),
    'checkpoints.list': (threadId) => thread(threadId, () => checkpoints.list({ threadId, metadata: { a: 1 } })),
    'checkpoints.putWrites': (threadId) => () => checkpoints.putWrites({ threadId, id: '1', taskId: 't' }, writes),
    'checkpoints.deleteThread': (name) => thread(name, () => checkpoints.deleteThread(name)),
    'checkpoints.prune': (name) => thread(name, () => checkpoints.prune(name, { keepLast: 1 })),
    'sessions.create': (id) => () => sessions.create({ id }),
    'sessions.get': (name) => chat(name, () => sessions.get(name)),
    'sessions.update': (name) => chat(name, () => sessions.update(name, { title: 'x' })),
    'sessions.mergeMetadata': (name) => chat(name, () => sessions.mergeMetadata(name, { a: 1 })),
    'sessions.delete': (name) => chat(name, () => sessions.delete(name)),
    'sessions.summary': (name) => chat(name, () => sessions.summary(name)),
    'sessions.list': () => () => sessions.list(),
    'sessions.forks': (name) => chat(name, () => sessions.forks(name)),
    'sessions.fork': (name) => chat(name, () => sessions.fork(name)),
    'sessions.search': (name) => chat(name, () => sessions.search('x')),
    'messages.search': (name) => chat(name, () => messages.search('x')),
    'messages.recall': (name) => chat(name, () => recalling.messages.recall('x')),
    'messages.append': (name) => () => messages.append(name, [message('a'), message('b')]),
    'messages.list': (name) => chat(name, () => messages.list(name)),
    'messages.latest': (name) => chat(name, () => messages.latest(name, 5)),
    'messages.get': (name) => chat(name, () => messages.get(name, 'a')),
    'messages.iterate': (name) => chat(name, () => messages.iterate(name).next()),
    'messages.update': (name) => chat(name, () => messages.update(name, 'a', { content: 'y' })),
    'messages.put': (name) => chat(name, () => messages.put(name, [message('a'), message('c')])),
    'messages.replace': (name) => chat(name, () => messages.replace(name, { afterSeq: 1 }, [message('c')])),
    'messages.import': (name) => () => messages.import([{ ...message('a'), sessionId: name }]),
    'messages.delete': (name) => chat(name, () => messages.delete(name, ['a'])),
    'messages.getMany': (name) => chat(name, () => messages.getMany(name, ['a', 'b'])),
    'messages.find': (name) => chat(name, () => messages.find(['a'])),
    'messages.around': (name) => chat(name, () => messages.around(name, 'a')),
    'messages.countByDay': (name) => chat(name, () => messages.countByDay()),
    'messages.pop': (name) => chat(name, () => messages.pop(name)),
    'messages.truncate': (name) => chat(name, () => messages.truncate(name, { afterSeq: 1 })),
    'messages.clear': (name) => chat(name, () => messages.clear(name)),
    'kv.get': (name) => key(name, () => kv.get(name)),
    'kv.getEntry': (name) => key(name, () => kv.getEntry(name)),
    'kv.getMany': (name) => key(name, () => kv.getMany([name, 'b'])),
    'kv.set': (name) => () => kv.set(name, 1),
    'kv.setMany': (name) => () => kv.setMany(Object.entries({ [name]: 1, b: 2 })),
    'kv.has': (name) => key(name, () => kv.has(name)),
    'kv.deleteMany': (name) => key(name, () => kv.deleteMany([name, 'b'])),
    'kv.clear': (name) => key(name, () => kv.clear({ prefix: name })),
    'kv.setIfAbsent': (name) => () => kv.setIfAbsent(name, 1),
    'kv.delete': (name) => key(name, () => kv.delete(name)),
    'kv.keys': () => () => kv.keys({ prefix: 'k' }),
    'kv.entries': () => () => kv.entries({ prefix: 'k' }),
    'kv.namespace': (name) => async () => kv.namespace(name),
    'kv.namespaces': () => () => kv.namespaces({ depth: 2 }),
    'kv.find': () => () => kv.namespace('a', 'b').find({ where: { n: 1 } }),
    'lists.append': (name) => () => lists.append(name, 1, 2),
    'lists.ofSession': (name) => async () => lists.ofSession(name),
    'lists.range': (name) => list(name, () => lists.range(name, 0, 5)),
    'lists.length': (name) => list(name, () => lists.length(name)),
    'lists.update': (name) => list(name, () => lists.update(name, (items) => ({ items, result: 1 }))),
    'lists.delete': (name) => list(name, () => lists.delete(name)),
    'lists.keys': () => () => lists.keys(),
    'queues.push': (name) => () => queues.push(name, 'q', { id: 'a' }),
    'queues.takeAll': (name) => queue(name, () => queues.takeAll(name, 'q')),
    'queues.take': (name) => queue(name, () => queues.take(name, 'q', { leaseSeconds: 60 })),
    'queues.ack': (name) => leased(name, (receipts) => queues.ack(receipts)),
    'queues.release': (name) => leased(name, (receipts) => queues.release(receipts)),
    'queues.extend': (name) => leased(name, (receipts) => queues.extend(receipts, { leaseSeconds: 60 })),
    'queues.list': (name) => queue(name, () => queues.list(name, 'q')),
    'queues.remove': (name) => queue(name, () => queues.remove(name, 'q', 'a')),
    'queues.delete': (name) => queue(name, () => queues.delete(name, 'q')),
    'queues.listQueues': () => () => queues.listQueues(),
    'queues.clear': (name) => queue(name, () => queues.clear(name, 'q')),
    'memories.create': () => () => memories.create({ content: 'x', tags: ['a', 'b'] }),
    'memories.get': () => memory((id) => memories.get(id)),
    'memories.update': () => memory((id) => memories.update(id, { tags: ['b', 'c'] })),
    'memories.delete': () => memory((id) => memories.delete(id)),
    'memories.search': () => memory(() => memories.search('x')),
    'memories.recall': () => memory(() => recalling.memories.recall('x')),
    'memories.list': () => () => memories.list({ tags: ['a', 'b'] }),
    'events.append': (runId) => () => events.append([1, 2, 3].map((payload) => ({ type: 'a', runId, payload }))),
    'events.list': (runId) => () => events.list({ runId, type: 'a' }),
    'events.follow': (runId) => after(events.append({ type: 'a', runId }), () => events.follow({ runId }).next()),
    'events.prune': () => () => events.prune({ before: new Date(0) }),
    'prompts.save': (name) => () => prompts.save({ name, content: 'x' }),
    'prompts.get': (name) => prompt(name, () => prompts.get(name)),
    'prompts.delete': (name) => prompt(name, () => prompts.delete(name)),
    'prompts.list': () => () => prompts.list(),
    'workspaces.save': (id) => () => workspaces.save({ id, path: `/${id}` }),
    'workspaces.get': (id) => workspace(id, () => workspaces.get(id)),
    'workspaces.findByPath': (id) => workspace(id, () => workspaces.findByPath(`/${id}`)),
    'workspaces.list': () => () => workspaces.list(),
    'workspaces.setCurrent': (id) => workspace(id, () => workspaces.setCurrent(id)),
    'workspaces.getCurrent': () => () => workspaces.getCurrent(),
    'workspaces.clearCurrent': () => () => workspaces.clearCurrent(),
    'toolState.get': (name) => state(name, () => toolState.get('tool', name)),
    'toolState.set': (name) => () => toolState.set('tool', name, 1),
    'toolState.delete': (name) => state(name, () => toolState.delete('tool', name)),
    'toolState.keys': () => () => toolState.keys('tool'),
    'toolExecutions.start': (executionId) => () => toolExecutions.start({ executionId, identity, toolName: 't' }),
    'toolExecutions.complete': (id) => execution(id, () => toolExecutions.complete(id, 1)),
    'toolExecutions.fail': (id) => execution(id, () => toolExecutions.fail(id, 1)),
    'toolExecutions.cancel': (id) => execution(id, () => toolExecutions.cancel(id)),
    'toolExecutions.list': () => () => toolExecutions.list(),
    'toolExecutions.delete': (id) => execution(id, () => toolExecutions.delete(id)),
    'toolExecutions.get': (id) => execution(id, () => toolExecutions.get(id)),
    'approvals.request': (id) => () => approvals.request({ id, type: 't' }),
    'approvals.get': (id) => approval(id, () => approvals.get(id)),
    'approvals.respond': (id) => approval(id, () => approvals.respond({ id, decision: 'approved' })),
    'approvals.listPending': () => () => approvals.listPending(),
    'approvals.list': () => () => approvals.list(),
    'approvals.delete': (id) => approval(id, () => approvals.delete(id)),
    'approvals.getState': (name) => scope(name, () => approvals.getState(name)),
    'approvals.setState': (name) => () => approvals.setState(1, name),
    'approvals.deleteState': (name) => scope(name, () => approvals.deleteState(name)),
    'toolPreferences.allow': (name) => () => toolPreferences.allow('t', name),
    'toolPreferences.disallow': (name) => allowed(name, () => toolPreferences.disallow('t', name)),
    'toolPreferences.isAllowed': (name) => allowed(name, () => toolPreferences.isAllowed('t', name)),
    'toolPreferences.listAllowed': (name) => allowed(name, () => toolPreferences.listAllowed({ sessionId: name })),
    'toolPreferences.getPreferences': (name) => scope(name, () => toolPreferences.getPreferences(name)),
    'toolPreferences.setPreferences': (name) => () => toolPreferences.setPreferences({}, name),
    'toolPreferences.deletePreferences': (name) => scope(name, () => toolPreferences.deletePreferences(name)),
  }
}
