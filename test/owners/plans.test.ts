import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { withoutCache } from '../../src/cache/row-cache.ts'
import { resolveConfig } from '../../src/config/resolve.ts'
import type { ResolvedSqlite } from '../../src/config/resolved.ts'
import { Database } from '../../src/database/database.ts'
import type { Driver } from '../../src/database/db.ts'
import { openDatabase } from '../../src/database/open.ts'
import type { Query } from '../../src/database/query.ts'
import { openRepositories, type Repositories } from '../../src/repositories/repositories.ts'
import { Retention } from '../../src/storage/retention/retention.ts'
import { planFaults } from '../database/plan-faults.ts'
import { recording } from '../database/recording.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { copyRows } from './many-owners.ts'

const OWNERS = 80
const ROWS = 40
/** Owners with few rows each, beside those. */
const MANY = rounds(0, 100_000)

type Call = (repositories: Repositories) => Promise<unknown>

/** Calls whose cost must not grow with the rows of other owners. */
const scoped: Record<string, Call> = {
  'sessions.get': ({ sessions }) => sessions.get('session-1'),
  'sessions.list': ({ sessions }) => twoPages((cursor) => sessions.list({ cursor, limit: 5 })),
  'sessions.list by createdAt': ({ sessions }) =>
    twoPages((cursor) => sessions.list({ cursor, limit: 5, orderBy: 'createdAt' })),
  'sessions.update': ({ sessions }) => sessions.update('session-2', { title: 'new' }),
  'sessions.fork': ({ sessions }) => sessions.fork('session-2', { id: 'fork' }),
  'sessions.forks': ({ sessions }) => twoPages((cursor) => sessions.forks('session-6', { cursor, limit: 2 })),
  'sessions.delete': ({ sessions }) => sessions.delete('session-3'),
  'messages.append': ({ messages }) => messages.append('session-1', { role: 'user', content: 'x' }),
  'messages.list': ({ messages }) => messages.list('session-1'),
  'messages.get': ({ messages }) => messages.get('session-1', 'm'),
  'messages.put': ({ messages }) => messages.put('session-1', [{ id: 'm', role: 'user', content: 'put' }]),
  'messages.replace': ({ messages }) =>
    messages.replace('session-3', { afterSeq: 5, expectLastSeq: 0 }, []).catch(() => undefined),
  'messages.import': ({ messages }) =>
    messages.import([{ sessionId: 'session-1', id: 'imported', role: 'user', content: 'x' }]),
  'messages.import of what is there': ({ messages }) =>
    messages.import([{ sessionId: 'session-1', id: 'imported', role: 'user', content: 'x' }]),
  'messages.delete': ({ messages }) => messages.delete('session-1', ['x', 'y']),
  'messages.getMany': ({ messages }) => messages.getMany('session-1', ['m', 'x']),
  'messages.find': ({ messages }) => messages.find(['m', 'x']),
  'messages.around': ({ messages }) => messages.around('session-1', 'm', { before: 2, after: 2 }),
  'messages.countByDay': ({ messages }) => messages.countByDay(),
  'messages.truncate': ({ messages }) => messages.truncate('session-4', { afterSeq: 0 }),
  'kv.get': ({ kv }) => kv.get('key-1'),
  'kv.set': ({ kv }) => kv.set('key-2', 1),
  'kv.set with a session': ({ kv }) => kv.set('key-4', 1, { sessionId: 'session-2' }),
  'kv.setMany': ({ kv }) => kv.setMany(Object.entries({ 'key-2': 1, 'key-3': 2 })),
  'kv.deleteMany': ({ kv }) => kv.deleteMany(['key-7', 'key-8']),
  'kv.clear': ({ kv }) => kv.clear({ prefix: 'key-9' }),
  'kv.keys': ({ kv }) => twoPages((cursor) => kv.keys({ cursor, limit: 5 })),
  'kv.namespaces': ({ kv }) => twoPages((cursor) => kv.namespaces({ cursor, limit: 5 })),
  'kv.find': ({ kv }) => twoPages((cursor) => kv.namespace('n-1').find({ cursor, limit: 2, where: { n: 1 } })),
  'lists.append': ({ lists }) => lists.append('list', 1),
  'lists.ofSession': ({ lists }) => lists.ofSession('session-2').append('list-2', 1),
  'lists.range': ({ lists }) => lists.range('list', 0, 10),
  'lists.keys': ({ lists }) => twoPages((cursor) => lists.keys({ cursor, limit: 5 })),
  'queues.push': ({ queues }) => queues.push('session-1', 'q', { id: 'new' }),
  'queues.takeAll': ({ queues }) => queues.takeAll('session-5', 'q'),
  'queues.listQueues': ({ queues }) => twoPages((cursor) => queues.listQueues({ cursor, limit: 5 })),
  'memories.list': ({ memories }) => twoPages((cursor) => memories.list({ cursor, limit: 5 })),
  'memories.list of a source': ({ memories }) =>
    twoPages((cursor) => memories.list({ cursor, limit: 5, source: 'user' })),
  'memories.list of a tag': ({ memories }) => twoPages((cursor) => memories.list({ cursor, limit: 5, tags: ['tag'] })),
  'events.list': ({ events }) => twoPages((cursor) => events.list({ cursor, limit: 5 })),
  'events.list of a run': ({ events }) => twoPages((cursor) => events.list({ cursor, limit: 5, runId: 'run' })),
  'events.list of a session': ({ events }) => events.list({ sessionId: 'session-1' }),
  'events.list of a type': ({ events }) => twoPages((cursor) => events.list({ cursor, limit: 5, type: 'type' })),
  'approvals.list': ({ approvals }) => twoPages((cursor) => approvals.list({ cursor, limit: 5 })),
  'approvals.listPending': ({ approvals }) => twoPages((cursor) => approvals.listPending({ cursor, limit: 5 })),
  'approvals.get': ({ approvals }) => approvals.get('approval-1'),
  'toolExecutions.list': ({ toolExecutions }) => twoPages((cursor) => toolExecutions.list({ cursor, limit: 5 })),
  'toolExecutions.complete': ({ toolExecutions }) => toolExecutions.complete('execution-1'),
  'toolState.keys': ({ toolState }) => twoPages((cursor) => toolState.keys('tool', { cursor, limit: 5 })),
  'prompts.list': ({ prompts }) => twoPages((cursor) => prompts.list({ cursor, limit: 5 })),
  'workspaces.list': ({ workspaces }) => twoPages((cursor) => workspaces.list({ cursor, limit: 5 })),
  'toolPreferences.isAllowed': ({ toolPreferences }) => toolPreferences.isAllowed('tool', 'session-1'),
}

