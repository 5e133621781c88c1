import { randomUUID } from 'node:crypto'
import BetterSqlite3 from 'better-sqlite3'
import type { MessageImport } from 'holdfast'
import postgres from 'postgres'
import type { Ways } from './harness.ts'
import type { Lab } from './lab.ts'
import { comparison, type Row } from './row.ts'
import { messageId, sampleMessage } from './sample.ts'

/** How many messages one transaction by hand stores, and on SQLite one statement. */
const BATCH = 1024
const WIDTH = 64
const COLUMNS = 'session_id, seq, id, role, content, metadata, created_at'
const PARAMETERS = COLUMNS.split(',').length

type Load = (messages: Iterable<MessageImport>) => Promise<unknown>

/** Messages in bulk, as a generator yields them, against multi-row inserts by hand in transactions of the same size. */
export const bulkRows: Row[] = [row('SQLite', openSqlite), row('PostgreSQL', openPostgres)]

function row(dialect: string, open: (lab: Lab) => Promise<{ ours: Load; raw: Load; close(): Promise<void> }>): Row {
  return comparison({
    name: `${dialect}, messages.import`,
    target: { atMost: 1.25 },
    effort: { rounds: 10, sampleMillis: 1, warmupMillis: 1 },
    open: async (lab): Promise<Ways> => {
      const { ours, raw, close } = await open(lab)
      const count = lab.options.messages / 10
      return {
        ours: { call: (i) => ours(dump(`dump-${i}`, count)) },
        baseline: { call: (i) => raw(dump(`dump-${i}`, count)) },
        close,
      }
    },
  })
}

function* dump(sessionId: string, count: number): Generator<MessageImport> {
  for (let i = 0; i < count; i++) yield { ...sampleMessage(i), sessionId, id: messageId(i) }
}

function* batches(messages: Iterable<MessageImport>): Generator<MessageImport[]> {
  let batch: MessageImport[] = []
  for (const message of messages) {
    if (batch.push(message) < BATCH) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

function rowOf({ sessionId, id = randomUUID(), role, content, metadata = {} }: MessageImport, seq: number) {
  return [sessionId, seq, id, role, JSON.stringify(content), JSON.stringify(metadata)] as const
}

async function openSqlite(lab: Lab) {
  const [ours, other] = [lab.file(), lab.file()]
  const storage = await lab.open({ database: { type: 'sqlite', path: ours } })
  await (await lab.open({ database: { type: 'sqlite', path: other } })).close() // has the tables then
  const db = new BetterSqlite3(other)
  db.pragma('synchronous = FULL')
  db.pragma('foreign_keys = ON')
  const allocate = db.prepare<unknown[], { last_seq: number }>(
    `INSERT INTO sessions (id, metadata, version, created_at, updated_at, last_seq, message_count, last_active_at)
     VALUES (?, '{}', 1, ?, ?, ?, ?, ?)
     ON CONFLICT (id, owner_id) DO UPDATE
       SET last_seq = last_seq + excluded.last_seq, message_count = message_count + excluded.message_count,
         last_active_at = excluded.last_active_at
       WHERE expires_at IS NULL OR expires_at > excluded.created_at
     RETURNING last_seq`,
  )
  const insertOf = (width: number) =>
    db.prepare(`INSERT INTO messages (${COLUMNS}) VALUES ${placesOf(width, () => '?')}`)
  const [wide, single] = [insertOf(WIDTH), insertOf(1)]
  const store = db.transaction((batch: MessageImport[]) => {
    const now = Date.now()
    const { length } = batch
    const [session] = allocate.all(batch[0]?.sessionId, now, now, length, length, now)
    if (!session) throw new Error('The session has expired')
    let seq = session.last_seq - length
    for (let start = 0; start < length; ) {
      const width = length - start >= WIDTH ? WIDTH : 1
      const values: unknown[] = []
      for (const message of batch.slice(start, start + width)) values.push(...rowOf(message, ++seq), now)
      if (width === 1) single.run(values)
      else wide.run(values)
      start += width
    }
  })
  return {
    ours: ((messages) => storage.messages.import(messages)) satisfies Load,
    raw: (async (messages) => {
      for (const batch of batches(messages)) store.immediate(batch)
    }) satisfies Load,
    close: async () => {
      await storage.close()
      db.close()
    },
  }
}

async function openPostgres(lab: Lab) {
  const [ours, other] = [await lab.postgresUrl(), await lab.postgresUrl()]
  const storage = await lab.open({ database: { type: 'postgres', url: ours } })
  await (await lab.open({ database: { type: 'postgres', url: other } })).close() // has the tables then
  const sql = postgres(other, { max: 1 })
  const store = (batch: MessageImport[]) =>
    sql.begin(async (tx) => {
      const now = new Date()
      const { length } = batch
      const id = String(batch[0]?.sessionId)
      const [session] = await tx<{ last_seq: number }[]>`
        INSERT INTO sessions (id, metadata, version, created_at, updated_at, last_seq, message_count, last_active_at)
        VALUES (${id}, '{}', 1, ${now}, ${now}, ${length}, ${length}, ${now})
        ON CONFLICT (id, owner_id) DO UPDATE
          SET last_seq = sessions.last_seq + excluded.last_seq,
            message_count = sessions.message_count + excluded.message_count, last_active_at = ${now}
          WHERE sessions.expires_at IS NULL OR sessions.expires_at > ${now}
        RETURNING last_seq`
      if (!session) throw new Error('The session has expired')
      let seq = session.last_seq - length
      const values = batch.flatMap((message) => [...rowOf(message, ++seq), now.toISOString()])
      const insert = `INSERT INTO messages (${COLUMNS}) VALUES ${placesOf(length, (n) => `$${n}`)}`
      await tx.unsafe(insert, values, { prepare: true })
    })
  return {
    ours: ((messages) => storage.messages.import(messages)) satisfies Load,
    raw: (async (messages) => {
      for (const batch of batches(messages)) await store(batch)
    }) satisfies Load,
    close: async () => {
      await storage.close()
      await sql.end()
    },
  }
}

/** Returns the parameters of rows. `placeOf` is given the number of each, from 1. */
function placesOf(width: number, placeOf: (n: number) => string): string {
  const row = (i: number) => Array.from({ length: PARAMETERS }, (_, j) => placeOf(i * PARAMETERS + j + 1)).join()
  return Array.from({ length: width }, (_, i) => `(${row(i)})`).join()
}
