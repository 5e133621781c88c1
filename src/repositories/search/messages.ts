import { and, desc, eq, lte, notExists, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { isVisible, NOBODY } from '../../database/owner.ts'
import { DEFAULT_LIMIT, type Order, pageSchema } from '../../database/paging/page.ts'
import { type Builder, batch, type Statement, statement } from '../../database/statement.ts'
import type { MessageRole } from '../../schema/values.ts'
import { highlightsOf } from '../../search/highlights.ts'
import { rule } from '../../validation/fast-path.ts'
import { idSchema, isInteger, MAX_INTEGER, textSchema } from '../../validation/input.ts'
import { messageColumns } from '../messages/columns.ts'
import { rangeQuery, type SeqRange } from '../messages/range.ts'
import type { Message } from '../messages/types.ts'
import { inUnexpiredSession } from '../sessions/unexpired.ts'
import { foundDocs, ginEquals, isOwnEntry, type SearchArguments, type SearchIndex } from './docs.ts'
import { matchOf } from './match.ts'
import { orderSchema, readQuery, searchPage, startOf } from './page.ts'
import { runSearch } from './run.ts'
import { indexedText } from './terms.ts'
import type { MessageHit, SearchOrder, SearchPage } from './types.ts'

const MAX_CONTEXT = 100
const contextSchema = rule<number>(isInteger(0, MAX_CONTEXT), `must be an integer from 0 to ${MAX_CONTEXT}`)

/** What both a search and a recall of messages take. */
export const messageFilters = {
  sessionId: z.optional(idSchema),
  role: z.optional(textSchema({ min: 1, max: 100 })),
  context: z.optional(z.strictObject({ before: z.optional(contextSchema), after: z.optional(contextSchema) })),
}

export const searchMessagesSchema = z.strictObject({
  ...pageSchema.shape,
  ...messageFilters,
  order: z.optional(orderSchema),
})

interface Filters {
  sessionId?: string | undefined
  role?: MessageRole | undefined
}

/** Returns the index of messages. */
export function messageIndex({ kit, tables }: Builder): SearchIndex {
  return { rows: tables.messageSearch, terms: kit.entries.messages.terms, fts: 'message_terms' }
}

/**
 * Returns the conditions of the entries that a search may show: the handle's owner has them, and their session has not
 * expired.
 */
export function shownMessages(db: Builder, { now }: { now: Date }): (SQL | undefined)[] {
  const { messageSearch: e } = db.tables
  return [isOwnEntry(db, e), isAlive(db, e, now)]
}

/** Returns the condition that the session of a row has not expired. */
export function isAlive(db: Builder, row: { sessionId: PgColumn; ownerId: PgColumn }, now: Date): SQL {
  const { sessions: s } = db.tables
  const isExpired = and(eq(s.id, row.sessionId), eq(s.ownerId, row.ownerId), lte(s.expiresAt, now))
  return notExists(db.orm.select({ id: s.id }).from(s).where(isExpired))
}

/** A hit names the owner as well: several owners may have a session of its id. */
interface Found {
  ownerId: string
  doc: number
  score: number | null
}

interface MessageArguments extends SearchArguments {
  now: Date
  /** The filters, if the statement has them. */
  sessionId: string
  role: MessageRole
}

/** One compiled statement for each order and combination of filters. */
const statements = new Map<string, Statement<MessageArguments, Message & Found>>()

function selectHits(order: SearchOrder, { sessionId, role }: Filters): Statement<MessageArguments, Message & Found> {
  const shape = [order, sessionId !== undefined, role !== undefined].join()
  const compiled = statements.get(shape)
  if (compiled !== undefined) return compiled
  const select = statement<MessageArguments, Message & Found>((db, arg) => {
    const { messageSearch: e, messages: m } = db.tables
    const conditions = [
      ...shownMessages(db, arg),
      sessionId === undefined ? undefined : inUnexpiredSession(db, e, arg.sessionId, arg.now),
      sessionId === undefined ? undefined : ginEquals(db, e.sessionId, arg.sessionId),
      role === undefined ? undefined : eq(e.role, arg.role),
    ]
    const isNarrow = db.owner !== undefined || sessionId !== undefined
    const found = foundDocs(db, messageIndex(db), { order, isNarrow, conditions }, arg)
    return db.orm
      .select({ ...messageColumns(db.tables), ownerId: m.ownerId, doc: e.doc, score: sql<number | null>`found.score` })
      .from(found)
      .innerJoin(e, and(eq(e.doc, sql`found.doc`), isVisible(db, e)))
      .innerJoin(m, and(eq(m.sessionId, e.sessionId), eq(m.ownerId, e.ownerId), eq(m.seq, e.seq)))
      .orderBy(...(order === 'relevance' ? [sql`found.score desc`] : []), desc(e.doc))
  })
  statements.set(shape, select)
  return select
}

const name = 'messages'

/** Searches messages. See `Messages.search`. */
export async function searchMessages(
  db: Db,
  now: Date,
  given: string,
  options: z.output<typeof searchMessagesSchema>,
): Promise<SearchPage<MessageHit>> {
  const query = readQuery(given, db)
  const { sessionId, role, order = 'newest', limit = DEFAULT_LIMIT, cursor, context } = options
  const start = startOf(name, order, cursor)
  if (query.required.length === 0) return { items: [] }
  const select = selectHits(order, { sessionId, role }).with({
    ...matchOf(db.dialect, query, { owner: db.owner, sessionId }),
    ...start,
    now,
    limit: limit + 1,
    sessionId: sessionId ?? '',
    role: role ?? '',
  })
  const { rows, isIncomplete } = await runSearch(db, select)
  const page = searchPage(rows, { name, order, limit }, isIncomplete, (row): MessageHit => {
    const { doc: _, ownerId, score, ...message } = row
    const text = indexedText(db, message.content)
    return { message, ownerId, text, highlights: highlightsOf(text, query), ...(score !== null && { score }) }
  })
  if (context === undefined) return page
  const owners = rows.map(({ ownerId }) => ownerId)
  return { ...page, items: await withContext(db, page.items, owners, context, now) }
}

interface Neighbours extends SeqRange {
  sessionId: string
  ownerId: string
  now: Date
  limit: number
}

const selectNeighbours = { asc: neighboursStatement('asc'), desc: neighboursStatement('desc') }

function neighboursStatement(order: Order) {
  return statement((db, arg: Neighbours) => {
    const { messages: m } = db.tables
    const isOfSession = and(eq(m.sessionId, arg.sessionId), eq(m.ownerId, arg.ownerId), isAlive(db, m, arg.now))
    return rangeQuery(db, isOfSession, arg, order)
  })
}

/** Adds the messages beside each hit, in one batch. `owners` has the owner of each. */
export async function withContext<Hit extends { message: Message }>(
  db: Db,
  hits: readonly Hit[],
  owners: readonly string[],
  { before: countBefore = 0, after: countAfter = 0 }: { before?: number | undefined; after?: number | undefined },
  now: Date,
): Promise<(Hit & Pick<MessageHit, 'context'>)[]> {
  const selects = hits.flatMap(({ message: { sessionId, seq } }, i) => {
    const session = { sessionId, ownerId: owners[i] ?? NOBODY, now }
    return [
      selectNeighbours.desc.with({ ...session, after: 0, before: seq, limit: countBefore }),
      selectNeighbours.asc.with({ ...session, after: seq, before: MAX_INTEGER, limit: countAfter }),
    ]
  })
  const ranges = await batch(db, selects)
  return hits.map((hit, i) => {
    const [before = [], after = []] = ranges.slice(2 * i, 2 * i + 2)
    return { ...hit, context: { before: before.toReversed(), after } }
  })
}
