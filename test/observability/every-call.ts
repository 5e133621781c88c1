import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { Repositories, Storage, StorageTransaction } from 'holdfast'
import { freshDirectory } from '../setup/databases.ts'

/** A part of every text that the calls below are given: ids, keys, names and content. */
export const MARK = 'unmentionable'

const m = (text: string) => `${MARK}-${text}`
const bytes = Buffer.from(m('bytes'))
const role = m('role')
const metadata = { [m('property')]: m('value') }
const value = { [m('property')]: [m('item')] }
const identity = { runId: m('run'), turnId: m('turn'), modelStepId: m('step'), toolCallId: m('call') }
const before = new Date(0)

/** What the calls are made on: the storage, a scope or a transaction. */
export type Handle = Repositories & Pick<Storage, 'blobs'> & Partial<Pick<Storage, 'cache'>>

type Call = (handle: Handle) => unknown

const writes = [{ channel: m('channel'), type: m('type'), data: bytes }]
const checkpoint = { threadId: m('thread'), namespace: m('namespace'), id: m('checkpoint') }

/** Every public call of the repositories, in an order in which most of them find something. */
export const repositoryCalls: Record<string, Call> = {
  'sessions.create': ({ sessions }) =>
    sessions.create({ id: m('session'), title: m('title'), ownerId: m('owner'), metadata }),
  'sessions.create of an id that exists': ({ sessions }) => sessions.create({ id: m('session') }),
  'sessions.get': ({ sessions }) => sessions.get(m('session')),
  'sessions.update': ({ sessions }) => sessions.update(m('session'), { title: m('new'), metadata }, { ifVersion: 1 }),
  'sessions.update of another version': ({ sessions }) =>
    sessions.update(m('session'), { title: m('x') }, { ifVersion: 9 }),
  'sessions.update of no session': ({ sessions }) => sessions.update(m('none'), { title: m('x') }),
  'sessions.mergeMetadata': ({ sessions }) => sessions.mergeMetadata(m('session'), metadata),
  'sessions.forks': ({ sessions }) => sessions.forks(m('session')),
  'sessions.summary': ({ sessions }) => sessions.summary(m('session')),
  'sessions.list': ({ sessions }) => sessions.list({ ownerId: m('owner') }),
  'messages.append': ({ messages }) =>
    messages.append(
      m('session'),
      [
        { id: m('1'), role, content: m('content'), metadata },
        { id: m('2'), role: 'user', content: [{ type: 'text', text: m('text') }] },
      ],
      { operationId: m('operation'), payload: m('payload') },
    ),
  'messages.append of an operation with another payload': ({ messages }) =>
    messages.append(m('session'), [{ role, content: m('x') }], { operationId: m('operation'), payload: m('other') }),
  'messages.append of an id that says something else': ({ messages }) =>
    messages.append(m('session'), { id: m('1'), role, content: m('something else') }),
  'messages.append of an id that is there': ({ messages }) =>
    messages.append(m('session'), { id: m('1'), role, content: m('content'), metadata }),
  'messages.list': ({ messages }) => messages.list(m('session')),
  'messages.list of a wrong cursor': ({ messages }) => messages.list(m('session'), { cursor: m('cursor') }),
  'messages.latest': ({ messages }) => messages.latest(m('session'), 2),
  'messages.get': ({ messages }) => messages.get(m('session'), m('1')),
  'messages.getMany': ({ messages }) => messages.getMany(m('session'), [m('1'), m('2')]),
  'messages.find': ({ messages }) => messages.find([m('1'), m('2')]),
  'messages.around': ({ messages }) => messages.around(m('session'), m('1')),
  'messages.around no message': ({ messages }) => messages.around(m('session'), m('none')),
  'messages.countByDay': ({ messages }) => messages.countByDay(),
  'messages.iterate': async ({ messages }) => {
    for await (const _ of messages.iterate(m('session')));
  },
  'messages.search': ({ messages }) => messages.search(MARK, { sessionId: m('session'), role }),
  'messages.recall': ({ messages }) => messages.recall(MARK, { mode: 'text', sessionId: m('session'), role }),
  'sessions.search': ({ sessions }) => sessions.search(MARK),
  'sessions.fork': ({ sessions }) => sessions.fork(m('session'), { id: m('fork'), title: m('copy') }),
  'sessions.fork to an id that exists': ({ sessions }) => sessions.fork(m('session'), { id: m('fork') }),
  'messages.update': ({ messages }) => messages.update(m('session'), m('1'), { role, content: m('new'), metadata }),
  'messages.update of no message': ({ messages }) => messages.update(m('session'), m('none'), { content: m('new') }),
  'messages.put': ({ messages }) => messages.put(m('session'), [{ id: m('3'), role, content: m('put') }]),
  'messages.replace': ({ messages }) =>
    messages.replace(m('session'), { afterSeq: 1, operationId: m('replaced'), payload: m('payload') }, [
      { id: m('4'), role, content: m('content') },
    ]),
  'messages.replace after another seq': ({ messages }) =>
    messages.replace(m('session'), { afterSeq: 1, expectLastSeq: 99 }, [{ role, content: m('content') }]),
  'messages.import': ({ messages }) =>
    messages.import([{ sessionId: m('session'), id: m('5'), role, content: m('content'), metadata }]),
  'messages.import of what is no message': ({ messages }) =>
    messages.import([{ sessionId: m('session'), role, content: Symbol(MARK) as unknown as string }]), // to be refused
  'messages.delete': ({ messages }) => messages.delete(m('session'), [m('4')]),
  'messages.pop': ({ messages }) => messages.pop(m('session')),
  'messages.truncate': ({ messages }) => messages.truncate(m('session'), { afterSeq: 1 }),
  'messages.clear': ({ messages }) => messages.clear(m('session')),
  'kv.set': ({ kv }) => kv.set(m('key'), value),
  'kv.set of another version': ({ kv }) => kv.set(m('key'), value, { ifVersion: 9 }),
  'kv.set of what is no JSON': ({ kv }) => kv.set(m('key'), { [m('property')]: new Map([[MARK, MARK]]) }),
  'kv.set with a session': ({ kv }) => kv.set(m('key'), value, { sessionId: m('session') }),
  'kv.set with no session': ({ kv }) => kv.set(m('key'), value, { sessionId: m('none') }),
  'kv.get': ({ kv }) => kv.get(m('key')),
  'kv.getEntry': ({ kv }) => kv.getEntry(m('key')),
  'kv.has': ({ kv }) => kv.has(m('key')),
  'kv.setMany': ({ kv }) =>
    kv.setMany(
      new Map([
        [m('a'), value],
        [m('b'), value],
      ]),
    ),
  'kv.setIfAbsent': ({ kv }) => kv.setIfAbsent(m('key'), value),
  'kv.getMany': ({ kv }) => kv.getMany([m('a'), m('b')]),
  'kv.keys': ({ kv }) => kv.keys({ prefix: MARK }),
  'kv.entries': ({ kv }) => kv.entries({ prefix: MARK, where: { [m('property')]: m('value') } }),
  'kv.namespace': async ({ kv }) => kv.namespace(m('label')).set(m('key'), value),
  'kv.namespaces': ({ kv }) => kv.namespaces({ depth: 2 }),
  'kv.find': ({ kv }) => kv.namespace(m('label')).find({ where: { [m('property')]: { gt: m('value') } } }),
  'kv.delete': ({ kv }) => kv.delete(m('key')),
  'kv.deleteMany': ({ kv }) => kv.deleteMany([m('a')]),
  'kv.clear': ({ kv }) => kv.clear({ prefix: MARK }),
  'lists.append': ({ lists }) => lists.append(m('list'), value, m('item')),
  'lists.ofSession': ({ lists }) => lists.ofSession(m('session')).append(m('list'), value),
  'lists.range': ({ lists }) => lists.range(m('list'), 0, 2),
  'lists.length': ({ lists }) => lists.length(m('list')),
  'lists.update': ({ lists }) => lists.update(m('list'), () => ({ items: [m('other')], result: m('result') })),
  'lists.keys': ({ lists }) => lists.keys({ prefix: MARK }),
  'lists.delete': ({ lists }) => lists.delete(m('list')),
  'queues.push': ({ queues }) => queues.push(m('session'), m('queue'), { id: m('item'), text: m('text') }),
  'queues.push of more': ({ queues }) => queues.push(m('session'), m('queue'), { id: m('second') }),
  'queues.list': ({ queues }) => queues.list(m('session'), m('queue')),
  'queues.listQueues': ({ queues }) => queues.listQueues({ sessionId: m('session') }),
  'queues.take, extend, release and ack': async ({ queues }) => {
    const receipts = (await queues.take(m('session'), m('queue'), { leaseSeconds: 60 })).map(({ receipt }) => receipt)
    await queues.extend(receipts, { leaseSeconds: 60 })
    await queues.release(receipts)
    await queues.ack([...receipts, m('receipt')])
  },
  'queues.remove': ({ queues }) => queues.remove(m('session'), m('queue'), m('item')),
  'queues.takeAll': ({ queues }) => queues.takeAll(m('session'), m('queue')),
  'queues.clear': ({ queues }) => queues.clear(m('session'), m('queue')),
  'queues.delete': ({ queues }) => queues.delete(m('session'), m('queue')),
  memories: async ({ memories }) => {
    const { id } = await memories.create({ content: m('content'), tags: [m('tag')], metadata })
    await memories.get(id)
    await memories.update(id, { content: m('new'), tags: [m('other')], metadata })
    await memories.list({ tags: [m('other')] })
    await memories.search(MARK)
    await memories.recall(MARK, { mode: 'text', tags: [m('other')] })
    await memories.delete(id)
  },
  'memories.update of no memory': ({ memories }) => memories.update(m('none'), { content: m('new') }),
  'events.append': ({ events }) =>
    events.append([{ id: m('event'), type: m('type'), sessionId: m('session'), runId: m('run'), payload: value }]),
  'events.list': ({ events }) => events.list({ sessionId: m('session'), runId: m('run'), type: m('type') }),
  'events.follow': async ({ events }) => {
    for await (const _ of events.follow({ sessionId: m('session'), runId: m('run') })) break
  },
  'events.prune': ({ events }) => events.prune({ before }),
  'prompts.save': ({ prompts }) =>
    prompts.save({ name: m('prompt'), content: m('content'), description: m('description'), metadata }),
  'prompts.get': ({ prompts }) => prompts.get(m('prompt')),
  'prompts.list': ({ prompts }) => prompts.list({ prefix: MARK }),
  'prompts.delete': ({ prompts }) => prompts.delete(m('prompt')),
  'workspaces.save': ({ workspaces }) =>
    workspaces.save({ id: m('space'), path: m('path'), name: m('name'), metadata }),
  'workspaces.save of a path that another one has': ({ workspaces }) =>
    workspaces.save({ id: m('other space'), path: m('path') }),
  'workspaces.get': ({ workspaces }) => workspaces.get(m('space')),
  'workspaces.findByPath': ({ workspaces }) => workspaces.findByPath(m('path')),
  'workspaces.list': ({ workspaces }) => workspaces.list(),
  'workspaces.setCurrent': ({ workspaces }) => workspaces.setCurrent(m('space')),
  'workspaces.setCurrent of no workspace': ({ workspaces }) => workspaces.setCurrent(m('none')),
  'workspaces.getCurrent': ({ workspaces }) => workspaces.getCurrent(),
  'workspaces.clearCurrent': ({ workspaces }) => workspaces.clearCurrent(),
  'toolState.set': ({ toolState }) => toolState.set(m('tool'), m('key'), value),
  'toolState.get': ({ toolState }) => toolState.get(m('tool'), m('key')),
  'toolState.keys': ({ toolState }) => toolState.keys(m('tool'), { prefix: MARK }),
  'toolState.delete': ({ toolState }) => toolState.delete(m('tool'), m('key')),
  'toolExecutions.start': ({ toolExecutions }) =>
    toolExecutions.start({ executionId: m('execution'), identity, toolName: m('tool'), input: value }),
  'toolExecutions.get': ({ toolExecutions }) => toolExecutions.get(m('execution')),
  'toolExecutions.list': ({ toolExecutions }) => toolExecutions.list({ runId: m('run') }),
  'toolExecutions.complete': ({ toolExecutions }) => toolExecutions.complete(m('execution'), value),
  'toolExecutions.fail of what is complete': ({ toolExecutions }) => toolExecutions.fail(m('execution'), value),
  'toolExecutions.cancel of no execution': ({ toolExecutions }) => toolExecutions.cancel(m('none'), m('reason')),
  'toolExecutions.delete': ({ toolExecutions }) => toolExecutions.delete(m('execution')),
  'approvals.request': ({ approvals }) =>
    approvals.request({ id: m('approval'), sessionId: m('session'), type: m('type'), request: value }),
  'approvals.get': ({ approvals }) => approvals.get(m('approval')),
  'approvals.listPending': ({ approvals }) => approvals.listPending({ sessionId: m('session') }),
  'approvals.list': ({ approvals }) => approvals.list({ sessionId: m('session') }),
  'approvals.respond': ({ approvals }) =>
    approvals.respond({ id: m('approval'), decision: m('decision'), data: value }),
  'approvals.respond to no approval': ({ approvals }) => approvals.respond({ id: m('none'), decision: m('decision') }),
  'approvals.delete': ({ approvals }) => approvals.delete(m('approval')),
  'approvals.setState': ({ approvals }) => approvals.setState(value, m('session')),
  'approvals.getState': ({ approvals }) => approvals.getState(m('session')),
  'approvals.deleteState': ({ approvals }) => approvals.deleteState(m('session')),
  'toolPreferences.allow': ({ toolPreferences }) => toolPreferences.allow(m('tool'), m('session')),
  'toolPreferences.isAllowed': ({ toolPreferences }) => toolPreferences.isAllowed(m('tool'), m('session')),
  'toolPreferences.listAllowed': ({ toolPreferences }) => toolPreferences.listAllowed({ sessionId: m('session') }),
  'toolPreferences.disallow': ({ toolPreferences }) => toolPreferences.disallow(m('tool'), m('session')),
  'toolPreferences.setPreferences': ({ toolPreferences }) =>
    toolPreferences.setPreferences({ autoApproved: [m('tool')], disabled: [m('other')] }, m('session')),
  'toolPreferences.getPreferences': ({ toolPreferences }) => toolPreferences.getPreferences(m('session')),
  'toolPreferences.deletePreferences': ({ toolPreferences }) => toolPreferences.deletePreferences(m('session')),
  'checkpoints.put': ({ checkpoints }) =>
    checkpoints.put({
      ...checkpoint,
      parentId: m('parent'),
      type: m('type'),
      data: bytes,
      metadata,
      versions: { [m('channel')]: m('version') },
      values: { [m('channel')]: { type: m('type'), data: bytes } },
    }),
  'checkpoints.putWrites': ({ checkpoints }) =>
    checkpoints.putWrites({ ...checkpoint, taskId: m('task'), taskPath: m('path') }, writes),
  'checkpoints.latest': ({ checkpoints }) => checkpoints.latest({ threadId: m('thread'), namespace: m('namespace') }),
  'checkpoints.get': ({ checkpoints }) => checkpoints.get(checkpoint),
  'checkpoints.list': ({ checkpoints }) => checkpoints.list({ threadId: m('thread'), metadata }),
  'checkpoints.prune': ({ checkpoints }) => checkpoints.prune(m('thread'), { keepLast: 1 }),
  'checkpoints.deleteThread': ({ checkpoints }) => checkpoints.deleteThread(m('thread')),
  'sessions.delete': ({ sessions }) => sessions.delete(m('session')),
}

