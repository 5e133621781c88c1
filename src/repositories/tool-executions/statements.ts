import { and, eq, sql } from 'drizzle-orm'
import { isNamed, isVisible, ofOwner, ownerOfNames } from '../../database/owner.ts'
import { notIndexable } from '../../database/paging/keyset.ts'
import { pagedQuery } from '../../database/paging/list-query.ts'
import { type Builder, statement } from '../../database/statement.ts'
import type { Tables } from '../../schema/tables.ts'
import type { Json, ToolExecutionStatus } from '../../schema/values.ts'
import type { ToolExecution, ToolExecutionIdentity } from './types.ts'

/** A record as it is selected. */
export type ExecutionRow = ToolExecutionIdentity & Omit<ToolExecution, 'identity'>

const toolExecutionColumns = ({ toolExecutions: e }: Tables) => ({
  executionId: e.id,
  ownerId: e.ownerId,
  runId: e.runId,
  turnId: e.turnId,
  modelStepId: e.modelStepId,
  toolCallId: e.toolCallId,
  toolName: e.toolName,
  input: e.input,
  status: e.status,
  output: e.output,
  error: e.error,
  startedAt: e.startedAt,
  finishedAt: e.finishedAt,
})

type NewExecution = Omit<ExecutionRow, 'ownerId' | 'status' | 'output' | 'error' | 'finishedAt'>

export const insertExecution = statement((db: Builder, arg: NewExecution) => {
  const { executionId, runId, turnId, modelStepId, toolCallId, toolName, input, startedAt } = arg
  const ids = { id: executionId, ownerId: ownerOfNames(db), runId, turnId, modelStepId, toolCallId }
  return db.orm
    .insert(db.tables.toolExecutions)
    .values({ ...ids, toolName, input, status: 'running', startedAt })
    .onConflictDoNothing()
    .returning(toolExecutionColumns(db.tables))
})

/** Selects the execution that kept `insertExecution` from inserting. */
export const selectStarted = statement((db: Builder, arg: { id: string }) => {
  const { toolExecutions: e } = db.tables
  return db.orm
    .select(toolExecutionColumns(db.tables))
    .from(e)
    .where(and(eq(e.id, arg.id), eq(e.ownerId, ownerOfNames(db))))
})

export const selectExecution = statement((db: Builder, arg: { id: string }) => {
  const { toolExecutions: e } = db.tables
  return db.orm
    .select(toolExecutionColumns(db.tables))
    .from(e)
    .where(isNamed(db, e, arg.id))
})

/** How an execution ended. */
export interface Outcome {
  status: ToolExecutionStatus
  output: Json
  error: Json
}

export const finishIfRunning = statement((db: Builder, arg: Outcome & { id: string; finishedAt: Date }) => {
  const { toolExecutions: e } = db.tables
  return db.orm
    .update(e)
    .set({ status: arg.status, output: arg.output, error: arg.error, finishedAt: arg.finishedAt })
    .where(and(isNamed(db, e, arg.id), eq(e.status, 'running')))
    .returning(toolExecutionColumns(db.tables))
})

export const deleteExecution = statement((db: Builder, arg: { id: string }) => {
  const { toolExecutions: e } = db.tables
  return db.orm
    .delete(e)
    .where(isNamed(db, e, arg.id))
    .returning({ id: e.id })
})

const executionQuery = {
  name: 'toolExecutions',
  select: ({ orm, tables }: Builder) => orm.select(toolExecutionColumns(tables)).from(tables.toolExecutions),
  orderBy: [
    { name: 'startedAt', kind: 'instant', column: ({ toolExecutions }: Tables) => toolExecutions.startedAt },
    { name: 'executionId', kind: 'text', column: ({ toolExecutions }: Tables) => toolExecutions.id },
    { name: 'ownerId', kind: 'text', column: ({ toolExecutions }: Tables) => toolExecutions.ownerId },
  ],
} as const

const statusFilters = {
  /** The condition of the index of running executions, as a literal, so that the planner finds it. */
  running: ({ toolExecutions }: Tables, _: true) => sql`${toolExecutions.status} = 'running'`,
  status: ({ toolExecutions }: Tables, status: ToolExecutionStatus) => eq(toolExecutions.status, status),
}

export const listExecutions = pagedQuery({
  ...executionQuery,
  visible: (db) => isVisible(db, db.tables.toolExecutions),
  filters: {
    ...statusFilters,
    ownerId: ({ toolExecutions }: Tables, ownerId: string) => ofOwner(toolExecutions, ownerId),
  },
})

/** Walks the index of one run. A run has few executions. */
export const listExecutionsOfRun = pagedQuery({
  ...executionQuery,
  partition: ({ toolExecutions }) => toolExecutions.runId,
  visible(db) {
    const condition = isVisible(db, db.tables.toolExecutions)
    return condition && notIndexable(condition)
  },
  filters: {
    running: (tables: Tables, _: true) => notIndexable(statusFilters.running(tables, _)),
    status: statusFilters.status,
    ownerId: ({ toolExecutions }: Tables, ownerId: string) => notIndexable(ofOwner(toolExecutions, ownerId)),
  },
})
