import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { and, eq } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../database/db.ts'
import { statement } from '../database/statement.ts'
import { StorageError } from '../errors.ts'
import type { Tables } from '../schema/tables.ts'
import type { Given, Json, ToolExecutionStatus } from '../schema/values.ts'
import { idSchema, parseInput } from '../validation/input.ts'
import { jsonCopy, jsonSchema } from '../validation/json.ts'
import type { RepositoryContext } from './context.ts'

export type { ToolExecutionStatus }

/** Identifies a tool call: by its run, the turn of the run, the model step of the turn, and the call of the step. */
export interface ToolExecutionIdentity {
  runId: string
  turnId: string
  modelStepId: string
  toolCallId: string
}

/** The record of a tool call. */
export interface ToolExecution<Input = Json, Output = Json, Failure = Json> {
  executionId: string
  identity: ToolExecutionIdentity
  toolName: string
  input: Input
  status: ToolExecutionStatus
  /** The output given to `complete`, else null. */
  output: Output
  /** The error given to `fail`, or the reason given to `cancel`, else null. */
  error: Failure
  startedAt: Date
  /** Null while the status is 'running'. */
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

export interface ToolExecutionInput<Input = Json> {
  /** 1 to 255 bytes. Default: `toolExecutionId(identity)`. */
  executionId?: string | undefined
  /** Four ids of 1 to 255 bytes. */
  identity: ToolExecutionIdentity
  /** 1 to 255 bytes. */
  toolName: string
  /** Any JSON. Default null. */
  input?: Given<Input, Json, unknown> | undefined
}

/**
 * Returns the id that `start()` gives an execution if `executionId` is left out. The same identity has the same id in
 * every process.
 *
 * @throws {INVALID_INPUT} when one of the four ids is not valid.
 *
 * @example
 * ```ts
 * import { toolExecutionId } from 'holdfast'
 * const identity = { runId: 'r1', turnId: 't1', modelStepId: 'm2', toolCallId: 'c1' }
 * const { record } = await storage.toolExecutions.start({ identity, toolName: 'search' })
 * console.log(record.executionId === toolExecutionId(identity)) // true
 * ```
 */
export function toolExecutionId(identity: ToolExecutionIdentity): string {
  return hashOf(parseInput(identitySchema, identity, 'identity'))
}

function hashOf({ runId, turnId, modelStepId, toolCallId }: ToolExecutionIdentity): string {
  const unambiguous = JSON.stringify([runId, turnId, modelStepId, toolCallId])
  return createHash('sha256').update(unambiguous).digest('hex')
}

type Row = ToolExecutionIdentity & Omit<ToolExecution, 'identity'>

const toolExecutionColumns = ({ toolExecutions: e }: Tables) => ({
  executionId: e.id,
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

type NewExecution = Omit<Row, 'status' | 'output' | 'error' | 'finishedAt'>

const insertExecution = statement(({ orm, tables }, arg: NewExecution) => {
  const { executionId, runId, turnId, modelStepId, toolCallId, toolName, input, startedAt } = arg
  return orm
    .insert(tables.toolExecutions)
    .values({ id: executionId, runId, turnId, modelStepId, toolCallId, toolName, input, status: 'running', startedAt })
    .onConflictDoNothing()
    .returning(toolExecutionColumns(tables))
})

const selectExecution = statement(({ orm, tables }, arg: { id: string }) =>
  orm.select(toolExecutionColumns(tables)).from(tables.toolExecutions).where(eq(tables.toolExecutions.id, arg.id)),
)

/** How an execution ended. */
interface Outcome {
  status: ToolExecutionStatus
  output: Json
  error: Json
}

const finishIfRunning = statement(({ orm, tables }, arg: Outcome & { id: string; finishedAt: Date }) => {
  const { toolExecutions: e } = tables
  return orm
    .update(e)
    .set({ status: arg.status, output: arg.output, error: arg.error, finishedAt: arg.finishedAt })
    .where(and(eq(e.id, arg.id), eq(e.status, 'running')))
    .returning(toolExecutionColumns(tables))
})

/**
 * Tool executions: a record of each tool call. A record is running, then completed, failed or cancelled, and does not
 * change afterwards. The caller that starts an execution runs the tool. After a crash, the record says how far it got.
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
   * Starts an execution: records that a tool is about to run. Of all calls with one id, exactly one returns 'started',
   * and its caller runs the tool. The others return 'existing' with the current record, and their callers must not run
   * the tool. Safe to repeat.
   *
   * @typeParam Input The expected type of the input. It is not checked.
   * @typeParam Output The expected type of the output. It is not checked.
   * @typeParam Failure The expected type of the record's `error`. It is not checked.
   * @throws {INVALID_INPUT} when a field is not valid.
   *
   * @example
   * ```ts
   * const identity = { runId: 'r1', turnId: 't1', modelStepId: 'm2', toolCallId: 'c1' }
   * const { status } = await storage.toolExecutions.start({ identity, toolName: 'search', input: { q: 'Oslo' } })
   * const again = await storage.toolExecutions.start({ identity, toolName: 'search' })
   * console.log(status, again.status, again.record.input) // started existing { q: 'Oslo' }
   * ```
   */
  start<Input = Json, Output = Json, Failure = Json>(
    execution: ToolExecutionInput<Input>,
  ): Promise<{ status: 'started' | 'existing'; record: ToolExecution<Input, Output, Failure> }>
  async start(execution: ToolExecutionInput): Promise<{ status: 'started' | 'existing'; record: ToolExecution }> {
    const { identity, input = null, toolName, ...given } = parseInput(toolExecutionInputSchema, execution, 'execution')
    const executionId = given.executionId ?? hashOf(identity)
    const row = { executionId, ...identity, toolName, input, startedAt: this.#context.now() }
    const started = await insertExecution.first(this.#db, row)
    if (started !== undefined) return { status: 'started', record: recordOf(started) }
    return { status: 'existing', record: await this.#getOrThrow(executionId) }
  }

  /**
   * Completes a running execution with an output: any JSON, by default null. Safe to repeat with the same output.
   *
   * @typeParam Input The expected type of the input. It is not checked.
   * @typeParam Output The expected type of the output. It is not checked.
   * @typeParam Failure The expected type of the record's `error`. It is not checked.
   * @throws {NOT_FOUND} when there is no such execution.
   * @throws {INVALID_STATE} when the execution has failed or was cancelled, or completed with another output.
   * @throws {INVALID_INPUT} when the id is not valid or the output is not JSON.
   *
   * @example
   * ```ts
   * const identity = { runId: 'r1', turnId: 't1', modelStepId: 'm2', toolCallId: 'c1' }
   * const { record } = await storage.toolExecutions.start({ identity, toolName: 'search' })
   * const completed = await storage.toolExecutions.complete(record.executionId, { found: 3 })
   * console.log(completed.status, completed.output) // completed { found: 3 }
   * ```
   */
  complete<Input = Json, Output = Json, Failure = Json>(
    executionId: string,
    output?: Given<Output, Json, unknown>,
  ): Promise<ToolExecution<Input, Output, Failure>>
  async complete(executionId: string, output: unknown = null): Promise<ToolExecution> {
    return this.#finish(executionId, {
      status: 'completed',
      output: parseInput(jsonSchema, output, 'output'),
      error: null,
    })
  }

  /**
   * Fails a running execution with an error: any JSON, such as `{ message }`, by default null. Safe to repeat with the
   * same error.
   *
   * @typeParam Input The expected type of the input. It is not checked.
   * @typeParam Output The expected type of the output. It is not checked.
   * @typeParam Failure The expected type of the record's `error`. It is not checked.
   * @throws {NOT_FOUND} when there is no such execution.
   * @throws {INVALID_STATE} when the execution has completed or was cancelled, or failed with another error.
   * @throws {INVALID_INPUT} when the id is not valid or the error is not JSON.
   *
   * @example
   * ```ts
   * const identity = { runId: 'r1', turnId: 't1', modelStepId: 'm2', toolCallId: 'c1' }
   * const { record } = await storage.toolExecutions.start({ identity, toolName: 'search' })
   * const failed = await storage.toolExecutions.fail(record.executionId, { message: 'no network' })
   * console.log(failed.status, failed.error) // failed { message: 'no network' }
   * ```
   */
  fail<Input = Json, Output = Json, Failure = Json>(
    executionId: string,
    error?: Given<Failure, Json, unknown>,
  ): Promise<ToolExecution<Input, Output, Failure>>
  async fail(executionId: string, error: unknown = null): Promise<ToolExecution> {
    return this.#finish(executionId, {
      status: 'failed',
      output: null,
      error: parseInput(jsonSchema, error, 'error'),
    })
  }

  /**
   * Cancels a running execution. The reason, any JSON and by default null, becomes the record's `error`. Safe to repeat
   * with the same reason.
   *
   * @typeParam Input The expected type of the input. It is not checked.
   * @typeParam Output The expected type of the output. It is not checked.
   * @typeParam Failure The expected type of the record's `error`. It is not checked.
   * @throws {NOT_FOUND} when there is no such execution.
   * @throws {INVALID_STATE} when the execution has completed or failed, or was cancelled for another reason.
   * @throws {INVALID_INPUT} when the id is not valid or the reason is not JSON.
   *
   * @example
   * ```ts
   * const identity = { runId: 'r1', turnId: 't1', modelStepId: 'm2', toolCallId: 'c1' }
   * const { record } = await storage.toolExecutions.start({ identity, toolName: 'search' })
   * const cancelled = await storage.toolExecutions.cancel(record.executionId, 'the user pressed stop')
   * console.log(cancelled.status, cancelled.error) // cancelled the user pressed stop
   * ```
   */
  cancel<Input = Json, Output = Json, Failure = Json>(
    executionId: string,
    reason?: Given<Failure, Json, unknown>,
  ): Promise<ToolExecution<Input, Output, Failure>>
  async cancel(executionId: string, reason: unknown = null): Promise<ToolExecution> {
    return this.#finish(executionId, {
      status: 'cancelled',
      output: null,
      error: parseInput(jsonSchema, reason, 'reason'),
    })
  }

  /**
   * Returns the record of an execution, or undefined if there is none.
   *
   * @typeParam Input The expected type of the input. It is not checked.
   * @typeParam Output The expected type of the output. It is not checked.
   * @typeParam Failure The expected type of the record's `error`. It is not checked.
   * @throws {INVALID_INPUT} when the id is not valid.
   *
   * @example
   * ```ts
   * const identity = { runId: 'r1', turnId: 't1', modelStepId: 'm2', toolCallId: 'c1' }
   * await storage.toolExecutions.start({ executionId: 'search-1', identity, toolName: 'search' })
   * console.log((await storage.toolExecutions.get('search-1'))?.status) // running
   * ```
   */
  get<Input = Json, Output = Json, Failure = Json>(
    executionId: string,
  ): Promise<ToolExecution<Input, Output, Failure> | undefined>
  async get(executionId: string): Promise<ToolExecution | undefined> {
    parseInput(idSchema, executionId, 'executionId')
    const row = await selectExecution.first(this.#db, { id: executionId })
    return row && recordOf(row)
  }

  async #finish(executionId: string, outcome: Outcome): Promise<ToolExecution> {
    const id = parseInput(idSchema, executionId, 'executionId')
    const finished = await finishIfRunning.first(this.#db, { id, ...outcome, finishedAt: this.#context.now() })
    if (finished !== undefined) return recordOf(finished)
    const stored = await this.#getOrThrow(id)
    if (isSameOutcome(stored, outcome)) return stored
    const state = stored.status === outcome.status ? `${outcome.status} with another outcome` : stored.status
    throw new StorageError('INVALID_STATE', `The execution is already ${state}: it cannot become ${outcome.status}`, {
      details: { executionId: id, status: stored.status },
    })
  }

  async #getOrThrow(executionId: string): Promise<ToolExecution> {
    const row = await selectExecution.first(this.#db, { id: executionId })
    if (row === undefined) {
      throw new StorageError('NOT_FOUND', 'There is no such tool execution: start it first', {
        details: { id: executionId },
      })
    }
    return recordOf(row)
  }
}

function recordOf({ runId, turnId, modelStepId, toolCallId, ...record }: Row): ToolExecution {
  return { ...record, identity: { runId, turnId, modelStepId, toolCallId } }
}

/** Returns true if the record has this outcome as JSON: without what JSON drops, and in any order of keys. */
function isSameOutcome(stored: ToolExecution, outcome: Outcome): boolean {
  const fieldsOf = ({ status, output, error }: Outcome) => [status, output, error]
  return isDeepStrictEqual(fieldsOf(stored), jsonCopy(fieldsOf(outcome)))
}
