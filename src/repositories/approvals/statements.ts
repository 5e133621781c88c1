import { and, eq, isNotNull, isNull } from 'drizzle-orm'
import { isNamed, isVisible, ofOwner, ownerOfNames, ownerOfSession } from '../../database/owner.ts'
import { pagedQuery } from '../../database/paging/list-query.ts'
import { type Builder, statement } from '../../database/statement.ts'
import type { Tables } from '../../schema/tables.ts'
import type { ApprovalDecision, Json } from '../../schema/values.ts'
import type { Approval, ApprovalResponse } from './types.ts'

/** An approval and its response, as they are selected. */
export type ApprovalRow = Omit<Approval, 'response'> & {
  decision: ApprovalDecision | null
  data: Json
  respondedAt: Date | null
}

const approvalColumns = ({ approvals: a }: Tables) => ({
  id: a.id,
  ownerId: a.ownerId,
  sessionId: a.sessionId,
  type: a.type,
  request: a.request,
  createdAt: a.createdAt,
  decision: a.decision,
  data: a.response,
  respondedAt: a.respondedAt,
})

type NewApproval = Omit<Approval, 'ownerId' | 'response'>

export const insertApproval = statement((db: Builder, { id, sessionId, type, request, createdAt }: NewApproval) =>
  db.orm
    .insert(db.tables.approvals)
    .values({ id, ownerId: ownerOfRequest(db, sessionId), sessionId, type, request, createdAt })
    .onConflictDoNothing()
    .returning(approvalColumns(db.tables)),
)

/** Selects the approval that kept `insertApproval` from inserting. */
export const selectRequested = statement((db: Builder, arg: Pick<Approval, 'id' | 'sessionId'>) => {
  const { approvals: a } = db.tables
  return db.orm
    .select(approvalColumns(db.tables))
    .from(a)
    .where(and(eq(a.id, arg.id), eq(a.ownerId, ownerOfRequest(db, arg.sessionId))))
})

/** Returns the owner of a new approval. Without a session, a handle without an owner finds none, so it is nobody. */
function ownerOfRequest(db: Builder, sessionId: string | null) {
  return ownerOfSession(db, sessionId as string) // SQL compares null with nothing
}

export const selectApproval = statement((db: Builder, arg: { id: string }) => {
  const { approvals: a } = db.tables
  return db.orm
    .select(approvalColumns(db.tables))
    .from(a)
    .where(isNamed(db, a, arg.id))
})

export const respondIfPending = statement((db: Builder, { id, decision, data, respondedAt }: ApprovalResponse) => {
  const { approvals: a } = db.tables
  return db.orm
    .update(a)
    .set({ decision, response: data, respondedAt })
    .where(and(isNamed(db, a, id), isNull(a.respondedAt)))
    .returning(approvalColumns(db.tables))
})

export const deleteApproval = statement((db: Builder, arg: { id: string }) => {
  const { approvals: a } = db.tables
  return db.orm
    .delete(a)
    .where(isNamed(db, a, arg.id))
    .returning({ id: a.id })
})

const approvalQuery = {
  select: ({ orm, tables }: Builder) => orm.select(approvalColumns(tables)).from(tables.approvals),
  visible: (db: Builder) => isVisible(db, db.tables.approvals),
  filters: {
    pending: ({ approvals }: Tables, _: true) => isNull(approvals.respondedAt),
    responded: ({ approvals }: Tables, _: true) => isNotNull(approvals.respondedAt),
    sessionId: ({ approvals }: Tables, sessionId: string) => eq(approvals.sessionId, sessionId),
    ownerId: ({ approvals }: Tables, ownerId: string) => ofOwner(approvals, ownerId),
  },
  orderBy: [
    { name: 'createdAt', kind: 'instant', column: ({ approvals }: Tables) => approvals.createdAt },
    { name: 'id', kind: 'text', column: ({ approvals }: Tables) => approvals.id },
    { name: 'ownerId', kind: 'text', column: ({ approvals }: Tables) => approvals.ownerId },
  ],
} as const

/** The list of the approvals without a response. Its cursors are no cursors of the list of all. */
export const listPendingApprovals = pagedQuery({ ...approvalQuery, name: 'approvals' })

export const listApprovals = pagedQuery({ ...approvalQuery, name: 'all approvals' })

interface StateWrite {
  scope: string
  state: Json
  updatedAt: Date
}

/** Needs a handle whose owner is that of the session. */
export const upsertState = statement((db: Builder, { scope, state, updatedAt }: StateWrite) => {
  const { approvalStates: s } = db.tables
  return db.orm
    .insert(s)
    .values({ ownerId: ownerOfNames(db), scope, state, updatedAt })
    .onConflictDoUpdate({ target: [s.ownerId, s.scope], set: { state, updatedAt } })
})

export const selectState = statement((db: Builder, arg: { scope: string }) => {
  const { approvalStates: s } = db.tables
  return db.orm
    .select()
    .from(s)
    .where(and(eq(s.ownerId, ownerOfSession(db, arg.scope)), eq(s.scope, arg.scope)))
})

/** Needs a handle whose owner is that of the session. */
export const deleteState = statement((db: Builder, arg: { scope: string }) => {
  const { approvalStates: s } = db.tables
  return db.orm
    .delete(s)
    .where(and(eq(s.ownerId, ownerOfNames(db)), eq(s.scope, arg.scope)))
    .returning({ scope: s.scope })
})
