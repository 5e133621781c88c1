import { join } from 'node:path'
import { openStorage, type Storage, type StorageConfig } from 'holdfast'
import { describe, expect, test } from 'vitest'
import { freshDirectory, freshPostgres, redisPrefix, redisUrl } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

const DAY = 86_400_000
const GRACE = 300_000

const retention = {
  messages: '30d',
  sessions: { idle: '90d' },
  events: '7d',
  toolExecutions: '30d',
  approvals: '30d',
  memories: '365d',
}

const configurations: Record<string, () => Promise<StorageConfig>> = {
  'in memory': async () => ({ retention }),
  SQLite: async () => ({ database: { type: 'sqlite', path: join(freshDirectory(), 'test.db') }, retention }),
  'PostgreSQL and Redis': async () => ({
    database: { type: 'postgres', url: await freshPostgres() },
    cache: { type: 'redis', url: redisUrl(), options: { keyPrefix: redisPrefix() } },
    retention,
  }),
}

/** A clock that the test sets. */
function clockAt(start: number) {
  let time = start
  return {
    now: () => new Date(time),
    advance(days: number) {
      time += days * DAY
    },
  }
}

/** Opens a storage whose clock the test sets, and fills every table that retention concerns. */
async function filled(config: StorageConfig) {
  const clock = clockAt(Date.now())
  const storage = await openStorage(config, { ...quiet, now: clock.now })
  return { storage, clock }
}

const identity = (runId: string, toolCallId = 'c') => ({ runId, turnId: 't', modelStepId: 's', toolCallId })
const seqsOf = async (storage: Pick<Storage, 'messages'>, id: string) =>
  (await storage.messages.list(id, { limit: 1000 })).items.map(({ seq }) => seq)
const say = (content: string) => ({ role: 'user' as const, content })

/** Returns a signal that is aborted when somebody has looked at it so often. */
function abortedAfter(looks: number): AbortSignal {
  const { signal } = new AbortController()
  let left = looks
  return Object.defineProperty(signal, 'aborted', { get: () => left-- <= 0 })
}

/** Counts the items of a queue of the session `idle`. */
async function countOf({ queues }: Pick<Storage, 'queues'>, queue: string): Promise<number> {
  return (await queues.list('idle', queue, { limit: 1000 })).items.length
}

