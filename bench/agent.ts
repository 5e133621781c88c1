import { randomUUID } from 'node:crypto'
import BetterSqlite3 from 'better-sqlite3'
import type { Storage, StorageConfig } from 'holdfast'
import type { Way, Ways } from './harness.ts'
import type { Lab } from './lab.ts'
import { comparison, type Row } from './row.ts'
import { scattered } from './sample.ts'

const RUNS = 50
const PAGE = 20
const payload = { tool: 'search', input: { query: 'trains to Oslo', limit: 10 } }

interface Contender {
  appendEvent(i: number): unknown
  eventsOfRun(i: number): unknown
  pushAndTake(i: number): unknown
  pushTakeAndAck(i: number): unknown
  startAndComplete(i: number): unknown
  memoriesByTag(): unknown
}

/** The frequent calls of an agent, on disk, against better-sqlite3; and a page of one run's events in a long log. */
export const agentRows: Row[] = [
  hot('events.append', 'appendEvent', 1.25),
  hot('events.list, a page of a run', 'eventsOfRun', 1.25),
  hot('queues.push and takeAll', 'pushAndTake', 1.25),
  hot('queues.push, take and ack', 'pushTakeAndAck', 1.25),
  hot('toolExecutions.start and complete', 'startAndComplete', 1.25),
  hot('memories.list by a tag', 'memoriesByTag', 1.25),
  ...growing('SQLite', async (lab) => ({ type: 'sqlite', path: lab.file() })),
  ...growing('PostgreSQL', async (lab) => ({ type: 'postgres', url: await lab.postgresUrl() })),
]

function hot(name: string, work: keyof Contender, atMost: number): Row {
  return comparison({
    name: `SQLite, ${name}`,
    target: { atMost },
    open: async (lab): Promise<Ways> => {
      const { ours, raw } = await lab.once(
        'agents on SQLite',
        () => openBoth(lab),
        ({ close }) => close(),
      )
      return { ours: { call: (i) => ours[work](i) }, baseline: { call: (i) => raw[work](i) }, close: async () => {} }
    },
  })
}

function growing(dialect: string, database: (lab: Lab) => Promise<StorageConfig['database']>): Row[] {
  const row = comparison({
    name: `${dialect}, events.list of a run, with many events`,
    target: { atMost: 1.3 },
    open: async (lab): Promise<Ways> => {
      const storages: Storage[] = []
      const way = async (count: number): Promise<Way> => {
        const storage = await lab.open({ database: await database(lab) })
        storages.push(storage)
        await seedEvents(storage, count)
        return { call: (i) => storage.events.list({ runId: runId(i), limit: PAGE, order: 'desc' }) }
      }
      return {
        ours: await way(lab.options.messages),
        baseline: await way(1000),
        close: async () => {
          for (const storage of storages) await storage.close()
        },
      }
    },
  })
  return [row]
}

function runId(i: number): string {
  return `run-${scattered(i, RUNS)}`
}

async function seedEvents({ events }: Storage, count: number): Promise<void> {
  for (let start = 0; start < count; start += 1000) {
    await events.append(Array.from({ length: 1000 }, (_, i) => ({ type: 'tool', runId: runId(start + i), payload })))
  }
}

async function openBoth(lab: Lab) {
  const [ours, other] = [lab.file(), lab.file()]
  const storage = await lab.open({ database: { type: 'sqlite', path: ours } })
  await seed(storage)
  const seeded = await lab.open({ database: { type: 'sqlite', path: other } })
  await seed(seeded)
  await seeded.close()
  const client = new BetterSqlite3(other)
  client.pragma('synchronous = FULL')
  client.pragma('foreign_keys = ON')
  return {
    ours: contenderOf(storage),
    raw: rawAgent(client),
    close: async () => {
      await storage.close()
      client.close()
    },
  }
}

async function seed(storage: Storage): Promise<void> {
  await seedEvents(storage, 5000)
  for (let i = 0; i < 1000; i++) {
    const tags = [`tag ${i % 20}`, 'all']
    await storage.memories.create({ content: `memory ${i}`, tags, metadata: { source: 'user' } })
  }
}

function contenderOf({ events, queues, toolExecutions, memories }: Storage): Contender {
  return {
    appendEvent: (i) => events.append({ type: 'tool', sessionId: 's', runId: runId(i), payload }),
    eventsOfRun: (i) => events.list({ runId: runId(i), limit: PAGE }),
    async pushAndTake(i) {
      await queues.push('s', 'steer', { id: `${i}`, text: 'x' })
      return queues.takeAll('s', 'steer')
    },
    async pushTakeAndAck(i) {
      await queues.push('s', 'followUp', { id: `${i}`, text: 'x' })
      const taken = await queues.take('s', 'followUp', { leaseSeconds: 60 })
      return queues.ack(taken.map(({ receipt }) => receipt))
    },
    async startAndComplete(i) {
      const identity = { runId: 'r', turnId: 't', modelStepId: 's', toolCallId: `${i}` }
      await toolExecutions.start({ executionId: `e${i}`, identity, toolName: 'search', input: payload })
      return toolExecutions.complete(`e${i}`, payload)
    },
    memoriesByTag: () => memories.list({ tags: ['tag 7'], limit: PAGE }),
  }
}

