import { and, asc, eq, gt, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { notExpired } from '../../database/expiry.ts'
import { ownerOfId, ownerOfNames } from '../../database/owner.ts'
import { type Builder, type Built, batch, type Call, rowsStatement, statement } from '../../database/statement.ts'
import type { MessageContent, MessageRole } from '../../schema/values.ts'
import { type MessageId, seqOf } from '../messages/by-id.ts'
import { inUnexpiredSession, lastSeqOf } from '../sessions/unexpired.ts'
import { currentGeneration } from './generation.ts'
import { termsOfMessage } from './terms.ts'

interface NewEntry {
  sessionId: string
  role: MessageRole
  terms: string
  now: Date
  /** The distance to the last seq of the session, as in an append. */
  fromLast: number
}

const insertNew = rowsStatement((db, rows: NewEntry[]) => {
  const { sessions: s } = db.tables
  return db.orm.insert(db.kit.entries.messages).values(
    rows.map(({ sessionId, role, terms, now, fromLast }) => ({
      sessionId,
      ownerId: ownerOfId(db, s, sessionId, notExpired(s, now)),
      seq: sql`${lastSeqOf(db, sessionId, now)} + cast(${fromLast} as integer)`,
      role,
      generation: currentGeneration(db),
      terms,
    })),
  )
})

interface NewMessage extends Omit<NewEntry, 'terms'> {
  content: MessageContent
}

/** Returns the calls that index new messages. They belong after the insert, in the same batch. */
export function entriesOfNew(db: Db, messages: readonly NewMessage[]): Call<never>[] {
  if (!db.search) return []
  return insertNew.with(
    messages.map(({ sessionId, role, content, now, fromLast }) => {
      return { sessionId, role, terms: termsOfMessage(db, content), now, fromLast }
    }),
  )
}

const setTerms = statement((db, arg: MessageId & { terms: string }) => {
  const { messageSearch: e } = db.tables
  const isEntry = and(inUnexpiredSession(db, e, arg.sessionId, arg.now), eq(e.seq, seqOf(db, arg)))
  return replaceTerms(db, arg.terms, isEntry)
})

/** Builds the statement that replaces the tokens of entries. */
export function replaceTerms(db: Builder, terms: string, isEntry: SQL | undefined): Built<never> {
  const { messages: e } = db.kit.entries
  const generation = currentGeneration(db)
  if (db.dialect === 'postgres') return db.orm.update(e).set({ terms, generation }).where(isEntry)
  const { doc, sessionId, ownerId, seq, role } = db.tables.messageSearch
  const values = { generation: sql`${generation}`.as('generation'), terms: sql`${terms}`.as('terms') }
  const entries = db.orm
    .select({ doc, sessionId, ownerId, seq, role, ...values })
    .from(db.tables.messageSearch)
    .where(isEntry)
  return db.orm.insert(e).select(entries)
}

const setRole = statement((db, arg: MessageId & { role: MessageRole }) => {
  const { messageSearch: e } = db.tables
  return db.orm
    .update(e)
    .set({ role: arg.role })
    .where(and(inUnexpiredSession(db, e, arg.sessionId, arg.now), eq(e.seq, seqOf(db, arg))))
})

/**
 * Returns the calls that index a changed message. They belong after the update, in the same batch. A message that has no
 * entry yet is left to the backfill.
 */
export function entriesOfChanged(
  db: Db,
  { sessionId, id, now }: MessageId,
  { content, role }: { content?: MessageContent; role?: MessageRole },
): Call<never>[] {
  if (!db.search) return []
  const target = { sessionId, id, now }
  return [
    ...(content === undefined ? [] : [setTerms.with({ ...target, terms: termsOfMessage(db, content) })]),
    ...(role === undefined ? [] : [setRole.with({ ...target, role })]),
  ]
}

/** How many messages are read and indexed at a time. */
const BATCH_ROWS = 500

const selectTexts = statement((db, arg: { sessionId: string; after: number; limit: number }) => {
  const { messages: m } = db.tables
  return db.orm
    .select({ seq: m.seq, role: m.role, content: m.content })
    .from(m)
    .where(and(eq(m.sessionId, arg.sessionId), eq(m.ownerId, ownerOfNames(db)), gt(m.seq, arg.after)))
    .orderBy(asc(m.seq))
    .limit(arg.limit)
})

interface PlacedEntry {
  sessionId: string
  seq: number
  role: MessageRole
  terms: string
}

const insertPlaced = rowsStatement((db, rows: (PlacedEntry & { now: Date })[]) => {
  const { sessions: s } = db.tables
  return db.orm.insert(db.kit.entries.messages).values(
    rows.map(({ sessionId, seq, role, terms, now }) => {
      const ownerId = ownerOfId(db, s, sessionId, notExpired(s, now))
      return { sessionId, ownerId, seq, role, generation: currentGeneration(db), terms }
    }),
  )
})

interface PlacedMessage extends Omit<PlacedEntry, 'terms'> {
  content: MessageContent
}

function entryOf(db: Db, { sessionId, seq, role, content }: PlacedMessage): PlacedEntry {
  return { sessionId, seq, role, terms: termsOfMessage(db, content) }
}

/** Returns the calls that index new messages whose seqs are known. They belong after the insert, in the same batch. */
export function entriesAt(db: Db, messages: readonly PlacedMessage[], now: Date): Call<never>[] {
  return db.search ? insertPlaced.with(messages.map((message) => ({ ...entryOf(db, message), now }))) : []
}

const updatePlaced = statement((db, arg: Omit<PlacedEntry, 'role'>) => {
  const { messageSearch: e } = db.tables
  const isEntry = and(eq(e.sessionId, arg.sessionId), eq(e.ownerId, ownerOfNames(db)), eq(e.seq, arg.seq))
  return replaceTerms(db, arg.terms, isEntry)
})

/** Indexes all messages of a session that a fork has made. `tx` is a transaction on the rows of its owner. */
export async function indexSession(tx: Db, sessionId: string, now: Date): Promise<void> {
  if (!tx.search) return
  await eachBatch(tx, sessionId, (messages) => entriesAt(tx, messages, now))
}

/**
 * Writes the entries of a session for a new owner. SQLite keeps the owner beside the tokens, and knows no tokens to keep; in
 * PostgreSQL the owner is a column. `tx` is a transaction on the rows of the new owner.
 */
export async function giveEntries(tx: Db, sessionId: string): Promise<void> {
  if (!tx.search || tx.dialect === 'postgres') return
  await eachBatch(tx, sessionId, (messages) => messages.map((message) => updatePlaced.with(entryOf(tx, message))))
}

async function eachBatch(
  tx: Db,
  sessionId: string,
  write: (messages: PlacedMessage[]) => readonly Call<never>[],
): Promise<void> {
  for (let after = 0; ; ) {
    const rows = await selectTexts.all(tx, { sessionId, after, limit: BATCH_ROWS })
    await batch(tx, write(rows.map((row) => ({ ...row, sessionId }))))
    after = rows.at(-1)?.seq ?? after
    if (rows.length < BATCH_ROWS) return
  }
}
