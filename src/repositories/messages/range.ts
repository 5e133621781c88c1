import { and, asc, desc, gt, lt, type SQL } from 'drizzle-orm'
import type { Order } from '../../database/paging/page.ts'
import { type Builder, statement } from '../../database/statement.ts'
import { inUnexpiredSession } from '../sessions/unexpired.ts'
import { messageColumns } from './columns.ts'

/** The messages between two seqs, both exclusive. */
export interface SeqRange {
  after: number
  before: number
}

/** Selects a range of the messages of a session. */
export const selectRange = {
  asc: rangeStatement('asc'),
  desc: rangeStatement('desc'),
}

function rangeStatement(order: Order) {
  return statement((db, arg: { sessionId: string; now: Date; limit: number } & SeqRange) =>
    rangeQuery(db, inUnexpiredSession(db, db.tables.messages, arg.sessionId, arg.now), arg, order),
  )
}

/** Makes the query for a range of the messages that a condition selects, which are of one session. */
export function rangeQuery(
  { orm, tables }: Builder,
  isOfSession: SQL | undefined,
  { after, before, limit }: SeqRange & { limit: number },
  order: Order,
) {
  const { messages: m } = tables
  return orm
    .select(messageColumns(tables))
    .from(m)
    .where(and(isOfSession, gt(m.seq, after), lt(m.seq, before)))
    .orderBy(order === 'asc' ? asc(m.seq) : desc(m.seq))
    .limit(limit)
}
