import type { Page, Storage, StorageScope } from 'holdfast'

// The calls of a storage or a scope, for tests that compare answers.

export type Handle = Pick<Storage, Exclude<keyof StorageScope, 'ownerId' | 'transaction' | 'blobs'> | 'cache'> & {
  blobs: StorageScope['blobs']
  transaction: StorageScope['transaction']
}

/** What a call may use: names that all owners use as well, and the ids that its storage has made. */
export interface Arguments {
  session: string
  key: string
  n: number
  /** Ids of memories and blobs, in the order of their creation. */
  made: { memories: string[]; blobs: string[] }
}

export type Call = (storage: Handle, args: Arguments) => Promise<unknown>

const pick = (ids: readonly string[], n: number) => ids[n % Math.max(ids.length, 1)] ?? 'none'
const identity = (n: number) => ({ runId: 'run', turnId: 'turn', modelStepId: 'step', toolCallId: `${n % 3}` })

export const calls: Record<string, Call> = {
  'sessions.create': ({ sessions }, { session, n }) => sessions.create({ id: session, title: `${n}` }),
  'sessions.get': ({ sessions }, { session }) => sessions.get(session),
  'sessions.update': ({ sessions }, { session, n }) => sessions.update(session, { title: `${n}` }),
  'sessions.mergeMetadata': ({ sessions }, { session, n }) => sessions.mergeMetadata(session, { n }),
  'sessions.delete': ({ sessions }, { session }) => sessions.delete(session),
  'sessions.summary': ({ sessions }, { session }) => sessions.summary(session),
  'sessions.list': ({ sessions }) => sessions.list({ orderBy: 'createdAt' }),
  'sessions.list, page by page': ({ sessions }) => walk((page) => sessions.list(page)),
  'sessions.forks': ({ sessions }, { session }) => sessions.forks(session),
  'sessions.fork': ({ sessions }, { session, n }) => sessions.fork(session, { id: `${session}-${n % 2}` }),
  'sessions.search': async ({ sessions }, { n }) => (await sessions.search(`${n}`)).items,
  'messages.append': ({ messages }, { session, n }) =>
    messages.append(session, { id: `m${n % 4}`, role: 'user', content: `${n}` }),
  'messages.list': ({ messages }, { session }) => messages.list(session),
  'messages.list, page by page': ({ messages }, { session, n }) =>
    walk((page) => messages.list(session, { ...page, order: n % 2 ? 'desc' : 'asc' })),
  'messages.latest': ({ messages }, { session }) => messages.latest(session, 2),
  'messages.clear': ({ messages }, { session }) => messages.clear(session),
  'messages.search': async ({ messages }, { n }) => (await messages.search(`${n}`)).items,
  'messages.get': ({ messages }, { session, n }) => messages.get(session, `m${n % 4}`),
  'messages.update': ({ messages }, { session, n }) => messages.update(session, `m${n % 4}`, { content: `new ${n}` }),
  'messages.pop': ({ messages }, { session }) => messages.pop(session),
  'messages.truncate': ({ messages }, { session, n }) => messages.truncate(session, { afterSeq: n % 3 }),
  'messages.put': ({ messages }, { session, n }) =>
    messages.put(session, [
      { id: `m${n % 4}`, role: 'user', content: `put ${n}` },
      { id: `p${n % 3}`, role: 'user', content: 'put' },
    ]),
  'messages.replace': ({ messages }, { session, n }) =>
    messages.replace(session, { afterSeq: n % 3 }, [{ id: `m${n % 4}`, role: 'user', content: `instead ${n}` }]),
  'messages.replace, of a range, once': ({ messages }, { session, n }) =>
    messages.replace(session, { afterSeq: n % 3, throughSeq: (n % 3) + (n % 2), operationId: `o${n % 4}` }, [
      { id: `o${n % 4}`, role: 'user', content: `once ${n}` },
    ]),
  'messages.append, once': ({ messages }, { session, n }) =>
    messages.append(session, [{ id: `a${n % 3}`, role: 'user', content: 'once' }], { operationId: `a${n % 3}` }),
  'messages.import': ({ messages }, { session, n }) =>
    messages.import(
      [`${session}-one`, session].map((sessionId) => ({
        sessionId,
        id: `m${n % 4}`,
        role: 'user',
        content: `imported ${n}`,
      })),
    ),
  'messages.delete': ({ messages }, { session, n }) => messages.delete(session, [`m${n % 4}`, `p${n % 3}`]),
  'messages.getMany': ({ messages }, { session, n }) => messages.getMany(session, [`m${n % 4}`, 'm0']),
  'messages.find': ({ messages }, { n }) => messages.find([`m${n % 4}`, 'm0']),
  'messages.around': ({ messages }, { session, n }) => messages.around(session, `m${n % 4}`, { before: 1, after: 1 }),
  'messages.countByDay': ({ messages }) => messages.countByDay({ days: 3, timeoutMillis: 60_000 }),
  'messages.iterate': async ({ messages }, { session }) => {
    const all = []
    for await (const message of messages.iterate(session)) all.push(message)
    return all
  },
  'kv.set': ({ kv }, { key, n }) => kv.set(key, n),
  'kv.setIfAbsent': ({ kv }, { key, n }) => kv.setIfAbsent(key, n),
  'kv.set, if a version': ({ kv }, { key, n }) => kv.set(key, n, { ifVersion: 1 + (n % 2) }),
  'kv.set, with a session': ({ kv }, { session, key, n }) => kv.set(key, n, { sessionId: session }),
  'kv.setMany, with a session': ({ kv }, { session, key, n }) =>
    kv.setMany(Object.entries({ [key]: n, c: n }), { sessionId: session }),
  'kv.setIfAbsent, with a session': ({ kv }, { session, key, n }) => kv.setIfAbsent(key, n, { sessionId: session }),
  'kv.getEntry': ({ kv }, { key }) => kv.getEntry(key),
  'kv.getMany': async ({ kv }) => [...(await kv.getMany(['a', 'b', 'c']))].sort(),
  'kv.setMany': ({ kv }, { key, n }) => kv.setMany(Object.entries({ [key]: n, c: n })),
  'kv.deleteMany': ({ kv }, { key }) => kv.deleteMany([key, 'a']),
  'kv.clear': ({ kv }, { key }) => kv.clear({ prefix: key }),
  'kv.keys': ({ kv }) => kv.keys({ order: 'desc' }),
  'kv.keys, page by page': ({ kv }, { n }) => walk((page) => kv.keys({ ...page, order: n % 2 ? 'desc' : 'asc' })),
  'kv.get': ({ kv }, { key }) => kv.get(key),
  'kv.has': ({ kv }, { key }) => kv.has(key),
  'kv.delete': ({ kv }, { key }) => kv.delete(key),
  'kv.entries': ({ kv }) => kv.entries(),
  'kv.entries, if a property': ({ kv }, { n }) => kv.entries({ where: { n: { gte: n } } }),
  'kv.namespace': ({ kv }, { key, n }) => kv.namespace('a', key).set('b', { n }),
  'kv.namespaces': ({ kv }, { n }) => kv.namespaces({ depth: 1 + (n % 2) }),
  'kv.find': ({ kv }, { key, n }) =>
    kv.namespace('a').find({ where: { n: { ne: n } }, order: key === 'a' ? 'asc' : 'desc' }),
  'lists.append': ({ lists }, { key, n }) => lists.append(key, n, n + 1),
  'lists.ofSession': ({ lists }, { session, key, n }) => lists.ofSession(session).append(key, n),
  'lists.ofSession, update': ({ lists }, { session, key, n }) =>
    lists.ofSession(session).update(key, (items) => ({ items: [...items, n], result: items.length })),
  'lists.range': ({ lists }, { key, n }) => lists.range(key, n % 2, 3),
  'lists.update': ({ lists }, { key, n }) =>
    lists.update(key, (items) => ({ items: [...items, n], result: items.length })),
  'lists.length': ({ lists }, { key }) => lists.length(key),
  'lists.keys': ({ lists }) => lists.keys(),
  'lists.delete': ({ lists }, { key }) => lists.delete(key),
  'queues.push': ({ queues }, { session, key, n }) => queues.push(session, key, { id: `i${n % 3}`, n }),
  'queues.takeAll': ({ queues }, { session, key }) => queues.takeAll(session, key),
  'queues.take, queues.ack': async ({ queues }, { session, key }) => {
    const taken = await queues.take(session, key, { leaseSeconds: 60, limit: 2 })
    const { held } = await queues.ack(taken.map(({ receipt }) => receipt))
    return [taken.map(({ item, attempt }) => ({ item, attempt })), held.length]
  },
  'queues.take, queues.extend, queues.release': async ({ queues }, { session, key }) => {
    const taken = await queues.take(session, key, { leaseSeconds: 60 })
    const receipts = taken.map(({ receipt }) => receipt)
    return [
      (await queues.extend(receipts, { leaseSeconds: 90 })).held.length,
      (await queues.release(receipts)).held.length,
    ]
  },
  'queues.clear': ({ queues }, { session, key }) => queues.clear(session, key),
  'queues.listQueues': ({ queues }) => queues.listQueues(),
  'queues.delete': ({ queues }, { session, key }) => queues.delete(session, key),
  'queues.list': ({ queues }, { session, key }) => queues.list(session, key),
  'queues.list, page by page': ({ queues }, { session, key }) => walk((page) => queues.list(session, key, page)),
  'queues.remove': ({ queues }, { session, key, n }) => queues.remove(session, key, `i${n % 3}`),
  'memories.create': async ({ memories }, { n, made }) => {
    const { id, ...memory } = await memories.create({ content: `${n}`, tags: ['all', `${n % 2}`] })
    made.memories.push(id)
    return memory
  },
  'memories.get': async ({ memories }, { n, made }) => without(await memories.get(pick(made.memories, n)), 'id'),
  'memories.update': async ({ memories }, { n, made }) =>
    without(await memories.update(pick(made.memories, n), { content: `new ${n}`, tags: ['all'] }), 'id'),
  'memories.delete': ({ memories }, { n, made }) => memories.delete(pick(made.memories, n)),
  'memories.search': async ({ memories }, { n }) =>
    (await memories.search(`${n}`)).items.map(({ memory }) => memory.content),
  'memories.list': async ({ memories }) => contents((await memories.list()).items),
  'memories.list, by a tag': async ({ memories }) => contents((await memories.list({ tags: ['1'] })).items),
  'memories.list, by two tags': async ({ memories }) =>
    contents((await memories.list({ tags: ['all', '1'], match: 'all' })).items),
  'events.append': async ({ events }, { session, n }) =>
    without(
      await events.append({ id: `e${n % 5}`, type: `t${n % 2}`, sessionId: session, runId: 'run', payload: n }),
      'seq',
    ),
  'events.list': async ({ events }) => (await events.list()).items.map((event) => without(event, 'seq')),
  'events.list, of a session': async ({ events }, { session }) =>
    (await events.list({ sessionId: session })).items.map((event) => without(event, 'seq')),
  'events.list, of a type': async ({ events }) =>
    (await events.list({ type: 't1', runId: 'run' })).items.map((event) => without(event, 'seq')),
  'events.follow': async ({ events }, { session, n }) => {
    // There is something to yield: it does not wait.
    await events.append({ id: `f${n}`, type: 't', sessionId: session, runId: 'followed' })
    const { value } = await events.follow({ runId: 'followed', limit: 100 }).next()
    return value?.items.map((event) => without(event, 'seq'))
  },
  'events.prune': ({ events }) => events.prune({ before: new Date(0) }),
  'checkpoints.put': ({ checkpoints }, { key, n }) => {
    const data = Buffer.from(`${n}`)
    const values = { a: { type: 'text', data } }
    return checkpoints.put({ threadId: key, id: `${n % 4}`, type: 'text', data, versions: { a: `${n}` }, values })
  },
  'checkpoints.putWrites': ({ checkpoints }, { key, n }) =>
    checkpoints.putWrites({ threadId: key, id: `${n % 4}`, taskId: 'task' }, [
      { channel: 'a', type: 'text', data: Buffer.from(`${n}`) },
    ]),
  'checkpoints.get': ({ checkpoints }, { key, n }) => checkpoints.get({ threadId: key, id: `${n % 4}` }),
  'checkpoints.latest': ({ checkpoints }, { key }) => checkpoints.latest({ threadId: key }),
  'checkpoints.list': ({ checkpoints }) => checkpoints.list(),
  'checkpoints.list, page by page': ({ checkpoints }) => walk((page) => checkpoints.list(page)),
  'checkpoints.prune': ({ checkpoints }, { key }) => checkpoints.prune(key, { keepLast: 1 }),
  'checkpoints.deleteThread': ({ checkpoints }, { key }) => checkpoints.deleteThread(key),
  'prompts.save': ({ prompts }, { key, n }) => prompts.save({ name: key, content: n }),
  'prompts.get': ({ prompts }, { key }) => prompts.get(key),
  'prompts.delete': ({ prompts }, { key }) => prompts.delete(key),
  'prompts.list': ({ prompts }) => prompts.list(),
  'workspaces.save': ({ workspaces }, { key, n }) => workspaces.save({ id: key, path: `/${n % 3}` }),
  'workspaces.get': ({ workspaces }, { key }) => workspaces.get(key),
  'workspaces.findByPath': ({ workspaces }, { n }) => workspaces.findByPath(`/${n % 3}`),
  'workspaces.setCurrent': ({ workspaces }, { key }) => workspaces.setCurrent(key),
  'workspaces.getCurrent': ({ workspaces }) => workspaces.getCurrent(),
  'workspaces.clearCurrent': ({ workspaces }) => workspaces.clearCurrent(),
  'workspaces.list': ({ workspaces }) => workspaces.list(),
  'toolState.set': ({ toolState }, { key, n }) => toolState.set('tool', key, n),
  'toolState.get': ({ toolState }, { key }) => toolState.get('tool', key),
  'toolState.delete': ({ toolState }, { key }) => toolState.delete('tool', key),
  'toolState.keys': ({ toolState }) => toolState.keys('tool'),
  'toolExecutions.start': ({ toolExecutions }, { n }) =>
    toolExecutions.start({ identity: identity(n), toolName: 'tool', input: n }),
  'toolExecutions.complete': ({ toolExecutions }, { n }) => toolExecutions.complete(`x${n % 3}`, 1),
  'toolExecutions.fail': ({ toolExecutions }, { n }) => toolExecutions.fail(`x${n % 3}`, 'broken'),
  'toolExecutions.cancel': ({ toolExecutions }, { n }) => toolExecutions.cancel(`x${n % 3}`),
  'toolExecutions.get': ({ toolExecutions }, { n }) => toolExecutions.get(`x${n % 3}`),
  'toolExecutions.start, by id': ({ toolExecutions }, { n }) =>
    toolExecutions.start({ executionId: `x${n % 3}`, identity: identity(n), toolName: 'tool' }),
  'toolExecutions.list': ({ toolExecutions }) => toolExecutions.list(),
  'toolExecutions.delete': ({ toolExecutions }, { n }) => toolExecutions.delete(`x${n % 3}`),
  'approvals.request': ({ approvals }, { session, n }) =>
    approvals.request({ id: `q${n % 3}`, type: 'tool', sessionId: session, request: n }),
  'approvals.respond': ({ approvals }, { n }) => approvals.respond({ id: `q${n % 3}`, decision: 'approved', data: n }),
  'approvals.get': ({ approvals }, { n }) => approvals.get(`q${n % 3}`),
  'approvals.listPending': ({ approvals }) => approvals.listPending(),
  'approvals.list': ({ approvals }) => approvals.list(),
  'approvals.delete': ({ approvals }, { n }) => approvals.delete(`q${n % 3}`),
  'approvals.setState': ({ approvals }, { session, n }) => approvals.setState(n, n % 2 ? session : undefined),
  'approvals.getState': ({ approvals }, { session, n }) => approvals.getState(n % 2 ? session : undefined),
  'approvals.deleteState': ({ approvals }, { session, n }) => approvals.deleteState(n % 2 ? session : undefined),
  'toolPreferences.setPreferences': ({ toolPreferences }, { session, n }) =>
    toolPreferences.setPreferences({ autoApproved: [`${n}`] }, n % 2 ? session : undefined),
  'toolPreferences.getPreferences': ({ toolPreferences }, { session, n }) =>
    toolPreferences.getPreferences(n % 2 ? session : undefined),
  'toolPreferences.allow': ({ toolPreferences }, { session, key, n }) =>
    toolPreferences.allow(key, n % 2 ? session : undefined),
  'toolPreferences.disallow': ({ toolPreferences }, { session, key, n }) =>
    toolPreferences.disallow(key, n % 2 ? session : undefined),
  'toolPreferences.isAllowed': ({ toolPreferences }, { session, key }) => toolPreferences.isAllowed(key, session),
  'toolPreferences.listAllowed': ({ toolPreferences }, { session }) =>
    toolPreferences.listAllowed({ sessionId: session }),
  'toolPreferences.deletePreferences': ({ toolPreferences }, { session, n }) =>
    toolPreferences.deletePreferences(n % 2 ? session : undefined),
  'blobs.put': async ({ blobs }, { n, made }) => {
    const {
      id,
      uri: _,
      ...record
    } = await blobs.put(Buffer.from(`${n % 3}`), {
      source: `${n % 2}`,
      metadata: n % 2 ? { $inline: '' } : {},
    })
    made.blobs.push(id)
    return record
  },
  'blobs.get': async ({ blobs }, { n, made }) => without(await blobs.get(pick(made.blobs, n)), 'id', 'uri'),
  'blobs.bytes': ({ blobs }, { n, made }) => blobs.bytes(pick(made.blobs, n)),
  'blobs.text': ({ blobs }, { n, made }) => blobs.text(pick(made.blobs, n)),
  'blobs.base64': ({ blobs }, { n, made }) => blobs.base64(pick(made.blobs, n)),
  'blobs.dataUri': ({ blobs }, { n, made }) => blobs.dataUri(pick(made.blobs, n)),
  'blobs.stream': async ({ blobs }, { n, made }) => (await blobs.stream(pick(made.blobs, n))).toArray(),
  'blobs.inline': async ({ blobs }, { n, made }) => {
    const uri = `blob:${pick(made.blobs, n)}`
    const value = await blobs.inline(uri)
    return value === uri ? 'not found' : value
  },
  'blobs.exists': ({ blobs }, { n, made }) => blobs.exists(pick(made.blobs, n)),
  'blobs.list': async ({ blobs }) => (await blobs.list()).items.length,
  'blobs.list, of a source': async ({ blobs }) => (await blobs.list({ source: '1' })).items.length,
  'blobs.stats': async ({ blobs }) => without(await blobs.stats(), 'maxTotalSize'),
  'blobs.delete': ({ blobs }, { n, made }) => blobs.delete(pick(made.blobs, n)),
  'cache.set': ({ cache }, { key, n }) => cache.set(key, n),
  'cache.getMany': async ({ cache }) => [...(await cache.getMany(['a', 'b', 'c']))].sort(),
  'cache.get': ({ cache }, { key }) => cache.get(key),
  'cache.delete': ({ cache }, { key }) => cache.delete(key),
  'cache.has': ({ cache }, { key }) => cache.has(key),
  'cache.keys': async ({ cache }) => {
    const keys = new Set<string>()
    for await (const key of cache.keys()) keys.add(key)
    return [...keys].sort()
  },
  'cache.clear': ({ cache }, { key }) => cache.clear({ prefix: key }),
  transaction: ({ transaction }, { session, key, n }) =>
    transaction(async (tx) => {
      await tx.kv.set(key, n)
      await tx.sessions.mergeMetadata(session, { n })
      return tx.transaction((inner) => inner.messages.append(session, { role: 'user', content: `${n}`, id: `t${n}` }))
    }),
}

