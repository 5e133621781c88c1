import { setImmediate as nextTurn } from 'node:timers/promises'
import { and, asc, gt, lte, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { type Builder, statement } from '../../database/statement.ts'
import { inUnexpiredSession } from '../sessions/unexpired.ts'
import { messageColumns } from './columns.ts'
import type { Message } from './types.ts'

/**
 * A batch ends with the message that brings its JSON to this many bytes. V8 lets garbage pile up to many times a batch: a
 * walk over messages of 1 MiB on SQLite adds 52 MiB to the process with this value, 85 with twice and 198 with 8 times as much.
 */
const BATCH_BYTES = 2 ** 20

const MAX_BATCH_SIZE = 500

/**
 * The first batch is small: PostgreSQL decompresses each of these messages to measure it, though it may return only a few.
 * Each batch that fits allows the next one to be four times as large.
 */
const FIRST_BATCH_SIZE = 32
const GROWTH = 4

interface BatchStart {
  sessionId: string
  after: number
  now: Date
  limit: number
}

/** The database cuts a batch off, since the size of a message is not known before it is read. */
const selectBatch = statement((db: Builder, { sessionId, after, now, limit }: BatchStart) => {
  const { messages: m } = db.tables
  const isNext = and(inUnexpiredSession(db, m, sessionId, now), gt(m.seq, after))
  const bytes = bytesOf(db)
  const sized = db.orm
    .select({ seq: m.seq, bytesBefore: sql`sum(${bytes}) over (order by ${m.seq}) - ${bytes}`.as('bytes_before') })
    .from(m)
    .where(isNext)
    .orderBy(asc(m.seq))
    .limit(limit)
    .as('sized')
  const last = sql`(select max(${sized.seq}) from ${sized} where ${sized.bytesBefore} < ${sql.raw(String(BATCH_BYTES))})`
  return db.orm
    .select({ ...messageColumns(db.tables), bytes: bytes.mapWith(Number) })
    .from(m)
    .where(and(isNext, lte(m.seq, last)))
    .orderBy(asc(m.seq))
    .limit(limit)
})

/** Makes the expression of a message's bytes. SQLite knows them without reading the text if no cast hides the column. */
export function bytesOf({ dialect, tables: { messages: m } }: Builder) {
  const [content, metadata] =
    dialect === 'postgres' ? [sql`${m.content}::text`, sql`${m.metadata}::text`] : [m.content, m.metadata]
  return sql<number>`(coalesce(octet_length(${content}), 0) + octet_length(${metadata}))`
}

/** Yields the messages of a session, in batches of at most `batchSize` messages. */
export async function* iterateMessages(
  db: Db,
  sessionId: string,
  { batchSize = MAX_BATCH_SIZE, now }: { batchSize?: number | undefined; now: () => Date },
): AsyncGenerator<Message, void, void> {
  let after = 0
  let limit = Math.min(batchSize, FIRST_BATCH_SIZE)
  for (;;) {
    const rows = await selectBatch.all(db, { sessionId, after, now: now(), limit })
    const size = rows.length
    const bytes = rows.reduce((sum, row) => sum + row.bytes, 0)
    after = rows.at(-1)?.seq ?? after
    // Emptied from the front, so that a message that the caller has dropped can be freed while the batch is walked.
    for (let row = rows.shift(); row !== undefined; row = rows.shift()) {
      const { bytes: _, ...message } = row
      yield message
    }
    if (size < limit && bytes < BATCH_BYTES) return
    limit = Math.max(1, Math.min(batchSize, GROWTH * size))
    await nextTurn() // SQLite answers within the turn: without this, nothing else would run until the last message
  }
}