describe.each(Object.entries(configurations))('%s', (_, configure) => {
  test('prune() removes what is older than configured, and reports it by table', async () => {
    const { storage, clock } = await filled(await configure())
    await using _storage = storage
    const ada = storage.scope({ ownerId: 'ada' })
    for (const handle of [storage, ada]) {
      await handle.messages.append('idle', [say('1'), say('2')])
      await handle.events.append({ type: 'old', sessionId: 'alive' })
      for (const id of ['idle', 'alive']) {
        if (id === 'alive') await handle.sessions.create({ id })
        await handle.kv.set(`of ${id}`, 1, { sessionId: id })
        await handle.lists.ofSession(id).append(`of ${id}`, 1)
      }
      const { record } = await handle.toolExecutions.start({ identity: identity('done'), toolName: 't' })
      await handle.toolExecutions.complete(record.executionId, 'out')
      await handle.approvals.request({ id: 'done', type: 't' })
      await handle.approvals.respond({ id: 'done', decision: 'approved' })
      await handle.memories.create({ content: 'old', tags: ['a'] })
      await handle.memories.create({ content: 'pinned', metadata: { pinned: true } })
      await handle.messages.append('alive', [say('1'), say('2')])
      await handle.kv.set('k', 1)
    }
    clock.advance(350)
    for (const handle of [storage, ada]) {
      await handle.messages.append('alive', [say('3'), say('4')])
      await handle.events.append({ type: 'new', sessionId: 'alive' })
      await handle.memories.create({ content: 'new' })
    }
    expect((await ada.sessions.get('idle'))?.id).toBe('idle') // cached now
    expect(await storage.prune({ dryRun: true })).toEqual({
      rows: { events: 2, toolExecutions: 2, approvals: 2, messages: 4, sessions: 2 },
      total: 12,
    })
    clock.advance(16)
    const planned = await storage.prune({ dryRun: true })
    expect(planned).toEqual({
      rows: { events: 4, toolExecutions: 2, approvals: 2, memories: 2, messages: 4, sessions: 2 },
      total: 16,
    })
    const progress: Record<string, number> = {}
    const onProgress = ({ table, rows }: { table: string; rows: number }) => {
      progress[table] = (progress[table] ?? 0) + rows
    }
    expect(await storage.prune({ onProgress })).toEqual(planned)
    expect(progress).toEqual(planned.rows)
    expect(await storage.prune()).toEqual({ rows: {}, total: 0 })
    for (const handle of [storage, ada]) {
      expect(await handle.sessions.get('idle')).toBeUndefined()
      expect(await seqsOf(handle, 'alive')).toEqual([3, 4])
      expect((await handle.sessions.summary('alive'))?.messageCount).toBe(2)
      expect(await handle.kv.get('k')).toBe(1)
      expect([await handle.kv.get('of idle'), await handle.lists.length('of idle')]).toEqual([undefined, 0])
      expect([await handle.kv.get('of alive'), await handle.lists.length('of alive')]).toEqual([1, 1])
      expect(await handle.approvals.get('done')).toBeUndefined()
    }
    const contents = (await storage.memories.list()).items.map(({ content }) => content)
    expect(contents.sort()).toEqual(['new', 'new', 'pinned', 'pinned'])
    expect((await storage.stats()).database.rows).toMatchObject({ toolExecutions: 0, memoryTags: 0, events: 0 })
  })

  test('prune() removes nothing that a pending approval or a running execution needs', async () => {
    const config = await configure()
    const { storage, clock } = await filled({
      ...config,
      retention: { ...config.retention, abandonedExecutions: 'never' },
    })
    await using _storage = storage
    const fill = async (session: string, run: string) => {
      await storage.messages.append(session, [say('1'), say('2')])
      await storage.events.append([
        { type: 'of both', sessionId: session, runId: run },
        { type: 'of the session', sessionId: session },
        { type: 'of the run', runId: run },
      ])
      const { record } = await storage.toolExecutions.start({ identity: identity(run), toolName: 't' })
      await storage.toolExecutions.complete(record.executionId)
      await storage.approvals.request({ id: `${session} done`, type: 't', sessionId: session })
      await storage.approvals.respond({ id: `${session} done`, decision: 'approved' })
    }
    await fill('waits', 'waiting')
    await fill('works', 'working')
    await fill('rests', 'resting')
    await storage.approvals.request({ id: 'pending', type: 't', sessionId: 'waits' })
    const { record } = await storage.toolExecutions.start({ identity: identity('working', 'c2'), toolName: 't' })
    await storage.approvals.request({ id: 'alone', type: 't' })
    clock.advance(400)

    const planned = await storage.prune({ dryRun: true })
    expect(await storage.prune()).toEqual(planned)
    for (const session of ['waits', 'works']) {
      expect(await seqsOf(storage, session)).toEqual([1, 2])
      expect(await storage.approvals.get(`${session} done`)).toBeDefined()
    }
    expect(await storage.sessions.get('rests')).toBeUndefined()
    const left = (await storage.events.list()).items.map(({ type, sessionId, runId }) => [type, sessionId ?? runId])
    expect(left).toEqual([
      ['of both', 'waits'],
      ['of the session', 'waits'],
      ['of both', 'works'],
      ['of the run', 'working'],
    ])
    const executions = (await storage.toolExecutions.list()).items.map(({ identity }) => identity.runId)
    expect(executions.sort()).toEqual(['waiting', 'working', 'working'])
    const pending = (await storage.approvals.listPending()).items.map(({ id }) => id)
    expect(pending.sort()).toEqual(['alone', 'pending'])

    await storage.toolExecutions.complete(record.executionId)
    await storage.approvals.respond({ id: 'pending', decision: 'denied' })
    expect((await storage.prune()).rows.sessions).toBe(2)
    expect((await storage.stats()).database.rows).toMatchObject({ sessions: 0, messages: 0, toolExecutions: 1 })
    clock.advance(31)
    await storage.prune()
    expect((await storage.stats()).database.rows).toMatchObject({ toolExecutions: 0, approvals: 1, events: 0 })
  })

  test('prune() protects nothing for an execution that a crash left running, and removes its record', async () => {
    const config = await configure()
    const { storage, clock } = await filled({
      ...config,
      retention: { ...config.retention, abandonedExecutions: '100d' },
    })
    await using _storage = storage
    for (const handle of [storage, storage.scope({ ownerId: 'ada' })]) {
      await handle.messages.append('crashed', [say('1'), say('2')])
      await handle.events.append({ type: 't', sessionId: 'crashed', runId: 'lost' })
      await handle.approvals.request({ id: 'done', type: 't', sessionId: 'crashed' })
      await handle.approvals.respond({ id: 'done', decision: 'approved' })
      const { record } = await handle.toolExecutions.start({ identity: identity('lost', 'ended'), toolName: 't' })
      await handle.toolExecutions.complete(record.executionId)
      await handle.toolExecutions.start({ identity: identity('lost'), toolName: 't' })
    }
    clock.advance(99)
    expect(await storage.prune()).toEqual({ rows: {}, total: 0 })
    clock.advance(2)
    const planned = await storage.prune({ dryRun: true })
    expect(planned.rows).toEqual({ events: 2, toolExecutions: 4, approvals: 2, sessions: 2 })
    expect(await storage.prune()).toEqual(planned)
    expect((await storage.stats()).database.rows).toMatchObject({
      ...{ sessions: 0, messages: 0, toolExecutions: 0, approvals: 0, events: 0 },
    })
  })

  test('prune() leaves the end of a conversation without a gap, and a session as active as it was', async () => {
    const { storage, clock } = await filled(await configure())
    await using _storage = storage
    const at = (days: number) => new Date(clock.now().getTime() + days * DAY)
    // Times that the caller gives: older than the session, and out of order.
    await storage.messages.append('imported', [
      { ...say('1'), createdAt: at(-50) },
      { ...say('2'), createdAt: at(-40) },
      { ...say('3'), createdAt: at(-1) },
      { ...say('4'), createdAt: at(-45) },
    ])
    await storage.sessions.fork('imported', { id: 'fork' })
    const before = await storage.sessions.summary('imported')
    expect(await storage.prune()).toEqual({ rows: { messages: 4 }, total: 4 })
    expect(await seqsOf(storage, 'imported')).toEqual([3, 4])
    expect(await seqsOf(storage, 'fork')).toEqual([3, 4])
    expect(await storage.sessions.summary('imported')).toEqual({ ...before, messageCount: 2 })
    const { seq } = await storage.messages.append('imported', say('5'))
    expect(seq).toBe(5)
  })

  test('prune() removes more than a transaction does, also of one session', { timeout: 60_000 }, async () => {
    const { storage, clock } = await filled(await configure())
    await using _storage = storage
    const many = Array.from({ length: 1000 }, (_, i) => i)
    for (const id of ['long', 'alive']) {
      for (let i = 0; i < 2; i++) {
        await storage.messages.append(id, many.map(String).map(say))
        await storage.events.append(many.map((n) => ({ type: 't', sessionId: id, payload: n })))
      }
      await storage.transaction(async (tx) => {
        for (let i = 0; i < 700; i++) await tx.queues.push(id, 'q', { id: `${i}` })
      })
    }
    clock.advance(100)
    await storage.messages.append('alive', say('new'))
    expect((await storage.prune()).rows).toEqual({ events: 4000, messages: 2000, sessions: 1 })
    expect(await seqsOf(storage, 'alive')).toEqual([2001])
    expect((await storage.stats()).database.rows).toMatchObject({ sessions: 1, messages: 1, queueItems: 700 })
  })

  test('prune() that ends in the middle of a session leaves queues whose lengths are right', {
    timeout: 60_000,
  }, async () => {
    const { storage, clock } = await filled(await configure())
    await using _storage = storage
    const ada = storage.scope({ ownerId: 'ada' })
    await ada.sessions.create({ id: 'idle' })
    for (let i = 0; i < 1200; i++) await ada.queues.push('idle', i % 2 ? 'odd' : 'even', { id: `i${i}` })
    clock.advance(100)
    const lengths = async () => (await ada.queues.listQueues()).items.map(({ length }) => length)
    await expect(storage.prune({ signal: abortedAfter(8) })).rejects.toMatchObject({ code: 'ABORTED' })
    const left = [await countOf(ada, 'even'), await countOf(ada, 'odd')]
    expect((left[0] ?? 0) + (left[1] ?? 0)).toBeGreaterThan(0)
    expect((left[0] ?? 0) + (left[1] ?? 0)).toBeLessThan(1200)
    expect(await lengths()).toEqual(left)
    await storage.prune()
    expect(await lengths()).toEqual([])
    expect(await ada.sessions.get('idle')).toBeUndefined()
  })

  test('prune() removes a session only when it was idle for the whole time', { timeout: 60_000 }, async () => {
    const config = await configure()
    const { storage, clock } = await filled({ ...config, retention: { sessions: { idle: '90d' } } })
    await using _storage = storage
    for (const id of ['appended', 'renamed', 'idle']) await storage.messages.append(id, say('1'))
    for (let i = 0; i < 3; i++) await storage.messages.append('long', Array(1000).fill(say('x')))
    await storage.events.append(Array(1000).fill({ type: 't', sessionId: 'idle' }))
    clock.advance(89)
    await storage.sessions.update('renamed', { title: 'new' })
    await storage.messages.append('appended', say('2'))
    clock.advance(2)
    expect((await storage.prune()).rows).toEqual({ sessions: 2 })
    const { items } = await storage.sessions.list()
    expect(items.map(({ id }) => id).sort()).toEqual(['appended', 'renamed'])
    expect((await storage.stats()).database.rows).toMatchObject({ sessions: 2, messages: 3, events: 0 })
  })

  test('prune() waits for the grace', async () => {
    const config = await configure()
    const clock = clockAt(Date.now())
    let offset = 0
    const now = () => new Date(clock.now().getTime() + offset)
    await using storage = await openStorage({ ...config, retention: { events: '12h' } }, { ...quiet, now })
    await storage.events.append({ type: 't' })
    offset = DAY / 2 + GRACE - 1
    expect((await storage.prune()).total).toBe(0)
    offset += 1
    expect((await storage.prune()).total).toBe(1)
  })

  test('maintain() applies the retention once an hour', async () => {
    const { storage, clock } = await filled(await configure())
    await using _storage = storage
    const removed = async () => (await storage.maintain()).find(({ step }) => step === 'retention')?.removed
    const appendOld = () => storage.events.append({ type: 't', occurredAt: new Date(clock.now().getTime() - 9 * DAY) })
    await appendOld()
    expect(await removed()).toBe(1)
    await appendOld()
    expect(await removed()).toBe(0)
    clock.advance(1 / 24)
    expect(await removed()).toBe(1)
    await appendOld()
    expect((await storage.prune()).total).toBe(1) // on request at any time
  })

  test('maintain() goes on applying the retention after a clock was a year ahead for a while', async () => {
    const { storage, clock } = await filled(await configure())
    await using _storage = storage
    clock.advance(365)
    await storage.maintain()
    clock.advance(-365)
    await storage.events.append({ type: 't', occurredAt: new Date(clock.now().getTime() - 9 * DAY) })
    const reports = await storage.maintain()
    expect(reports.find(({ step }) => step === 'retention')).toMatchObject({ removed: 1 })
  })
})