/** The same for calls of the storage itself that came with owners. */
const unscoped: Record<string, Call> = {
  'approvals.list': ({ approvals }) => twoPages((cursor) => approvals.list({ cursor, limit: 5 })),
  'approvals.list of a session': ({ approvals }) => approvals.list({ sessionId: 'session-1', limit: 5 }),
  'approvals.list of an owner': ({ approvals }) =>
    twoPages((cursor) => approvals.list({ ownerId: 'owner-7', cursor, limit: 5 })),
  'toolExecutions.list': ({ toolExecutions }) => twoPages((cursor) => toolExecutions.list({ cursor, limit: 5 })),
  'toolExecutions.list of a run': ({ toolExecutions }) => toolExecutions.list({ runId: 'run-7', limit: 5 }),
  'toolExecutions.list, running': ({ toolExecutions }) =>
    twoPages((cursor) => toolExecutions.list({ status: 'running', cursor, limit: 5 })),
  'events.list of an owner': ({ events }) =>
    twoPages((cursor) => events.list({ ownerId: 'owner-7', cursor, limit: 5 })),
  'memories.list of an owner': ({ memories }) =>
    twoPages((cursor) => memories.list({ ownerId: 'owner-7', cursor, limit: 5 })),
  'queues.listQueues': ({ queues }) => twoPages((cursor) => queues.listQueues({ cursor, limit: 5 })),
  'messages.append to the only session of an id': ({ messages }) =>
    messages.append('only-7', { role: 'user', content: 'x' }),
}

async function twoPages(page: (cursor?: string) => Promise<{ nextCursor?: string }>): Promise<void> {
  const { nextCursor } = await page()
  expect(nextCursor).toBeDefined()
  await page(nextCursor)
}

