import { expect } from 'vitest'
import type { Driver } from '../../src/database/db.ts'
import type { Repositories } from '../../src/repositories/repositories.ts'

const ROWS = 3000

/** The calls whose cost must not grow with the number of rows. Each changes only rows that no other call reads. */
export const calls: Record<string, (repositories: Repositories) => Promise<unknown>> = {
  'sessions.get': ({ sessions }) => sessions.get('session-7'),
  'sessions.summary': ({ sessions }) => sessions.summary('session-7'),
  'sessions.list': ({ sessions }) => twoPages((cursor) => sessions.list({ cursor })),
  'sessions.list of an owner': ({ sessions }) => twoPages((cursor) => sessions.list({ ownerId: 'owner', cursor })),
  'sessions.list by createdAt': ({ sessions }) => twoPages((cursor) => sessions.list({ orderBy: 'createdAt', cursor })),
  'sessions.list of an owner by createdAt': ({ sessions }) =>
    twoPages((cursor) => sessions.list({ ownerId: 'owner', orderBy: 'createdAt', cursor })),
  'sessions.forks': ({ sessions }) => twoPages((cursor) => sessions.forks('session-7', { cursor, limit: 2 })),
  'sessions.update': ({ sessions }) => sessions.update('session-8', { title: 'new' }, { ifVersion: 1 }),
  'sessions.mergeMetadata': ({ sessions }) => sessions.mergeMetadata('session-9', { a: 1 }),
  'sessions.delete': ({ sessions }) => sessions.delete('session-11'),
  'sessions.sweepExpired': ({ sessions }) => sessions.sweepExpired(),
  'messages.get': ({ messages }) => messages.get('conversation', 'message-7'),
  'messages.list': ({ messages }) => twoPages((cursor) => messages.list('conversation', { cursor })),
  'messages.list, newest first': ({ messages }) =>
    twoPages((cursor) => messages.list('conversation', { cursor, order: 'desc', after: 100, before: 2000 })),
  'messages.latest': ({ messages }) => messages.latest('conversation', 20),
  'messages.iterate': async ({ messages }) => {
    for await (const message of messages.iterate('conversation')) if (message.seq > 600) return
  },
  'messages.append': ({ messages }) => messages.append('conversation', [{ role: 'user', content: 'x' }]),
  'messages.append of what is there': ({ messages }) =>
    messages.append('conversation', { id: 'message-7', role: 'user', content: 'x' }),
  'messages.import of what is there': ({ messages }) =>
    messages.import([{ sessionId: 'conversation', id: 'message-7', role: 'user', content: 'x' }]),
  'messages.update': ({ messages }) => messages.update('conversation', 'message-8', { content: 'new' }),
  'messages.pop': ({ messages }) => messages.pop('conversation'),
  'messages.truncate': ({ messages }) => messages.truncate('conversation', { afterSeq: ROWS - 10 }),
  'kv.get': ({ kv }) => kv.get('key-7'),
  'kv.getMany': ({ kv }) => kv.getMany(['key-7', 'key-8', 'key-9']),
  'kv.set': ({ kv }) => kv.set('key-10', 'new'),
  'kv.set of a version': ({ kv }) => kv.set('key-11', 'new', { ifVersion: 1 }),
  'kv.setIfAbsent': ({ kv }) => kv.setIfAbsent('key-12', 'new'),
  'kv.set with a session': ({ kv }) => kv.set('key-4', 1, { sessionId: 'conversation' }),
  'kv.delete': ({ kv }) => kv.delete('key-13'),
  'kv.keys': ({ kv }) => twoPages((cursor) => kv.keys({ cursor })),
  'kv.entries of a prefix': ({ kv }) => twoPages((cursor) => kv.entries({ prefix: 'key-1', cursor })),
  'kv.namespaces': ({ kv }) => twoPages((cursor) => kv.namespaces({ cursor, limit: 2 })),
  'kv.find': ({ kv }) => twoPages((cursor) => kv.namespace('n-1').find({ cursor, limit: 2, where: { n: 1 } })),
  'lists.append': ({ lists }) => lists.append('list-7', 1, 2, 3),
  'lists.ofSession': ({ lists }) => lists.ofSession('conversation').append('list-15', 1),
  'lists.range': ({ lists }) => lists.range('list-8', 0, 10),
  'lists.length': ({ lists }) => lists.length('list-8'),
  'lists.update': ({ lists }) => lists.update('list-9', (items) => ({ items, result: 0 })),
  'lists.keys': ({ lists }) => twoPages((cursor) => lists.keys({ cursor })),
  'lists.keys of a prefix': ({ lists }) => twoPages((cursor) => lists.keys({ prefix: 'list-1', cursor })),
  'lists.delete': ({ lists }) => lists.delete('list-14'),
  'events.append': ({ events }) => events.append({ type: 'new', sessionId: 'session-7', runId: 'run-7' }),
  'events.list': ({ events }) => twoPages((cursor) => events.list({ cursor })),
  'events.list of a session': ({ events }) =>
    twoPages((cursor) => events.list({ sessionId: 'session-7', limit: 2, cursor })),
  'events.list of a run': ({ events }) =>
    twoPages((cursor) => events.list({ sessionId: 'session-7', runId: 'run-7', order: 'desc', limit: 2, cursor })),
  'events.follow': async ({ events }) => {
    let pages = 0
    for await (const _ of events.follow({ limit: 100 })) if (++pages === 2) return
  },
  'events.follow of a run': ({ events }) => events.follow({ runId: 'run-7', sessionId: 'session-7', limit: 2 }).next(),
  'queues.push': ({ queues }) => queues.push('session-7', 'steer', { id: 'new' }),
  'queues.takeAll': ({ queues }) => queues.takeAll('session-8', 'steer'),
  'queues.list': ({ queues }) => queues.list('session-9', 'steer'),
  'queues.remove': ({ queues }) => queues.remove('session-10', 'steer', 'item'),
  'queues.clear': ({ queues }) => queues.clear('session-12', 'steer'),
  'queues.take, ack, release and extend': async ({ queues }) => {
    const ways = [
      (receipts: string[]) => queues.ack(receipts),
      (receipts: string[]) => queues.release(receipts),
      (receipts: string[]) => queues.extend(receipts, { leaseSeconds: 60 }),
    ]
    for (const [i, call] of ways.entries()) {
      const taken = await queues.take(`session-${13 + i}`, 'steer', { leaseSeconds: 60, limit: 10 })
      expect(await call(taken.map(({ receipt }) => receipt))).toMatchObject({ held: [taken[0]?.receipt] })
    }
  },
  'memories.get': async ({ memories }) => {
    const { items } = await memories.list({ limit: 1 })
    for (const { id } of items) await memories.get(id)
  },
  'memories.list': ({ memories }) => twoPages((cursor) => memories.list({ cursor })),
  'memories.list of a tag': ({ memories }) =>
    twoPages((cursor) => memories.list({ tags: ['rare'], cursor, limit: 10 })),
  'memories.list of all tags': ({ memories }) =>
    twoPages((cursor) => memories.list({ tags: ['rare', 'often'], match: 'all', cursor, limit: 10 })),
  'approvals.request': ({ approvals }) => approvals.request({ id: 'new', type: 'tool' }),
  'approvals.get': ({ approvals }) => approvals.get('approval-7'),
  'approvals.respond': ({ approvals }) => approvals.respond({ id: 'approval-8', decision: 'approved' }),
  'approvals.listPending': ({ approvals }) => twoPages((cursor) => approvals.listPending({ cursor })),
  'approvals.listPending of a session': ({ approvals }) => approvals.listPending({ sessionId: 'session-7' }),
  'toolExecutions.get': ({ toolExecutions }) => toolExecutions.get('execution-7'),
  'toolExecutions.complete': ({ toolExecutions }) => toolExecutions.complete('execution-8'),
  'toolPreferences.isAllowed': ({ toolPreferences }) => toolPreferences.isAllowed('tool', 'session-7'),
  'toolPreferences.listAllowed': ({ toolPreferences }) => toolPreferences.listAllowed({ sessionId: 'session-7' }),
  'toolState.get': ({ toolState }) => toolState.get('tool', 'key-7'),
  'toolState.keys': ({ toolState }) => twoPages((cursor) => toolState.keys('tool', { cursor })),
  'prompts.get': ({ prompts }) => prompts.get('prompt-7'),
  'prompts.list': ({ prompts }) => twoPages((cursor) => prompts.list({ prefix: 'prompt-1', cursor })),
  'workspaces.findByPath': ({ workspaces }) => workspaces.findByPath('/path/7'),
  'workspaces.list': ({ workspaces }) => twoPages((cursor) => workspaces.list({ cursor })),
  'workspaces.getCurrent': ({ workspaces }) => workspaces.getCurrent(),
}

