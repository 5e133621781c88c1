import { type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import { alternatives, type Place } from '../../repositories/sessions/rows-of-session.ts'
import type { Tables } from '../../schema/tables.ts'

// Retention leaves alone what a pending approval or a running execution needs. An execution names a run and no session, so
// the events that name both connect the two. `status = 'running'` is a literal: partial indexes have this condition.

/**
 * Returns the condition that a table has such a row. Counts, since for EXISTS PostgreSQL may join, or expect an early hit,
 * and read all events and all approvals for each transaction of some hundred rows.
 */
export function hasRow(table: SQLWrapper, condition: SQL): SQL {
  return sql`((select count(*) from ${table} where ${condition}) > 0)`
}

/** Returns the condition that a session has a pending approval. */
export function hasPending({ approvals: a }: Tables, session: Place): SQL {
  const [ofOwner, ofNobody] = alternatives(a, session).map((isIts) =>
    hasRow(a, sql`${isIts} and ${a.respondedAt} is null`),
  )
  return sql`(${ofOwner} or ${ofNobody})`
}

/**
 * Returns the condition that an execution is running, and was started after `runningSince`: an older one was left behind by a
 * crash. `alias` is the table under another name.
 */
export function isRunning({ toolExecutions: e }: Tables, runningSince: Date, alias: SQLWrapper = e): SQL {
  return sql`(${alias}.status = 'running' and ${alias}.started_at > ${sql.param(runningSince, e.startedAt)})`
}

/** Returns the condition that a run has a running execution. What runs outside of a scope may belong to anybody's run. */
export function hasRunning(tables: Tables, { id, ownerId }: Place, runningSince: Date): SQL {
  const { toolExecutions: e } = tables
  return hasRow(e, sql`${e.runId} = ${id} and ${isOfOwner(e.ownerId, ownerId)} and ${isRunning(tables, runningSince)}`)
}

/**
 * Returns the condition that a session has a pending approval, or that one of its events names a run with a running
 * execution.
 */
export function isSessionInUse(tables: Tables, session: Place, runningSince: Date): SQL {
  const { events: v } = tables
  const isOfRunning = hasRunning(tables, { id: v.runId, ownerId: v.ownerId }, runningSince)
  const [ofOwner, ofNobody] = alternatives(v, session).map((isIts) => hasRow(v, sql`${isIts} and ${isOfRunning}`))
  return sql`(${hasPending(tables, session)} or ${ofOwner} or ${ofNobody})`
}

/** Returns the condition that an event of a run names a session with a pending approval. */
export function isRunAwaited(tables: Tables, { id, ownerId }: Place): SQL {
  const { events: v } = tables
  const isOfRun = sql`${v.runId} = ${id} and ${isOfOwner(ownerId, v.ownerId)}`
  const isOfPending = hasPending(tables, { id: v.sessionId, ownerId: v.ownerId })
  return hasRow(v, sql`${isOfRun} and ${isOfPending}`)
}

/** Returns the condition that an execution has this owner, or none. */
function isOfOwner(ofExecution: SQLWrapper, owner: SQLWrapper): SQL {
  return sql`(${ofExecution} = ${owner} or ${ofExecution} = ${sql.raw(`''`)})`
}
