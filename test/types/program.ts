import { loadStorageConfig, openStorage, type Storage, type StorageTransaction } from 'holdfast'

// Compiled as a program of the package's user: every call of every repository, without a cast. Declarations are emitted,
// so the compiler also checks that each type that a call returns can be named.

const storage: Storage = await openStorage({ storage: { database: { type: 'sqlite', path: 'agent.db' } } })

async function calls(of: Storage | StorageTransaction) {
  const { sessions, messages, kv, lists, queues, memories, events, prompts, workspaces, blobs } = of
  const { toolState, toolExecutions, approvals, toolPreferences } = of
  const session = await sessions.create({ title: 'Trip to Oslo', metadata: { language: 'de' } })
  const { id } = session
  const [first] = await messages.append(id, [{ role: 'user', content: [{ type: 'text', text: 'Hello' }] }])
  const message = await messages.append(id, { id: 'm1', role: 'assistant', content: 'Good morning' })
  const queued = await queues.push(id, 'steer', { id: 'q1', text: 'Faster' })
  const memory = await memories.create({ content: 'Likes trains', tags: ['travel'], metadata: { source: 'user' } })
  const event = await events.append({ type: 'started', sessionId: id, payload: { at: 1 } })
  const prompt = await prompts.save({ name: 'greeting', content: 'Hello' })
  const workspace = await workspaces.save({ path: '/srv/agent' })
  const identity = { runId: 'r', turnId: 't', modelStepId: 's', toolCallId: 'c' }
  const started = await toolExecutions.start({ identity, toolName: 'search' })
  const approval = await approvals.request({ type: 'tool', sessionId: id, request: { tool: 'search' } })
  const blob = await blobs.put(new Uint8Array([1, 2, 3]), { name: 'a.bin' })
  return {
    session,
    first,
    message,
    queued,
    memory,
    event,
    prompt,
    workspace,
    started,
    approval,
    blob,
    fetched: await sessions.get(id),
    updated: await sessions.update(id, { title: null }, { ifVersion: session.version }),
    merged: await sessions.mergeMetadata(id, { language: undefined }),
    summary: await sessions.summary(id),
    forks: await sessions.forks(id, { limit: 10 }),
    sessions: await sessions.list({ limit: 10 }),
    fork: await sessions.fork(id, { throughSeq: 1 }),
    page: await messages.list(id, { order: 'desc' }),
    latest: await messages.latest(id, 10),
    one: await messages.get(id, 'm1'),
    found: await messages.find(['m1']),
    imported: await messages.import([
      { sessionId: id, id: 'm2', role: 'user', content: [{ type: 'text', text: 'Hello' }] },
    ]),
    each: messages.iterate(id, { batchSize: 10 }),
    changed: await messages.update(id, 'm1', { content: null }),
    popped: await messages.pop(id),
    truncated: await messages.truncate(id, { afterSeq: 0 }),
    cleared: await messages.clear(id),
    set: await kv.set('key', { a: [1] }, { ttlSeconds: 60 }),
    ofSession: await kv.set('key', 1, { sessionId: id }),
    listOfSession: await storage.lists.ofSession(id).append('list', 1),
    value: await kv.get('key'),
    entry: await kv.getEntry('key'),
    values: await kv.getMany(['key']),
    inserted: await kv.setIfAbsent('key', 1),
    keys: await kv.keys({ prefix: 'k' }),
    entries: await kv.entries(),
    located: await kv.namespace('a', 'b').find({ where: { n: { gt: 1 } } }),
    namespaces: await kv.namespaces({ depth: 1 }),
    unset: await kv.delete('key'),
    length: await lists.append('list', 1, 'two', { three: 3 }),
    range: await lists.range('list', 0, 10),
    shifted: await lists.update('list', ([head, ...rest]) => ({ items: rest, result: head })),
    lists: await lists.keys(),
    gone: await lists.delete('list'),
    waiting: await queues.list(id, 'steer'),
    leased: await queues.take(id, 'steer', { leaseSeconds: 60, limit: 10 }),
    longer: await queues.extend([], { leaseSeconds: 60 }),
    givenBack: await queues.release([]),
    acknowledged: await queues.ack([]),
    taken: await queues.takeAll(id, 'steer'),
    dropped: await queues.remove(id, 'steer', 'q1'),
    emptied: await queues.clear(id, 'steer'),
    memories: await memories.list({ tags: ['travel'], match: 'all', pinned: false }),
    remembered: await memories.get(memory.id),
    corrected: await memories.update(memory.id, { metadata: { source: 'system' } }),
    forgotten: await memories.delete(memory.id),
    log: await events.list({ sessionId: id, order: 'desc' }),
    followed: events.follow({ sessionId: id, limit: 10 }),
    pruned: await events.prune({ before: new Date(0) }),
    prompts: await prompts.list(),
    greeting: await prompts.get('greeting'),
    noGreeting: await prompts.delete('greeting'),
    workspaces: await workspaces.list(),
    byPath: await workspaces.findByPath('/srv/agent'),
    current: await workspaces.setCurrent(workspace.id),
    stillCurrent: await workspaces.getCurrent(),
    noneCurrent: await workspaces.clearCurrent(),
    state: await toolState.set('search', 'cursor', 5),
    cursor: await toolState.get('search', 'cursor'),
    cursors: await toolState.keys('search'),
    completed: await toolExecutions.complete(started.record.executionId, { found: 3 }),
    execution: await toolExecutions.get(started.record.executionId),
    answer: await approvals.respond({ id: approval.id, decision: 'approved' }),
    pending: await approvals.listPending({ sessionId: id }),
    rules: [await approvals.setState({ always: ['search'] }, id), await approvals.getState(id)],
    allowed: [await toolPreferences.allow('search', id), await toolPreferences.isAllowed('search', id)],
    tools: await toolPreferences.listAllowed({ sessionId: id }),
    preferences: await toolPreferences.setPreferences({ disabled: ['shell'] }, id),
    bytes: await blobs.bytes(blob.id),
    stream: await blobs.stream(blob.uri, { start: 1 }),
    url: await blobs.fileUrl(blob.id),
    presigned: await blobs.url(blob.id, { expiresSeconds: 60 }),
    blobs: await blobs.list({ source: 'upload' }),
  }
}

export const outside = await calls(storage)
export const inside = await storage.transaction(calls, { timeoutMillis: 1000, isolation: 'serializable' })
export const whole = {
  health: await storage.health(),
  stats: await storage.stats(),
  reports: await storage.maintain(),
  cleanup: await storage.blobs.cleanup({ dryRun: true }),
  verification: await storage.blobs.verify({ repair: false }),
  cache: storage.cache,
  cached: [await storage.cache.has('key'), await storage.cache.clear({ prefix: 'k' })],
  cachedKeys: storage.cache.keys({ prefix: 'k' }),
  config: storage.config,
  loaded: await loadStorageConfig('agent.yml'),
}
await storage.close()