/** Every public call of the blobs but `cleanup` and `verify`. */
export const blobCalls: Record<string, Call> = {
  blobs: async ({ blobs }) => {
    const options = { name: m('name.md'), mimeType: `text/${MARK}`, source: m('source'), metadata }
    const { uri } = await blobs.put(bytes, options)
    await blobs.put(Readable.from([Buffer.from(m('more'))])).then((more) => blobs.delete(more.uri))
    await blobs.get(uri)
    await blobs.exists(uri)
    await blobs.bytes(uri)
    await blobs.text(uri)
    await blobs.base64(uri)
    await blobs.dataUri(uri)
    for await (const _ of await blobs.stream(uri));
    await blobs.path(uri)
    await blobs.fileUrl(uri)
    await blobs.url(uri, { expiresSeconds: 60 })
    await blobs.inline({ data: uri })
    await blobs.list({ source: m('source') })
    await blobs.stats()
    await blobs.delete(uri)
  },
  'blobs.bytes of no blob': ({ blobs }) => blobs.bytes(`blob:${m('none')}`),
  'blobs.put of what is no data URI': ({ blobs }) => blobs.put({ dataUri: m('no data URI') }),
  'blobs.put of a file that does not exist': ({ blobs }) => blobs.put({ path: `/${m('none')}` }),
}

