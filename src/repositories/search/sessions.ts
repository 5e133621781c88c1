import { and, desc, eq, getTableColumns, lt, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { isVisible } from '../../database/owner.ts'
import { DEFAULT_LIMIT } from '../../database/paging/page.ts'
import { type Builder, statement } from '../../database/statement.ts'
import { highlightsOf } from '../../search/highlights.ts'
import type { SearchQuery } from '../../search/query.ts'
import { matches, type SearchArguments } from './docs.ts'
import { matchOf } from './match.ts'
import { messageIndex, shownMessages } from './messages.ts'
import { readQuery, searchPage, startOf } from './page.ts'
import { runSearch } from './run.ts'
import { indexedText } from './terms.ts'
import type { SearchPage, SearchSessionsOptions, SessionHit } from './types.ts'

/** The newest hit of each session. Every hit is read for that: a session may have any number of them. */
const selectHits = statement((db: Builder, arg: SearchArguments & { now: Date }) => {
  const { messageSearch: e, messages: m, sessions: s } = db.tables
  const { source, fits } = matches(db, messageIndex(db), arg)
  const newest = sql`max(${e.doc})`
  const found = sql`(
    select ${newest} as doc from ${source} where ${and(fits, ...shownMessages(db, arg))}
    group by ${e.sessionId}, ${e.ownerId} having ${lt(newest, arg.before)} order by doc desc limit ${arg.limit}
  ) as found`
  return db.orm
    .select({
      ...getTableColumns(s),
      seq: m.seq,
      messageId: m.id,
      role: m.role,
      content: m.content,
      messageMetadata: m.metadata,
      messageCreatedAt: m.createdAt,
      doc: e.doc,
    })
    .from(found)
    .innerJoin(e, and(eq(e.doc, sql`found.doc`), isVisible(db, e)))
    .innerJoin(m, and(eq(m.sessionId, e.sessionId), eq(m.ownerId, e.ownerId), eq(m.seq, e.seq)))
    .innerJoin(s, and(eq(s.id, e.sessionId), eq(s.ownerId, e.ownerId)))
    .orderBy(desc(e.doc))
})

const name = 'sessions'

/** Searches the messages of sessions. See `Sessions.search`. */
export async function searchSessions(
  db: Db,
  now: Date,
  given: string,
  { limit = DEFAULT_LIMIT, cursor }: SearchSessionsOptions,
): Promise<SearchPage<SessionHit>> {
  const query = readQuery(given, db)
  const start = startOf(name, 'newest', cursor)
  if (query.required.length === 0) return { items: [] }
  const match = matchOf(db.dialect, query, { owner: db.owner })
  const { rows, isIncomplete } = await runSearch(db, selectHits.with({ ...match, ...start, now, limit: limit + 1 }))
  return searchPage(rows, { name, order: 'newest', limit }, isIncomplete, (row) => hitOf(db, row, query))
}

type Row = Awaited<ReturnType<typeof selectHits.all>>[number]

function hitOf(db: Db, row: Row, query: SearchQuery): SessionHit {
  const { doc: _, seq, messageId, role, content, messageMetadata, messageCreatedAt, ...session } = row
  const place = { sessionId: session.id, seq, id: messageId }
  const message = { ...place, role, content, metadata: messageMetadata, createdAt: messageCreatedAt }
  const text = indexedText(db, content)
  return { session, message, text, highlights: highlightsOf(text, query) }
}
