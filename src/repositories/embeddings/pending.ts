import { and, asc, eq, gte, isNull, lte, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { type Builder, statement } from '../../database/statement.ts'
import { textOfMessage } from '../../search/message-text.ts'

/** A message, as the tables name it. */
export interface MessageKey {
  sessionId: string
  ownerId: string
  seq: number
}

/** A memory, as the tables name it. */
export interface MemoryKey {
  memoryId: string
  ownerId: string
}

/** A text that has no row of the current model. */
export type PendingText = ({ kind: 'message'; key: MessageKey } | { kind: 'memory'; key: MemoryKey }) & { text: string }

/** Texts that were written: a range of the messages of a session, both ends included, or a memory. */
export type WrittenTexts = { sessionId: string; from: number; through: number } | { memoryId: string }

/** Returns the join that finds the row of the current model. */
function messageJoin({ tables: { messages: m, messageEmbeddings: e } }: Builder, model: string): SQL | undefined {
  return and(eq(e.sessionId, m.sessionId), eq(e.ownerId, m.ownerId), eq(e.seq, m.seq), eq(e.model, model))
}

const messageColumns = ({ tables: { messages: m } }: Builder) => {
  return { sessionId: m.sessionId, ownerId: m.ownerId, seq: m.seq, content: m.content }
}

const selectWritten = statement(
  (db, arg: { sessionId: string; from: number; through: number; model: string; limit: number }) => {
    const { sessions: s, messages: m, messageEmbeddings: e } = db.tables
    return db.orm
      .select(messageColumns(db))
      .from(s)
      .innerJoin(m, and(eq(m.sessionId, s.id), eq(m.ownerId, s.ownerId), gte(m.seq, arg.from), lte(m.seq, arg.through)))
      .leftJoin(e, messageJoin(db, arg.model))
      .where(and(eq(s.id, arg.sessionId), isNull(e.seq)))
      .orderBy(asc(m.seq))
      .limit(arg.limit)
  },
)

const selectMemory = statement((db, arg: { memoryId: string; model: string }) => {
  const { memories: m, memoryEmbeddings: e } = db.tables
  return db.orm
    .select({ id: m.id, ownerId: m.ownerId, content: m.content })
    .from(m)
    .leftJoin(e, and(eq(e.memoryId, m.id), eq(e.model, arg.model)))
    .where(and(eq(m.id, arg.memoryId), isNull(e.memoryId)))
})

/** Returns up to `limit` of the texts that were written and are still to be embedded. */
export async function pendingOf(db: Db, written: WrittenTexts, model: string, limit: number): Promise<PendingText[]> {
  if ('memoryId' in written) return (await selectMemory.all(db, { ...written, model })).map(pendingMemory)
  return (await selectWritten.all(db, { ...written, model, limit })).map(pendingMessage)
}

type MessageRow = Awaited<ReturnType<typeof selectWritten.all>>[number]
type MemoryRow = Awaited<ReturnType<typeof selectMemory.all>>[number]

function pendingMessage({ content, ...key }: MessageRow): PendingText {
  return { kind: 'message', key, text: textOfMessage(content) }
}

function pendingMemory({ id, ownerId, content }: MemoryRow): PendingText {
  return { kind: 'memory', key: { memoryId: id, ownerId }, text: content }
}

/** How many rows one step of the walk looks at. */
const STEP_ROWS = 1000

/** A place in the walk over all memories, then all messages, in the order of their keys. */
export type Place = { kind: 'memory'; after: string } | { kind: 'message'; after: MessageKey }

export const START: Place = { kind: 'memory', after: '' }
const FIRST_MESSAGE: Place = { kind: 'message', after: { sessionId: '', ownerId: '', seq: 0 } }

const memoryAt = statement(({ orm, tables: { memories: m } }, arg: { after: string }) =>
  orm
    .select({ id: m.id })
    .from(m)
    .where(sql`${m.id} > ${arg.after}`)
    .orderBy(asc(m.id))
    .limit(1)
    .offset(STEP_ROWS - 1),
)

const messageAt = statement((db, arg: MessageKey) => {
  const { messages: m } = db.tables
  return db.orm
    .select({ sessionId: m.sessionId, ownerId: m.ownerId, seq: m.seq })
    .from(m)
    .where(isAfter(db, arg))
    .orderBy(asc(m.sessionId), asc(m.ownerId), asc(m.seq))
    .limit(1)
    .offset(STEP_ROWS - 1)
})

function isAfter({ tables: { messages: m } }: Builder, arg: MessageKey): SQL {
  return sql`(${m.sessionId}, ${m.ownerId}, ${m.seq}) > (${arg.sessionId}, ${arg.ownerId}, cast(${arg.seq} as integer))`
}

const memoriesUpTo = { end: missingMemories(true), all: missingMemories(false) }

function missingMemories(hasEnd: boolean) {
  return statement((db, arg: { after: string; end: string; model: string; limit: number }) => {
    const { memories: m, memoryEmbeddings: e } = db.tables
    const isInside = and(sql`${m.id} > ${arg.after}`, hasEnd ? sql`${m.id} <= ${arg.end}` : undefined)
    return db.orm
      .select({ id: m.id, ownerId: m.ownerId, content: m.content })
      .from(m)
      .leftJoin(e, and(eq(e.memoryId, m.id), eq(e.model, arg.model)))
      .where(and(isInside, isNull(e.memoryId)))
      .orderBy(asc(m.id))
      .limit(arg.limit)
  })
}

const messagesUpTo = { end: missingMessages(true), all: missingMessages(false) }

type End = { endSession: string; endOwner: string; endSeq: number }

function missingMessages(hasEnd: boolean) {
  return statement((db, arg: MessageKey & End & { model: string; limit: number }) => {
    const { messages: m, messageEmbeddings: e } = db.tables
    const end = sql`(${arg.endSession}, ${arg.endOwner}, cast(${arg.endSeq} as integer))`
    const isBefore = hasEnd ? sql`(${m.sessionId}, ${m.ownerId}, ${m.seq}) <= ${end}` : undefined
    return db.orm
      .select(messageColumns(db))
      .from(m)
      .leftJoin(e, messageJoin(db, arg.model))
      .where(and(isAfter(db, arg), isBefore, isNull(e.seq)))
      .orderBy(asc(m.sessionId), asc(m.ownerId), asc(m.seq))
      .limit(arg.limit)
  })
}

/**
 * Takes one step of the walk: looks at up to 1000 texts, of which most have a row, as a key of an index tells. Returns up to
 * `limit` that have none, and the place where the walk goes on: undefined at its end.
 */
export async function pendingAfter(
  db: Db,
  place: Place,
  model: string,
  limit: number,
): Promise<{ texts: PendingText[]; next: Place | undefined }> {
  if (place.kind === 'memory') {
    const { after } = place
    const end = await memoryAt.first(db, { after })
    const select = memoriesUpTo[end === undefined ? 'all' : 'end']
    const rows = await select.all(db, { after, end: end?.id ?? '', model, limit })
    const last = rows.length === limit ? rows.at(-1) : end
    return { texts: rows.map(pendingMemory), next: last ? { kind: 'memory', after: last.id } : FIRST_MESSAGE }
  }
  const { after } = place
  const end = await messageAt.first(db, after)
  const { sessionId: endSession, ownerId: endOwner, seq: endSeq } = end ?? after
  const select = messagesUpTo[end === undefined ? 'all' : 'end']
  const rows = await select.all(db, { ...after, endSession, endOwner, endSeq, model, limit })
  const last = rows.length === limit ? rows.at(-1) : end
  const key = last && { sessionId: last.sessionId, ownerId: last.ownerId, seq: last.seq }
  return { texts: rows.map(pendingMessage), next: key && { kind: 'message', after: key } }
}