/** Reads the first two pages of a list. */
async function twoPages(page: (cursor?: string) => Promise<{ nextCursor?: string }>): Promise<void> {
  const { nextCursor } = await page()
  expect(nextCursor).toBeDefined()
  await page(nextCursor)
}

/**
 * Fills every table with enough rows for an index to pay. One session has nearly all messages: the worst case for a
 * planner.
 */
export async function fill(driver: Driver, repositories: Repositories): Promise<void> {
  const all = (make: (i: number) => Promise<unknown>) => Promise.all(Array.from({ length: ROWS }, (_, i) => make(i)))
  const { sessions, messages, kv, lists, queues, events, memories, approvals } = repositories
  const { toolExecutions, toolPreferences, toolState, prompts, workspaces } = repositories
  await all((i) => sessions.create({ id: `session-${i}`, ownerId: i % 30 === 0 ? 'owner' : `owner-${i}` }))
  for (let i = 0; i < 4; i++) await sessions.fork('session-7', { id: `fork-${i}` })
  await all((i) => kv.set(`key-${i}`, { i }))
  await all((i) => kv.namespace(`n-${i % 6}`).set(`${i}`, { n: 1 }))
  await all((i) => lists.append(`list-${i}`, 1))
  await all((i) => queues.push(`session-${i}`, 'steer', { id: 'item' }))
  await all((i) => memories.create({ content: 'text', tags: i % 60 === 0 ? ['rare', 'often'] : ['often'] }))
  await all((i) => approvals.request({ id: `approval-${i}`, type: 'tool', sessionId: `session-${i}` }))
  await all((i) => {
    const identity = { runId: `run-${i}`, turnId: 'turn', modelStepId: 'step', toolCallId: 'call' }
    return toolExecutions.start({ executionId: `execution-${i}`, identity, toolName: 'tool' })
  })
  await all((i) => approvals.setState('state', `session-${i}`))
  await all((i) => toolPreferences.allow('tool', `session-${i}`))
  await all((i) => toolPreferences.setPreferences({ disabled: ['tool'] }, `session-${i}`))
  await all((i) => toolState.set('tool', `key-${i}`, i))
  await all((i) => prompts.save({ name: `prompt-${i}`, content: 'text' }))
  await all((i) => workspaces.save({ path: `/path/${i}` }))
  for (let from = 0; from < ROWS; from += 1000) {
    const part = <T>(make: (i: number) => T) => Array.from({ length: 1000 }, (_, j) => make(from + j))
    await messages.append(
      'conversation',
      part((i) => ({ id: `message-${i}`, role: 'user', content: 'text' })),
    )
    await events.append(part((i) => ({ type: 'type', sessionId: `session-${i % 300}`, runId: `run-${i % 300}` })))
  }
  await insertDerived(driver)
}

/** Inserts a blob that every message of the conversation mentions, and an embedding of each text. */
async function insertDerived(driver: Driver): Promise<void> {
  const now = driver.dialect === 'sqlite' ? '0' : 'now()'
  for (const sql of [
    "insert into blob_content (hash, size, state) values ('hash', 1, 'live')",
    `insert into blobs (id, hash, mime_type, source, metadata, created_at, last_used_at) values ('blob', 'hash', 'text/plain', 'user', '{}', ${now}, ${now})`,
    "insert into blob_refs (blob_id, session_id, message_id) select 'blob', session_id, id from messages",
    "insert into message_embeddings (session_id, seq, model, text_hash) select session_id, seq, 'model/3', 'hash' from messages",
    "insert into memory_embeddings (memory_id, model, text_hash) select id, 'model/3', 'hash' from memories",
  ]) {
    await driver.run({ sql, params: [], writes: true })
  }
}
