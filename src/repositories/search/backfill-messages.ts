import { and, desc, eq, gte, lt, ne, or, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { type Builder, batch, rowsStatement, statement } from '../../database/statement.ts'
import type { MessageRole } from '../../schema/values.ts'
import { MAX_INTEGER } from '../../validation/input.ts'
import { bytesOf } from '../messages/iterate.ts'
import { currentGeneration } from './generation.ts'
import { replaceTerms } from './message-entries.ts'
import type { MessagePlace, SearchState } from './state.ts'
import { termsOfMessage } from './terms.ts'

/** A transaction ends with the message that brings the JSON to this many bytes. */
const BATCH_BYTES = 512 * 1024

interface Owned {
  sessionId: string
  ownerId: string
}

const selectSession = {
  first: nextSession(() => undefined),
  next: nextSession(
    (s, arg) => sql`(${s.createdAt}, ${s.id}, ${s.ownerId}) < (${arg.createdAt}, ${arg.id}, ${arg.ownerId})`,
  ),
  again: nextSession((s, arg) => sql`(${s.createdAt}, ${s.id}) <= (${arg.createdAt}, ${arg.id})`),
}

type SessionKey = { createdAt: Date; id: string; ownerId: string }

/**
 * Makes the statement that selects the next session of the walk: by the time of creation, which never changes, the newest
 * first.
 */
function nextSession(isNext: (table: Builder['tables']['sessions'], arg: SessionKey) => SQL | undefined) {
  return statement(({ orm, tables: { sessions: s } }, arg: SessionKey) =>
    orm
      .select({ id: s.id, ownerId: s.ownerId, createdAt: s.createdAt })
      .from(s)
      .where(isNext(s, arg))
      .orderBy(desc(s.createdAt), desc(s.id), desc(s.ownerId))
      .limit(1),
  )
}

const selectOwned = statement(({ orm, tables: { sessions: s } }, arg: { id: string; ownerId: string }) =>
  orm
    .select({ id: s.id })
    .from(s)
    .where(and(eq(s.id, arg.id), eq(s.ownerId, arg.ownerId))),
)

/** Only the sizes: the contents of a batch are read when it is known how many fit. */
const selectSizes = statement((db, arg: Owned & { before: number; limit: number }) => {
  const { messages: m } = db.tables
  return db.orm
    .select({ seq: m.seq, bytes: bytesOf(db).mapWith(Number) })
    .from(m)
    .where(and(eq(m.sessionId, arg.sessionId), eq(m.ownerId, arg.ownerId), lt(m.seq, arg.before)))
    .orderBy(desc(m.seq))
    .limit(arg.limit)
})

/** The texts that have no entry of the current generation. Locks them, so that no update comes between. */
const selectTexts = statement((db, arg: Owned & { before: number; from: number }) => {
  const { messages: m, messageSearch: e } = db.tables
  const isItsEntry = and(eq(e.sessionId, m.sessionId), eq(e.ownerId, m.ownerId), eq(e.seq, m.seq))
  const select = db.orm
    .select({ seq: m.seq, role: m.role, content: m.content, doc: e.doc })
    .from(m)
    .leftJoin(e, isItsEntry)
    .where(
      and(
        eq(m.sessionId, arg.sessionId),
        eq(m.ownerId, arg.ownerId),
        gte(m.seq, arg.from),
        lt(m.seq, arg.before),
        or(sql`${e.doc} is null`, ne(e.generation, currentGeneration(db))),
      ),
    )
    .orderBy(desc(m.seq))
  return db.dialect === 'postgres' ? select.for('share', { of: m }) : select
})

interface Entry extends Owned {
  doc: number
  seq: number
  role: MessageRole
  terms: string
}

const selectLowestDoc = statement(({ orm, tables: { messageSearch: e } }, _: object) =>
  orm.select({ doc: sql<number>`coalesce(min(${e.doc}), 1)`.mapWith(Number) }).from(e),
)

const insertEntries = rowsStatement((db, rows: Entry[]) => {
  const values = rows.map(({ doc, sessionId, ownerId, seq, role, terms }) => {
    return { doc: sql`${doc}`, sessionId, ownerId, seq, role, generation: currentGeneration(db), terms }
  })
  const insert = db.orm.insert(db.kit.entries.messages)
  return (db.dialect === 'postgres' ? insert.overridingSystemValue() : insert).values(values)
})

const updateTerms = statement((db, arg: Pick<Entry, 'doc' | 'terms'>) =>
  replaceTerms(db, arg.terms, eq(db.tables.messageSearch.doc, arg.doc)),
)

/** The role may have changed while nobody indexed. */
const updateRole = statement(({ orm, tables: { messageSearch: e } }, arg: Pick<Entry, 'doc' | 'role'>) =>
  orm.update(e).set({ role: arg.role }).where(eq(e.doc, arg.doc)),
)

/** Indexes messages from a place on. Returns the place after them, and how many were indexed. */
export async function backfillMessages(
  tx: Db,
  from: MessagePlace | undefined,
  limit: number,
): Promise<{ indexed: number } & Pick<SearchState, 'phase' | 'messages'>> {
  let place = from
  let indexed = 0
  let bytes = BATCH_BYTES
  // A session counts as well: many may have no messages.
  for (let rows = limit; rows > 0 && bytes > 0; rows--) {
    if (place?.before === undefined) place = await following(tx, place)
    if (place === undefined) return { indexed, phase: 'memories' }
    const { id: sessionId, ownerId = '', before = MAX_INTEGER } = place
    const sizes = await selectSizes.all(tx, { sessionId, ownerId, before, limit: rows })
    let taken = 0
    for (; taken < sizes.length && bytes > 0; taken++) bytes -= sizes[taken]?.bytes ?? 0
    const last = sizes[taken - 1]
    if (last !== undefined) indexed += await indexRange(tx, { sessionId, ownerId, before, from: last.seq })
    const isAtEnd = taken === sizes.length && sizes.length < rows
    place = isAtEnd || last === undefined ? await afterSession(tx, place) : { ...place, before: last.seq }
    rows -= taken
  }
  return { indexed, phase: 'messages', messages: place }
}

async function indexRange(tx: Db, range: Owned & { before: number; from: number }): Promise<number> {
  const { sessionId, ownerId } = range
  const texts = await selectTexts.all(tx, range)
  const lowest = (await selectLowestDoc.first(tx, {}))?.doc ?? 1
  const entries = texts.map(({ seq, role, content, doc }, i) => {
    const terms = termsOfMessage(tx, content)
    // The texts are older than all that have a document, so their documents come before.
    return { sessionId, ownerId, seq, role, terms, doc: doc ?? lowest - 1 - i, isNew: doc === null }
  })
  await batch(tx, [
    ...insertEntries.with(entries.filter(({ isNew }) => isNew)),
    ...entries.filter(({ isNew }) => !isNew).flatMap((entry) => [updateTerms.with(entry), updateRole.with(entry)]),
  ])
  return entries.length
}

/** Returns the beginning of the session that follows a place, or undefined if there is none. */
async function following(tx: Db, place: MessagePlace | undefined): Promise<MessagePlace | undefined> {
  const { ownerId = '', id = '' } = place ?? {}
  const key = { createdAt: new Date(place?.createdAt ?? 0), id, ownerId }
  const select = selectSession[place === undefined ? 'first' : place.ownerId === undefined ? 'again' : 'next']
  const session = await select.first(tx, key)
  return session && { ...session, createdAt: session.createdAt.getTime(), before: MAX_INTEGER }
}

/**
 * Returns the place after a session. If the session is gone it may have been given to another owner, past whose place the walk
 * is: then all sessions of that time and id come once more.
 */
async function afterSession(tx: Db, { createdAt, id, ownerId = '' }: MessagePlace): Promise<MessagePlace> {
  const isThere = (await selectOwned.first(tx, { id, ownerId })) !== undefined
  return isThere ? { createdAt, id, ownerId } : { createdAt, id }
}

/**
 * Returns the place, or, if its session is gone, the beginning of all sessions of that moment, which names none. The walk passes
 * over what is indexed.
 */
export async function withoutGone(tx: Db, place: MessagePlace): Promise<MessagePlace> {
  const { createdAt, id, ownerId } = place
  const isThere = ownerId !== undefined && (await selectOwned.first(tx, { id, ownerId })) !== undefined
  return isThere ? place : { createdAt: createdAt + 1, id: '' }
}
