import { and, asc, desc, gt, lt } from 'drizzle-orm'
import type { Order } from '../../database/paging/page.ts'
import { statement } from '../../database/statement.ts'
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
  return statement((db, arg: { sessionId: string; now: Date; limit: number } & SeqRange) => {
    const { messages: m } = db.tables
    return db.orm
      .select(messageColumns(db.tables))
      .from(m)
      .where(and(inUnexpiredSession(db, m, arg.sessionId, arg.now), gt(m.seq, arg.after), lt(m.seq, arg.before)))
      .orderBy(order === 'asc' ? asc(m.seq) : desc(m.seq))
      .limit(arg.limit)
  })
}
