import { isDeepStrictEqual } from 'node:util'
import type { Db } from '../../database/db.ts'
import { mapPage, type Page } from '../../database/paging/page.ts'
import { StorageError } from '../../errors.ts'
import type { Given, Json } from '../../schema/values.ts'
import { idSchema, parseInput } from '../../validation/input.ts'
import { jsonCopy, jsonSchema } from '../../validation/json.ts'
import type { RepositoryContext } from '../context.ts'
import { insertedOrFound } from '../inserted-or-found.ts'
import { hashOf } from './execution-id.ts'
import {
  deleteExecution,
  type ExecutionRow,
  finishIfRunning,
  insertExecution,
  listExecutions,
  listExecutionsOfRun,
  type Outcome,
  selectExecution,
  selectStarted,
} from './statements.ts'
import {
  type ListToolExecutionsOptions,
  listOptionsSchema,
  type ToolExecution,
  type ToolExecutionInput,
  toolExecutionInputSchema,
} from './types.ts'

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
    const stored = await insertedOrFound(
      () => insertExecution.first(this.#db, row),
      () => selectStarted.first(this.#db, { id: executionId }),
    )
    if (stored === undefined) throwNotFound(executionId)
    return { status: stored.isNew ? 'started' : 'existing', record: recordOf(stored.row) }
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

  /**
   * Returns a page of the executions that match all given filters, newest first. After a crash, `status: 'running'` finds
   * what was under way. An index serves the running executions, those of a run, and all of them; a list by another status
   * reads the executions it passes as well.
   *
   * @typeParam Input The expected type of the input. It is not checked.
   * @typeParam Output The expected type of the output. It is not checked.
   * @typeParam Failure The expected type of the record's `error`. It is not checked.
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * const identity = { runId: 'r1', turnId: 't1', modelStepId: 'm2', toolCallId: 'c1' }
   * await storage.toolExecutions.start({ executionId: 'search-1', identity, toolName: 'search' })
   * const { items } = await storage.toolExecutions.list({ status: 'running', runId: 'r1' })
   * console.log(items.map(({ executionId }) => executionId)) // [ 'search-1' ]
   * ```
   */
  list<Input = Json, Output = Json, Failure = Json>(
    options?: ListToolExecutionsOptions,
  ): Promise<Page<ToolExecution<Input, Output, Failure>>>
  async list(options: ListToolExecutionsOptions = {}): Promise<Page<ToolExecution>> {
    const { status, runId, ownerId, ...page } = parseInput(listOptionsSchema, options, 'options')
    const filters = status === 'running' ? { running: true as const, ownerId } : { status, ownerId }
    const rows =
      runId === undefined
        ? await listExecutions(this.#db, filters, page, 'desc')
        : await listExecutionsOfRun(this.#db, { partition: runId, ...filters }, page, 'desc')
    return mapPage(rows, recordOf)
  }

  /**
   * Removes the record of an execution, even if it is running. Returns true if it existed. A `start()` with its id then
   * returns 'started' again, so remove only what no process repeats any more. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the id is not valid.
   *
   * @example
   * ```ts
   * const identity = { runId: 'r1', turnId: 't1', modelStepId: 'm2', toolCallId: 'c1' }
   * const { record } = await storage.toolExecutions.start({ identity, toolName: 'search' })
   * console.log(await storage.toolExecutions.delete(record.executionId)) // true
   * ```
   */
  async delete(executionId: string): Promise<boolean> {
    const id = parseInput(idSchema, executionId, 'executionId')
    return (await deleteExecution.first(this.#db, { id })) !== undefined
  }

  async #finish(executionId: string, outcome: Outcome): Promise<ToolExecution> {
    const id = parseInput(idSchema, executionId, 'executionId')
    const finished = await finishIfRunning.first(this.#db, { id, ...outcome, finishedAt: this.#context.now() })
    if (finished !== undefined) return recordOf(finished)
    const stored = recordOf((await selectExecution.first(this.#db, { id })) ?? throwNotFound(id))
    if (isSameOutcome(stored, outcome)) return stored
    const state = stored.status === outcome.status ? `${outcome.status} with another outcome` : stored.status
    throw new StorageError('INVALID_STATE', `The execution is already ${state}: it cannot become ${outcome.status}`, {
      details: { executionId: id, status: stored.status },
    })
  }
}

function throwNotFound(id: string): never {
  throw new StorageError('NOT_FOUND', 'There is no such tool execution: start it first', { details: { id } })
}

function recordOf({ runId, turnId, modelStepId, toolCallId, ...record }: ExecutionRow): ToolExecution {
  return { ...record, identity: { runId, turnId, modelStepId, toolCallId } }
}

/** Returns true if the record has this outcome as JSON: without what JSON drops, and in any order of keys. */
function isSameOutcome(stored: ToolExecution, outcome: Outcome): boolean {
  const fieldsOf = ({ status, output, error }: Outcome) => [status, output, error]
  return isDeepStrictEqual(fieldsOf(stored), jsonCopy(fieldsOf(outcome)))
}
