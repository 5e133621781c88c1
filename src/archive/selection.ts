import { and, eq, gte, or, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import type { Tables } from '../schema/tables.ts'
import type { ArchivedTable } from './tables.ts'
import type { ExportSelection } from './types.ts'

/** `lastActiveAt` may be older than the last append by this much: appends within a second leave it alone. */
const ACTIVITY_MILLIS = 1000

/** The columns that say to which session a row belongs. Rows of other tables belong to none, but for the items of lists. */
const SESSION_COLUMNS: Partial<Record<ArchivedTable, (tables: Tables) => PgColumn>> = {
  kv: ({ kv }) => kv.sessionId,
  lists: ({ lists }) => lists.sessionId,
  sessions: ({ sessions }) => sessions.id,
  messages: ({ messages }) => messages.sessionId,
  sessionOperations: ({ sessionOperations }) => sessionOperations.sessionId,
  events: ({ events }) => events.sessionId,
  queues: ({ queues }) => queues.sessionId,
  queueItems: ({ queueItems }) => queueItems.sessionId,
  approvals: ({ approvals }) => approvals.sessionId,
  approvalStates: ({ approvalStates }) => approvalStates.scope,
  allowedTools: ({ allowedTools }) => allowedTools.scope,
  toolPreferences: ({ toolPreferences }) => toolPreferences.scope,
  blobRefs: ({ blobRefs }) => blobRefs.sessionId,
}

/** The conditions that a row has changed since a time. Tables without one are exported as a whole. */
const CHANGES: Partial<Record<ArchivedTable, (tables: Tables, since: Date) => SQL | undefined>> = {
  sessions: (tables, since) => isActive(tables, since),
  messages: (tables, since) => isOfActiveSession(tables, tables.messages, since),
  sessionOperations: (tables, since) => isOfActiveSession(tables, tables.sessionOperations, since),
  blobRefs: (tables, since) => isOfActiveSession(tables, tables.blobRefs, since),
  kv: ({ kv }, since) => gte(kv.updatedAt, since),
  memories: ({ memories }, since) => gte(memories.updatedAt, since),
  memoryTags: ({ memories: m, memoryTags: t }, since) =>
    sql`exists (select 1 from ${m} where ${and(eq(m.id, t.memoryId), gte(m.updatedAt, since))})`,
  events: ({ events }, since) => gte(events.occurredAt, since),
  prompts: ({ prompts }, since) => gte(prompts.updatedAt, since),
  workspaces: ({ workspaces }, since) => gte(workspaces.updatedAt, since),
  toolState: ({ toolState }, since) => gte(toolState.updatedAt, since),
  toolExecutions: ({ toolExecutions: t }, since) => or(gte(t.startedAt, since), gte(t.finishedAt, since)),
  approvals: ({ approvals: a }, since) => or(gte(a.createdAt, since), gte(a.respondedAt, since)),
  approvalStates: ({ approvalStates }, since) => gte(approvalStates.updatedAt, since),
  allowedTools: ({ allowedTools }, since) => gte(allowedTools.createdAt, since),
  toolPreferences: ({ toolPreferences }, since) => gte(toolPreferences.updatedAt, since),
  checkpoints: (tables, since) => isOfChangedThread(tables, tables.checkpoints, since),
  checkpointValues: (tables, since) => isOfChangedThread(tables, tables.checkpointValues, since),
  checkpointWrites: (tables, since) => isOfChangedThread(tables, tables.checkpointWrites, since),
}

/** Returns true if the selection leaves rows out. */
export function isPart({ ownerId, sessionId, since }: ExportSelection): boolean {
  return ownerId !== undefined || sessionId !== undefined || since !== undefined
}

/**
 * Returns the condition of the selected rows: undefined for all, and false if no row of the table is selected. Which blobs are
 * selected depends on the messages as well: see blobs-selected.ts.
 */
export function conditionOf(tables: Tables, name: ArchivedTable, selection: ExportSelection): SQL | undefined | false {
  const { ownerId, sessionId, since } = selection
  const conditions: (SQL | undefined)[] = []
  if (ownerId !== undefined) {
    const table = tables[name]
    if ('ownerId' in table) conditions.push(eq(table.ownerId, ownerId))
  }
  if (sessionId !== undefined) {
    const columnOf = SESSION_COLUMNS[name]
    if (columnOf !== undefined) conditions.push(eq(columnOf(tables), sessionId))
    else if (name === 'listItems') conditions.push(isOfListOf(tables, sessionId))
    else return false
  }
  if (since !== undefined) conditions.push(CHANGES[name]?.(tables, since))
  return and(...conditions)
}

const activeSince = (since: Date) => new Date(since.getTime() - ACTIVITY_MILLIS)

/**
 * Includes sessions that were renamed, and those whose entries may have changed: the rows that go with a session need it.
 * Lists do not say when they have changed.
 */
function isActive({ sessions: s, kv, lists: l }: Tables, since: Date): SQL {
  const isChangedEntry = and(eq(kv.sessionId, s.id), eq(kv.ownerId, s.ownerId), gte(kv.updatedAt, since))
  const isList = and(eq(l.sessionId, s.id), eq(l.ownerId, s.ownerId))
  return sql`(${gte(s.lastActiveAt, activeSince(since))} or ${gte(s.updatedAt, since)}
    or exists (select 1 from ${kv} where ${isChangedEntry})
    or exists (select 1 from ${l} where ${isList}))`
}

function isOfActiveSession(
  tables: Tables,
  { sessionId, ownerId }: { sessionId: PgColumn; ownerId: PgColumn },
  since: Date,
): SQL {
  const { sessions: s } = tables
  return sql`exists (select 1 from ${s} where ${and(eq(s.id, sessionId), eq(s.ownerId, ownerId), isActive(tables, since))})`
}

function isOfListOf({ lists: l, listItems: i }: Tables, sessionId: string): SQL {
  const isList = and(eq(l.sessionId, sessionId), eq(l.ownerId, i.ownerId), eq(l.key, i.key))
  return sql`exists (select 1 from ${l} where ${isList})`
}

function isOfChangedThread(
  { checkpoints: c }: Tables,
  { ownerId, threadId, namespace }: { ownerId: PgColumn; threadId: PgColumn; namespace: PgColumn },
  since: Date,
): SQL {
  const [owner, thread, space, created] = [c.ownerId, c.threadId, c.namespace, c.createdAt].map(
    (column) => sql`c.${sql.identifier(column.name)}`,
  )
  const at = sql.param(since, c.createdAt)
  return sql`exists (select 1 from ${c} c where ${owner} = ${ownerId} and ${thread} = ${threadId}
    and ${space} = ${namespace} and ${created} >= ${at})`
}
