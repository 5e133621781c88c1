import { and, eq, exists, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { ignoreReadOnly } from '../../database/identity.ts'
import { isVisible } from '../../database/owner.ts'
import { type Builder, batch, statement } from '../../database/statement.ts'
import { textOfMessage } from '../../search/message-text.ts'
import type { SearchQuery } from '../../search/query.ts'
import { hashOfText } from '../../search/vectors.ts'
import type { Embedding } from '../context.ts'
import { messageColumns } from '../messages/columns.ts'
import type { Message } from '../messages/types.ts'
import { foundDocs, ginEquals, isOwnEntry } from '../search/docs.ts'
import { matchOf } from '../search/match.ts'
import { isAlive, messageFilters, messageIndex, withContext } from '../search/messages.ts'
import { startOf } from '../search/page.ts'
import { runSearch } from '../search/run.ts'
import { inUnexpiredSession } from '../sessions/unexpired.ts'
import { nearest, type VectorTable } from './nearest.ts'
import type { MessageKey } from './pending.ts'
import { type Loaded, type RecallSource, recall, recallShape } from './recall.ts'
import type { Recall, RecalledMessage } from './types.ts'

export const recallMessagesSchema = z.strictObject({ ...recallShape, ...messageFilters })

type Options = z.output<typeof recallMessagesSchema>
type Filters = Pick<Options, 'sessionId' | 'role'>

const vectorTable = ({ tables: { messageEmbeddings: rows } }: Pick<Builder, 'tables'>): VectorTable => {
  return { rows, key: [rows.sessionId, rows.ownerId, rows.seq], name: 'message_embeddings' }
}

/** Returns the conditions that the message of a row is shown, and meets the filters. */
function filtersOf(
  db: Builder,
  row: { sessionId: PgColumn; ownerId: PgColumn; seq: PgColumn },
  { sessionId, role }: Filters,
  now: Date,
): (SQL | undefined)[] {
  const { messages: m } = db.tables
  const isMessage = and(eq(m.sessionId, row.sessionId), eq(m.ownerId, row.ownerId), eq(m.seq, row.seq))
  const hasRole = (wanted: string) =>
    exists(
      db.orm
        .select({ seq: m.seq })
        .from(m)
        .where(and(isMessage, eq(m.role, wanted), isVisible(db, m))),
    )
  return [
    isAlive(db, row, now),
    sessionId === undefined ? undefined : inUnexpiredSession(db, row, sessionId, now),
    role === undefined ? undefined : hasRole(role),
  ]
}

const selectMessage = statement((db, arg: MessageKey & { model: string }) => {
  const { messages: m, messageEmbeddings: e } = db.tables
  const isItsRow = and(eq(e.sessionId, m.sessionId), eq(e.ownerId, m.ownerId), eq(e.seq, m.seq), eq(e.model, arg.model))
  return db.orm
    .select({ ...messageColumns(db.tables), ownerId: m.ownerId, vector: e.vector, textHash: e.textHash })
    .from(m)
    .leftJoin(e, and(isItsRow, isVisible(db, e)))
    .where(and(eq(m.sessionId, arg.sessionId), eq(m.ownerId, arg.ownerId), eq(m.seq, arg.seq), isVisible(db, m)))
})

const removeVector = statement((db, arg: MessageKey & { textHash: string }) => {
  const { messageEmbeddings: e } = db.tables
  const isRow = and(eq(e.sessionId, arg.sessionId), eq(e.ownerId, arg.ownerId), eq(e.seq, arg.seq))
  return db.orm.delete(e).where(and(isRow, eq(e.textHash, arg.textHash), isVisible(db, e)))
})

/** Finds messages by their words, by their meaning, or by both. See `Messages.recall`. */
export async function recallMessages(
  db: Db,
  now: Date,
  embedding: Embedding | undefined,
  query: string,
  { context, ...options }: Options,
): Promise<Recall<RecalledMessage>> {
  const model = embedding?.model.key ?? ''
  const source: RecallSource<Message & { ownerId: string }> = {
    async nearest(vector, count) {
      const wanted = (builder: Builder) => {
        const { messageEmbeddings: e } = builder.tables
        return { model, vector, count, conditions: [isVisible(builder, e), ...filtersOf(builder, e, options, now)] }
      }
      const keys = await nearest(db, vectorTable, wanted, embedding?.pgvector)
      return keys.map((key) => JSON.stringify(key))
    },
    byWords: (words, count) => byWords(db, words, count, options, now),
    async load(keys) {
      const rows = await batch(
        db,
        keys.map((key) => selectMessage.with({ ...keyOf(key), model })),
      )
      return new Map(
        rows.flat().map(({ vector, textHash, ...message }): [string, Loaded<Message & { ownerId: string }>] => {
          const stored = { vector, textHash }
          const key = JSON.stringify([message.sessionId, message.ownerId, message.seq])
          return [key, { item: message, textHash: hashOfText(textOfMessage(message.content)), stored }]
        }),
      )
    },
    async forget(key, textHash) {
      const { sessionId, ownerId, seq } = keyOf(key)
      await removeVector.all(db, { sessionId, ownerId, seq, textHash }).catch(ignoreReadOnly)
      embedding?.written({ sessionId, from: seq, through: seq })
    },
  }
  const { items: found, ...rest } = await recall(db, embedding, query, options, source)
  const items = found.map(({ item: { ownerId: _, ...message }, ...recalled }) => ({ message, ...recalled }))
  if (context === undefined) return { items, ...rest }
  const owners = found.map(({ item }) => item.ownerId)
  return { items: await withContext(db, items, owners, context, now), ...rest }
}

function keyOf(key: string): MessageKey {
  const [sessionId, ownerId, seq] = JSON.parse(key) as [string, string, number] // made of these
  return { sessionId, ownerId, seq }
}

async function byWords(db: Db, query: SearchQuery, limit: number, filters: Filters, now: Date) {
  if (query.required.length === 0) return { found: [], isIncomplete: false }
  const { sessionId } = filters
  const match = matchOf(db.dialect, query, { owner: db.owner, sessionId })
  const arg = { ...match, ...startOf('', 'relevance', undefined), limit }
  const select = statement((builder: Builder, _: object) => {
    const { messageSearch: e } = builder.tables
    const isInSession = sessionId === undefined ? undefined : ginEquals(builder, e.sessionId, sessionId)
    const conditions = [isOwnEntry(builder, e), isInSession, ...filtersOf(builder, e, filters, now)]
    const isNarrow = db.owner !== undefined || sessionId !== undefined
    return builder.orm
      .select({ sessionId: e.sessionId, ownerId: e.ownerId, seq: e.seq, score: sql<number>`found.score`.as('score') })
      .from(foundDocs(builder, messageIndex(builder), { order: 'relevance', isNarrow, conditions }, arg))
      .innerJoin(e, and(eq(e.doc, sql`found.doc`), isVisible(builder, e)))
      .orderBy(sql`found.score desc`, sql`${e.doc} desc`)
  })
  const { rows, isIncomplete } = await runSearch(db, select.with({}))
  const found = rows.map(({ score, ownerId, seq, ...row }) => {
    return { key: JSON.stringify([row.sessionId, ownerId, seq]), score }
  })
  return { found, isIncomplete }
}