/** Every call of the program's own cache. */
export const cacheCalls: Record<string, Call> = {
  'cache.set': ({ cache }) => cache?.set(m('key'), value),
  'cache.get': ({ cache }) => cache?.get(m('key')),
  'cache.getMany': ({ cache }) => cache?.getMany([m('key'), m('other')]),
  'cache.has': ({ cache }) => cache?.has(m('key')),
  'cache.keys': async ({ cache }) => {
    for await (const _ of cache?.keys({ prefix: m('k') }) ?? []);
  },
  'cache.clear': ({ cache }) => cache?.clear({ prefix: m('o') }),
  'cache.delete': ({ cache }) => cache?.delete(m('key')),
}

/** What a transaction has besides. */
export const transactionCalls = async (tx: StorageTransaction): Promise<void> => {
  await tx.sessions.create({ id: m('locked') })
  await tx.lockSession(m('locked'))
  await tx.once(m('locked'), m('operation'), m('payload'))
  await tx.kv.set(m('in a transaction'), value)
  await tx.kv.get(m('in a transaction'))
  await tx.transaction((inner) => inner.kv.delete(m('in a transaction')))
}

/** Calls of the storage itself. */
export const storageCalls: Record<string, (storage: Storage) => unknown> = {
  'storage.transaction': (storage) => storage.transaction(transactionCalls),
  'storage.transaction that fails': (storage) =>
    storage.transaction(async (tx) => {
      await tx.kv.set(m('key'), value)
      throw new Error(m('failure'))
    }),
  'storage.scope.transaction': (storage) => storage.scope({ ownerId: m('owner') }).transaction(transactionCalls),
  'storage.erase': (storage) => storage.erase({ ownerId: m('owner') }),
  'storage.prune': (storage) => storage.prune(),
  'storage.rebuildSearch': (storage) => storage.rebuildSearch(),
  'storage.embedPending': (storage) => storage.embedPending(),
  'storage.enablePgvector': (storage) => storage.enablePgvector(),
  'storage.removeEmbeddings': (storage) => storage.removeEmbeddings({ model: m('model') }),
  'storage.stats': (storage) => storage.stats(),
  'storage.diagnose': (storage) => storage.diagnose(),
  'storage.export': (storage) => storage.export(join(freshDirectory(), m('archive'))),
  'storage.backup': (storage) => storage.backup(join(freshDirectory(), m('copy'))),
  'storage.health': (storage) => storage.health(),
  'storage.maintain': (storage) => storage.maintain(),
  'blobs.cleanup': (storage) => storage.blobs.cleanup(),
  'blobs.verify': (storage) => storage.blobs.verify(),
}