/** Gives an owner some rows of everything, under names that every owner has. */
async function fill(of: Repositories, owner: number): Promise<void> {
  const numbers = Array.from({ length: ROWS }, (_, i) => i)
  await of.sessions.create({ id: `only-${owner}` })
  await of.events.append(
    numbers.map((i) => ({
      type: 'type',
      runId: i < 20 ? 'run' : `other-${owner}-${i}`,
      sessionId: `session-${i % 10}`,
    })),
  )
  for (let i = 0; i < 20; i++) await of.lists.append(i === 0 ? 'list' : `list-${i}`, ...numbers)
  for (const i of numbers) {
    await of.messages.append(`session-${i % 10}`, { id: i < 10 ? 'm' : `m${i}`, role: 'user', content: 'x' })
    await of.kv.set(`key-${i}`, i)
    await of.kv.namespace(`n-${i % 10}`).set(`${i}`, { n: 1 })
    await of.queues.push(`session-${i % 10}`, 'q', { id: `${i}` })
    await of.memories.create({ content: 'x', tags: ['tag'], metadata: { source: 'user' } })
    await of.approvals.request({ id: `approval-${i}`, type: 'tool', sessionId: `session-${i % 10}` })
    const identity = {
      runId: i < 10 ? `run-${owner}` : `run-${owner}-${i}`,
      turnId: 't',
      modelStepId: 's',
      toolCallId: `${i}`,
    }
    await of.toolExecutions.start({ executionId: `execution-${i}`, identity, toolName: 't' })
    await of.toolState.set('tool', `key-${i}`, i)
    await of.prompts.save({ name: `prompt-${i}`, content: i })
    await of.workspaces.save({ path: `/${i}` })
    await of.toolPreferences.allow(`tool-${i}`, `session-${i % 10}`)
    await of.toolPreferences.setPreferences({}, `session-${i}`)
    await of.approvals.setState(i, `session-${i}`)
  }
  for (let i = 0; i < 4; i++) await of.sessions.fork('session-6', { id: `fork-${i}` })
}

/** Some rows of everything are old. */
const AGED = [
  "delete from approvals where owner_id like 'owner-%' and responded_at is null and id <> 'approval-39'",
  "insert into approvals (id, owner_id, type, created_at, decision, responded_at) select 'old', owner_id, type, OLD, 'approved', OLD from approvals where owner_id = 'owner-7' limit 1",
  "update tool_executions set started_at = OLD, finished_at = OLD, status = 'completed' where owner_id in ('owner-7', 'owner-8')",
  "update events set occurred_at = OLD where owner_id = 'owner-9'",
  "update memories set created_at = OLD, updated_at = OLD, pinned = false where owner_id = 'owner-10'",
  "update messages set created_at = OLD where owner_id = 'owner-11' and seq < 3",
  "update sessions set created_at = OLD where owner_id = 'owner-11'",
  "update sessions set last_active_at = OLD, updated_at = OLD where owner_id = 'owner-12'",
]

/** Every message mentions a blob, and every text is embedded. Nobody has events, too. */
const DERIVED = [
  "insert into events (id, type, session_id, occurred_at) select id, 'type', id, created_at from memories",
  "insert into blob_content (hash, size, state) values ('hash', 1, 'live')",
  `insert into blobs (id, hash, mime_type, metadata, created_at, last_used_at)
   select 'blob', 'hash', 'text/plain', '{}', created_at, created_at from messages limit 1`,
  `insert into blob_refs (blob_id, session_id, owner_id, message_id)
   select 'blob', session_id, owner_id, id from messages`,
  `insert into message_embeddings (session_id, owner_id, seq, model, text_hash)
   select session_id, owner_id, seq, 'model/3', 'hash' from messages`,
  `insert into memory_embeddings (memory_id, owner_id, model, text_hash)
   select id, owner_id, 'model/3', 'hash' from memories`,
]

const open = {
  sqlite: () => ({
    type: 'sqlite' as const,
    path: join(freshDirectory(), 'test.db'),
    options: { synchronous: 'normal' as const },
  }),
  postgres: async () => ({ type: 'postgres' as const, url: await freshPostgres() }),
}

const clock = { now: () => new Date(), confirmedNow: async () => new Date() }