/** Does the same work with the same guarantees, by hand over better-sqlite3. */
function rawAgent(db: BetterSqlite3.Database): Contender {
  const insertEvent = db.prepare(
    `INSERT INTO events (id, type, session_id, run_id, payload, occurred_at) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (id, owner_id) DO UPDATE SET id = excluded.id RETURNING *`,
  )
  const runEvents = db.prepare('SELECT * FROM events WHERE run_id = ? ORDER BY seq LIMIT ?')
  const extend = db.prepare(
    `INSERT INTO queues (session_id, name, last_position) VALUES (?, ?, 1)
     ON CONFLICT (session_id, owner_id, name) DO UPDATE SET last_position = last_position + 1 RETURNING last_position`,
  )
  const insertItem = db.prepare(
    `INSERT INTO queue_items (session_id, queue, position, id, item) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (session_id, owner_id, queue, id) DO UPDATE SET id = excluded.id RETURNING position`,
  )
  const rewind = db.prepare("UPDATE queues SET last_position = 0 WHERE session_id = ? AND owner_id = '' AND name = ?")
  const takeItems = db.prepare(
    "DELETE FROM queue_items WHERE session_id = ? AND owner_id = '' AND queue = ? RETURNING position, item",
  )
  const firstItem = db.prepare(
    "SELECT leased_until FROM queue_items WHERE session_id = ? AND owner_id = '' AND queue = ? ORDER BY position LIMIT 1",
  )
  const leaseItem = db.prepare(
    `UPDATE queue_items SET lease = ?, leased_until = ?, attempts = attempts + 1
     WHERE session_id = ? AND owner_id = '' AND queue = ? AND position =
       (SELECT position FROM queue_items WHERE session_id = ? AND owner_id = '' AND queue = ? ORDER BY position LIMIT 1)
     RETURNING position, item, attempts`,
  )
  const countGap = db.prepare("UPDATE queues SET gaps = gaps + 1 WHERE session_id = ? AND owner_id = '' AND name = ?")
  const deleteLeased = db.prepare(
    "DELETE FROM queue_items WHERE session_id = ? AND owner_id = '' AND queue = ? AND position = ? AND lease = ? RETURNING position",
  )
  const start = db.prepare(
    `INSERT INTO tool_executions (id, run_id, turn_id, model_step_id, tool_call_id, tool_name, input, status, started_at)
     VALUES (?, 'r', 't', 's', ?, 'search', ?, 'running', ?) ON CONFLICT DO NOTHING RETURNING *`,
  )
  const complete = db.prepare(
    `UPDATE tool_executions SET status = 'completed', output = ?, finished_at = ?
     WHERE id = ? AND owner_id = '' AND status = 'running' RETURNING *`,
  )
  const byTag = db.prepare(
    `SELECT m.*, (SELECT group_concat(tag, char(31) ORDER BY position) FROM memory_tags WHERE memory_id = m.id) AS tags
     FROM memory_tags t JOIN memories m ON m.id = t.memory_id
     WHERE t.tag = ? ORDER BY t.created_at DESC, t.memory_id DESC LIMIT ?`,
  )
  const push = db.transaction((queue: string, id: string, item: object) => {
    const { last_position } = extend.all('s', queue)[0] as { last_position: number } // an upsert returns its row
    return insertItem.all('s', queue, last_position, id, JSON.stringify(item))
  })
  const ack = db.transaction((queue: string, position: number, lease: string) => {
    countGap.run('s', queue)
    return deleteLeased.all('s', queue, position, lease)
  })
  const take = db.transaction(() => {
    rewind.run('s', 'steer')
    return takeItems.all('s', 'steer') as { item: string }[] // as selected
  })
  return {
    appendEvent: (i) =>
      insertEvent.all(randomUUID(), 'tool', 's', runId(i), JSON.stringify(payload), Date.now()).map(parsed),
    eventsOfRun: (i) => runEvents.all(runId(i), PAGE + 1).map(parsed),
    pushAndTake(i) {
      push.immediate('steer', `${i}`, { id: `${i}`, text: 'x' })
      return take.immediate().map(({ item }) => JSON.parse(item))
    },
    pushTakeAndAck(i) {
      const queue = ['s', 'followUp']
      push.immediate('followUp', `${i}`, { id: `${i}`, text: 'x' })
      firstItem.all(...queue)
      const lease = randomUUID()
      const [taken] = leaseItem.all(lease, Date.now() + 60_000, ...queue, ...queue)
      const { position, item } = taken as { position: number; item: string } // as selected
      JSON.parse(item)
      return ack.immediate('followUp', position, lease)
    },
    startAndComplete(i) {
      start.all(`e${i}`, `${i}`, JSON.stringify(payload), Date.now()).map(parsed)
      return complete.all(JSON.stringify(payload), Date.now(), `e${i}`).map(parsed)
    },
    memoriesByTag: () => byTag.all('tag 7', PAGE + 1).map(parsed),
  }
}

/** Parses the JSON columns and turns times into dates. */
function parsed(row: unknown): Record<string, unknown> {
  const record = { ...(row as Record<string, unknown>) } // what better-sqlite3 returns
  for (const name of ['payload', 'input', 'output', 'metadata']) {
    const value = record[name]
    if (typeof value === 'string') record[name] = JSON.parse(value)
  }
  for (const name of ['occurred_at', 'started_at', 'finished_at', 'created_at', 'updated_at']) {
    const value = record[name]
    if (typeof value === 'number') record[name] = new Date(value)
  }
  return record
}
