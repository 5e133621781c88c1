import { type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import type { Tables } from '../../schema/tables.ts'

// Retention leaves alone what a pending approval or a running execution needs. An execution names a run and no session, so
// the events that name both connect the two. `status = 'running'` is a literal: partial indexes have this condition.

/** Where a row is: the id of its session or of its run, and its owner. */
interface Place {
  id: SQLWrapper
  ownerId: SQLWrapper
}

/** Returns the condition that a session has a pending approval. */
export function hasPending({ approvals: a }: Tables, { id, ownerId }: Place): SQL {
  return sql`exists (select 1 from ${a} where ${a.sessionId} = ${id} and ${a.ownerId} = ${ownerId} and ${a.respondedAt} is null)`
}

/** Returns the condition that a run has a running execution. What runs outside of a scope may belong to anybody's run. */
export function hasRunning({ toolExecutions: e }: Tables, { id, ownerId }: Place): SQL {
  return sql`exists (select 1 from ${e} where ${e.runId} = ${id} and ${isOfOwner(e.ownerId, ownerId)} and ${e.status} = 'running')`
}

/** Returns the condition that a session has a pending approval, or that one of its events names a run with a running execution. */
export function isSessionInUse(tables: Tables, session: Place): SQL {
  const { events: v } = tables
  const isOfSession = sql`${v.sessionId} = ${session.id} and ${v.ownerId} = ${session.ownerId}`
  const isOfRunning = hasRunning(tables, { id: v.runId, ownerId: v.ownerId })
  return sql`(${hasPending(tables, session)} or exists (select 1 from ${v} where ${isOfSession} and ${isOfRunning}))`
}

/** Returns the condition that an event of a run names a session with a pending approval. */
export function isRunAwaited(tables: Tables, { id, ownerId }: Place): SQL {
  const { events: v } = tables
  const isOfRun = sql`${v.runId} = ${id} and ${isOfOwner(ownerId, v.ownerId)}`
  const isOfPending = hasPending(tables, { id: v.sessionId, ownerId: v.ownerId })
  return sql`exists (select 1 from ${v} where ${isOfRun} and ${isOfPending})`
}

/** Returns the condition that an execution has this owner, or none. */
function isOfOwner(ofExecution: SQLWrapper, owner: SQLWrapper): SQL {
  return sql`(${ofExecution} = ${owner} or ${ofExecution} = ${sql.raw(`''`)})`
}