describe.each(['sqlite', 'postgres'] as const)('on %s', (dialect) => {
  const sent: Query[] = []
  let config: ResolvedSqlite
  let driver: Driver
  let database: Database
  let storage: Repositories
  let scope: Repositories

  beforeAll(
    async () => {
      const { database: resolved } = resolveConfig({ database: await open[dialect]() })
      config = resolved as ResolvedSqlite // only the test of SQLite uses it
      driver = (await openDatabase(resolved, { migrate: true })).driver
      database = new Database(recording(driver, sent))
      const context = {
        ...clock,
        cache: withoutCache,
        observer: { source: { database: 'sqlite' as const } },
        onMemoryCreated: () => {},
      }
      const owners = Array.from({ length: OWNERS }, (_, i) => i)
      await Promise.all(owners.map((i) => fill(openRepositories(database, context, `owner-${i}`), i)))
      storage = openRepositories(database, context)
      scope = openRepositories(database, context, 'owner-7')
      await copyRows(driver, 'owner-7', MANY)
      for (const sql of DERIVED) await driver.run({ sql, params: [], writes: true })
      await driver.run({ sql: 'analyze', params: [], writes: true })
      return () => database.close()
    },
    rounds(120_000, 3_600_000),
  )

  async function checkPlans(call: Call | undefined, repositories: Repositories) {
    sent.length = 0
    await call?.(repositories)
    await checkSent(driver)
  }

  /** Checks the plans that a connection makes of what was sent. */
  async function checkSent(planner: Driver, isFault = (_fault: string) => true) {
    expect(sent).not.toEqual([])
    const distinct = new Map(sent.map((query) => [query.sql, query]))
    for (const query of distinct.values()) {
      if (/^(savepoint|release)/i.test(query.sql)) continue
      expect((await planFaults(planner, query)).filter(isFault), query.sql).toEqual([])
    }
  }

  test.each(Object.keys(scoped))('in a scope, %s finds and orders its rows by an index', async (name) => {
    await checkPlans(scoped[name], scope)
  })

  // No program analyzes a database in SQLite: without statistics both indexes look the same.
  test.runIf(dialect === 'sqlite')(
    'in a scope, the tags of a memory are found by the memory, without statistics',
    async () => {
      await driver.run({ sql: 'delete from sqlite_stat1', params: [], writes: true })
      const unanalyzed = await openDatabase({ ...config, readonly: true }, { migrate: false })
      sent.length = 0
      const { items } = await scope.memories.list()
      await scope.memories.get(items[0]?.id ?? '')
      await scope.memories.update(items[0]?.id ?? '', { tags: ['tag', 'other'] })
      const steps = []
      for (const { sql, params } of sent.filter((query) => query.sql.includes('memory_tags'))) {
        const plan = await unanalyzed.run({ sql: `explain query plan ${sql}`, params, writes: false })
        steps.push(...plan.map((row) => String(row.at(-1))).filter((step) => step.startsWith('SEARCH memory_tags')))
      }
      await unanalyzed.close()
      expect(steps.length).toBeGreaterThan(2)
      for (const step of steps) expect(step).toContain('memory_id=?')
    },
  )

  test.each(Object.keys(unscoped))('%s finds and orders its rows by an index', async (name) => {
    await checkPlans(unscoped[name], storage)
  })

  test('retention finds and orders its rows by an index', { timeout: rounds(60_000, 600_000) }, async () => {
    if (dialect === 'sqlite') await driver.run({ sql: 'delete from sqlite_stat1', params: [], writes: true })
    const old = dialect === 'sqlite' ? '1000000000000' : "timestamptz '2001-09-09'"
    for (const aged of AGED) await driver.run({ sql: aged.replaceAll('OLD', old), params: [], writes: true })
    const layers = { database, rowCache: withoutCache, ...clock }
    const days = 86_400_000
    const ages = {
      messages: days,
      events: days,
      toolExecutions: days,
      approvals: days,
      memories: days,
      abandonedExecutions: days,
    }
    const retention = new Retention(layers, { ...ages, sessions: { idle: days }, kv: 'never' })
    sent.length = 0
    const { rows: removed } = await retention.prune({})
    const some = expect.any(Number)
    expect(removed).toEqual({
      ...{ messages: some, events: some, toolExecutions: some, approvals: some },
      ...{ memories: some, sessions: some },
    })
    await retention.prune({ dryRun: true })
    // SQLite plans without statistics, as for programs. PostgreSQL sorts the rows of one millisecond, and scans what is tiny.
    const planner =
      dialect === 'sqlite' ? (await openDatabase({ ...config, readonly: true }, { migrate: false })).driver : driver
    await checkSent(
      planner,
      (fault) => !/^(Incremental Sort|Seq Scan (session_operations|maintenance_leases))/.test(fault),
    )
    if (planner !== driver) await planner.close()
  })
})