/** Methods that no call is about, and why. */
export const NOT_COMPARED: Record<string, string> = {
  'sessions.sweepExpired': 'concerns everybody, for maintenance',
  'kv.sweepExpired': 'concerns everybody, for maintenance',
  'messages.recall': 'needs a model; see test/recall',
  'memories.recall': 'needs a model; see test/recall',
  'blobs.cleanup': 'refused in a scope',
  'blobs.verify': 'refused in a scope',
  'blobs.path': 'only a directory has paths; it finds the blob as blobs.bytes does',
  'blobs.fileUrl': 'the same',
  'blobs.url': 'only a bucket has urls; it finds the blob as blobs.bytes does',
}

function without<T extends object, K extends keyof T>(value: T | undefined, ...names: K[]): Omit<T, K> | undefined {
  if (value === undefined) return undefined
  const copy: Partial<T> = { ...value }
  for (const name of names) delete copy[name]
  return copy as Omit<T, K> // all but the names
}

const contents = (items: readonly { content: string }[]) => items.map(({ content }) => content).sort()

/** Reads a list in pages of one or two. */
async function walk<T>(read: (page: { limit: number; cursor?: string }) => Promise<Page<T>>): Promise<T[]> {
  const all: T[] = []
  for (let cursor: string | undefined; ; ) {
    const { items, nextCursor } = await read({ limit: 1 + (all.length % 2), ...(cursor !== undefined && { cursor }) })
    all.push(...items)
    if (nextCursor === undefined) return all
    cursor = nextCursor
  }
}
