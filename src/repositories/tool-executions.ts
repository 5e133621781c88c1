import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { and, eq } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../database/db.ts'
import { statement } from '../database/statement.ts'
import { StorageError } from '../errors.ts'
import type { Tables } from '../schema/tables.ts'
import type { Json, ToolExecutionStatus } from '../schema/values.ts'
import { idSchema, parseInput } from '../validation/input.ts'
import { jsonSchema } from '../validation/json.ts'
import type { RepositoryContext } from './context.ts'

export type { ToolExecutionStatus }

/** Which call of which step of which turn of which run. */
export interface ToolExecutionIdentity {
  runId: string
  turnId: string
  modelStepId: string
  toolCallId: string
}

export interface ToolExecution {
  executionId: string
  identity: ToolExecutionIdentity
  toolName: string
  input: Json
  status: ToolExecutionStatus
  /** What `complete` was given. */
  output: Json
  /** What `fail` or `cancel` was given. */
  error: Json
  startedAt: Date
  finishedAt: Date | null
}

const identitySchema = z.strictObject({
  runId: idSchema,
  turnId: idSchema,
  modelStepId: idSchema,
  toolCallId: idSchema,
})

export const toolExecutionInputSchema = z.strictObject({
  executionId: idSchema.optional(),
  identity: identitySchema,
  toolName: idSchema,
  input: jsonSchema.optional(),
})
export interface ToolExecutionInput {
  /** Default: that of the identity, see `toolExecutionId`. */
  executionId?: string | undefined
  identity: ToolExecutionIdentity
  toolName: string
  /** Any JSON. Default null. */
  input?: unknown
}

/**
 * The id of an execution that was started without one: the same identity has the same id, in every process.
 * Errors: INVALID_INPUT.
 */
export function toolExecutionId(identity: ToolExecutionIdentity): string {
  return idOf(parseInput(identitySchema, identity, 'identity'))
}

function idOf({ runId, turnId, modelStepId, toolCallId }: ToolExecutionIdentity): string {
  const unambiguous = JSON.stringify([runId, turnId, modelStepId, toolCallId])
  return createHash('sha256').update(unambiguous).digest('hex')
}

type Row = ToolExecutionIdentity & Omit<ToolExecution, 'identity'>

const fields = ({ toolExecutions: { id, ...rest } }: Tables) => {
  const { runId, turnId, modelStepId, toolCallId, toolName, input, status, output, error, startedAt, finishedAt } = rest
  const identity = { runId, turnId, modelStepId, toolCallId }
  return { executionId: id, ...identity, toolName, input, status, output, error, startedAt, finishedAt }
}

type Start = Omit<Row, 'status' | 'output' | 'error' | 'finishedAt'>

const insertExecution = statement(({ orm, tables }, arg: Start) => {
  const { executionId, runId, turnId, modelStepId, toolCallId, toolName, input, startedAt } = arg
  return orm
    .insert(tables.toolExecutions)
    .values({ id: executionId, runId, turnId, modelStepId, toolCallId, toolName, input, status: 'running', startedAt })
    .onConflictDoNothing()
    .returning(fields(tables))
})

const selectExecution = statement(({ orm, tables }, arg: { id: string }) =>
  orm.select(fields(tables)).from(tables.toolExecutions).where(eq(tables.toolExecutions.id, arg.id)),
)

interface End {
  status: ToolExecutionStatus
  output: Json
  error: Json
}

const finishRunning = statement(({ orm, tables }, arg: End & { id: string; finishedAt: Date }) => {
  const { toolExecutions: e } = tables
  return orm
    .update(e)
    .set({ status: arg.status, output: arg.output, error: arg.error, finishedAt: arg.finishedAt })
    .where(and(eq(e.id, arg.id), eq(e.status, 'running')))
    .returning(fields(tables))
})

/**
 * What tools were called with and what came of it: running, then completed, failed or cancelled, and never anything
 * else afterwards. Whoever starts an execution runs the tool; after a crash the record says how far it got.
 */
export class ToolExecutions {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /**
   * Records that a tool is about to run. Of any number of calls with one id, one is told 'started'; the others get the
   * record as it is by then, and must not run the tool. Safe to repeat. Errors: INVALID_INPUT.
   */
  async start(execution: ToolExecutionInput): Promise<{ status: 'started' | 'existing'; record: ToolExecution }> {
    const { identity, input = null, toolName, ...given } = parseInput(toolExecutionInputSchema, execution, 'execution')
    const executionId = given.executionId ?? idOf(identity)
    const row = { executionId, ...identity, toolName, input, startedAt: this.#context.now() }
    const started = await insertExecution.first(this.#db, row)
    if (started !== undefined) return { status: 'started', record: recordOf(started) }
    return { status: 'existing', record: await this.#stored(executionId) }
  }

  /**
   * running -> completed. Safe to repeat with the same output.
   * Errors: NOT_FOUND, INVALID_STATE (it ended otherwise, or with another output), INVALID_INPUT.
   */
  async complete(executionId: string, output: unknown = null): Promise<ToolExecution> {
    const end = { status: 'completed', output: parseInput(jsonSchema, output, 'output'), error: null } as const
    return this.#finish(executionId, end)
  }

  /** running -> failed. The error is JSON, such as `{ message }`. Errors and repeats as for `complete`. */
  async fail(executionId: string, error: unknown = null): Promise<ToolExecution> {
    const end = { status: 'failed', output: null, error: parseInput(jsonSchema, error, 'error') } as const
    return this.#finish(executionId, end)
  }

  /** running -> cancelled; the reason is the record's `error`. Errors and repeats as for `complete`. */
  async cancel(executionId: string, reason: unknown = null): Promise<ToolExecution> {
    const end = { status: 'cancelled', output: null, error: parseInput(jsonSchema, reason, 'reason') } as const
    return this.#finish(executionId, end)
  }

  /** The record, or undefined. */
  async get(executionId: string): Promise<ToolExecution | undefined> {
    parseInput(idSchema, executionId, 'executionId')
    const row = await selectExecution.first(this.#db, { id: executionId })
    return row && recordOf(row)
  }

  async #finish(executionId: string, end: End): Promise<ToolExecution> {
    const id = parseInput(idSchema, executionId, 'executionId')
    const finished = await finishRunning.first(this.#db, { id, ...end, finishedAt: this.#context.now() })
    if (finished !== undefined) return recordOf(finished)
    const stored = await this.#stored(id)
    if (isSameEnd(stored, end)) return stored
    const state = stored.status === end.status ? `${end.status} with something else` : stored.status
    throw new StorageError('INVALID_STATE', `The execution is already ${state}: it cannot become ${end.status}`, {
      details: { executionId: id, status: stored.status },
    })
  }

  async #stored(executionId: string): Promise<ToolExecution> {
    const row = await selectExecution.first(this.#db, { id: executionId })
    if (row === undefined) {
      throw new StorageError('NOT_FOUND', 'There is no such tool execution: start it first', {
        details: { executionId },
      })
    }
    return recordOf(row)
  }
}

function recordOf({ runId, turnId, modelStepId, toolCallId, ...record }: Row): ToolExecution {
  return { ...record, identity: { runId, turnId, modelStepId, toolCallId } }
}

/** Whether both say the same, as JSON: the order of keys aside. */
function isSameEnd(stored: ToolExecution, end: End): boolean {
  const { status, output, error }: End = JSON.parse(JSON.stringify(end))
  const said = { status: stored.status, output: stored.output, error: stored.error }
  return isDeepStrictEqual(said, { status, output, error })
}
