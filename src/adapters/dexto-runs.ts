import { isStorageError } from '../errors.ts'
import type { Approval } from '../repositories/approvals/types.ts'
import type { AgentEvent } from '../repositories/events.ts'
import type { ToolExecution, ToolExecutionIdentity } from '../repositories/tool-executions/types.ts'
import type { Json } from '../schema/values.ts'
import type { Storage, StorageScope } from '../storage/types.ts'
import { itemsOf } from './parts.ts'
import { decode, encode } from './tagged-json.ts'

interface DextoRequest {
  approvalId: string
  type: string
  sessionId?: string
}

interface DextoResponse {
  approvalId: string
  status: string
}

/** Dexto's approvals, as ours. */
export class ApprovalStore {
  readonly #storage: Storage | StorageScope

  constructor(storage: Storage | StorageScope) {
    this.#storage = storage
  }

  /** Returns the request that is stored: the first one with its id. */
  async createRequest({ request }: { request: DextoRequest }): Promise<unknown> {
    const { approvalId: id, type, sessionId } = request
    return requestOf(await this.#storage.approvals.request({ id, type, sessionId, request: encode(request) }))
  }

  async getRequest({ approvalId }: { approvalId: string }): Promise<unknown> {
    const approval = await this.#storage.approvals.get(approvalId)
    return approval && requestOf(approval)
  }

  async listPending({ sessionId }: { sessionId?: string }): Promise<unknown[]> {
    return (await itemsOf((page) => this.#storage.approvals.listPending({ ...page, sessionId }))).map(requestOf)
  }

  /**
   * Stores the first response to a request.
   *
   * @throws {NOT_FOUND} when there is no such request.
   */
  async saveResponse({
    response,
  }: {
    response: DextoResponse
  }): Promise<{ response: unknown; status: 'created' | 'replayed' }> {
    const { approvalId: id, status } = response
    const stored = await this.#storage.approvals.respond({ id, decision: status, data: encode(response) })
    return { response: decode(stored.response.data), status: stored.status }
  }

  async getResponse({ approvalId }: { approvalId: string }): Promise<unknown> {
    const response = (await this.#storage.approvals.get(approvalId))?.response
    return response ? decode(response.data) : undefined
  }

  async loadSessionState({ sessionId }: { sessionId?: string }): Promise<unknown> {
    const state = await this.#storage.approvals.getState(sessionId)
    return state === undefined ? { approvedKeys: {} } : decode(state)
  }

  async saveSessionState({ sessionId, state }: { sessionId?: string; state: unknown }): Promise<void> {
    await this.#storage.approvals.setState(encode(state), sessionId)
  }

  async deleteSessionState({ sessionId }: { sessionId?: string }): Promise<void> {
    await this.#storage.approvals.deleteState(sessionId)
  }
}

function requestOf({ request }: Approval): unknown {
  return decode(request)
}

type OfTool = { toolName: string; sessionId?: string }
type DextoPreferences = { userAutoApproveTools: string[]; disabledTools: string[] }

/** Which tools run without asking, in a session or everywhere. */
export class ToolPreferenceStore {
  readonly #storage: Storage | StorageScope

  constructor(storage: Storage | StorageScope) {
    this.#storage = storage
  }

  async allowTool({ toolName, sessionId }: OfTool): Promise<void> {
    await this.#storage.toolPreferences.allow(toolName, sessionId)
  }

  async disallowTool({ toolName, sessionId }: OfTool): Promise<void> {
    await this.#storage.toolPreferences.disallow(toolName, sessionId)
  }

  async isToolAllowed({ toolName, sessionId }: OfTool): Promise<boolean> {
    return this.#storage.toolPreferences.isAllowed(toolName, sessionId)
  }

  async listAllowedTools({ sessionId }: { sessionId?: string }): Promise<string[]> {
    return itemsOf((page) => this.#storage.toolPreferences.listAllowed({ ...page, sessionId }))
  }

  async loadSessionPreferences({ sessionId }: { sessionId: string }): Promise<DextoPreferences> {
    const { autoApproved = [], disabled = [] } = (await this.#storage.toolPreferences.getPreferences(sessionId)) ?? {}
    return { userAutoApproveTools: autoApproved, disabledTools: disabled }
  }

  async saveSessionPreferences(input: { sessionId: string; preferences: DextoPreferences }): Promise<void> {
    const { userAutoApproveTools: autoApproved, disabledTools: disabled } = input.preferences
    await this.#storage.toolPreferences.setPreferences({ autoApproved, disabled }, input.sessionId)
  }

  async deleteSessionPreferences({ sessionId }: { sessionId: string }): Promise<void> {
    await this.#storage.toolPreferences.deletePreferences(sessionId)
  }
}

interface DextoEvent {
  id: string
  type: string
  occurredAt: Date
  sessionId?: string
  runId?: string
  payload: unknown
}

/** Dexto's events, as ours. */
export class RuntimeEventStore {
  readonly #storage: Storage | StorageScope

  constructor(storage: Storage | StorageScope) {
    this.#storage = storage
  }

  async append({ event }: { event: DextoEvent }): Promise<void> {
    const { payload, ...rest } = event
    await this.#storage.events.append({ ...rest, payload: encode(payload ?? null) })
  }

  /** Returns events in the order of their appends: all, or the newest `limit`. */
  async list({ limit, ...filters }: { sessionId?: string; runId?: string; limit?: number }): Promise<DextoEvent[]> {
    const { events } = this.#storage
    if (limit === undefined) return (await itemsOf((page) => events.list({ ...filters, ...page }))).map(eventOf)
    const newest = await itemsOf((page) => events.list({ ...filters, ...page, order: 'desc' }), limit)
    return newest.reverse().map(eventOf)
  }
}

function eventOf({ id, type, occurredAt, sessionId, runId, payload }: AgentEvent): DextoEvent {
  const ids = { ...(sessionId !== null && { sessionId }), ...(runId !== null && { runId }) }
  return { id, type, occurredAt, ...ids, payload: decode(payload) }
}

interface DextoExecution {
  executionId: string
  identity: ToolExecutionIdentity
  toolName: string
  input: unknown
}

type OfExecution = { executionId: string; completedAt: Date }

/** The properties of a result that Dexto keeps beside what the model sees. */
const RESULT_METADATA = [
  'presentationSnapshot',
  'display',
  'resultPresentation',
  'meta',
  'requireApproval',
  'approvalStatus',
]

/** Dexto's tool calls, as ours: a repeated call is not run twice. Their times are those of the storage. */
export class ToolExecutionStore {
  readonly #storage: Storage | StorageScope

  constructor(storage: Storage | StorageScope) {
    this.#storage = storage
  }

  async get({ executionId }: { executionId: string }): Promise<unknown> {
    const execution = await this.#storage.toolExecutions.get(executionId)
    return execution && recordOf(execution)
  }

  async start({ record }: { record: DextoExecution }): Promise<{ status: string; record: unknown }> {
    const { executionId, identity, toolName, input } = record
    const started = await this.#storage.toolExecutions.start({ executionId, identity, toolName, input: encode(input) })
    return { status: started.status, record: recordOf(started.record) }
  }

  /**
   * Completes a running execution. Returns its record.
   *
   * @throws {INVALID_STATE} when the execution has failed or was cancelled.
   */
  async complete({ executionId, result }: OfExecution & { result: Record<string, unknown> }): Promise<unknown> {
    const resultMetadata = Object.fromEntries(
      RESULT_METADATA.filter((name) => result[name] !== undefined).map((name) => [name, result[name]]),
    )
    const parts = { modelOutput: result.result, ...(Object.keys(resultMetadata).length > 0 && { resultMetadata }) }
    return this.#end(executionId, 'completed', () => this.#storage.toolExecutions.complete(executionId, encode(parts)))
  }

  /**
   * Notes that a running execution has failed. Returns its record.
   *
   * @throws {INVALID_STATE} when the execution is completed or was cancelled.
   */
  async fail({ executionId, error }: OfExecution & { error: string }): Promise<unknown> {
    return this.#end(executionId, 'failed', () => this.#storage.toolExecutions.fail(executionId, error))
  }

  /**
   * Cancels a running execution. Returns its record.
   *
   * @throws {INVALID_STATE} when the execution is completed or has failed.
   */
  async cancel({ executionId, reason }: OfExecution & { reason?: string }): Promise<unknown> {
    return this.#end(executionId, 'cancelled', () => this.#storage.toolExecutions.cancel(executionId, reason ?? null))
  }

  /** Ends an execution. If it has ended in the same way before, it stays as it is, and is returned. */
  async #end(
    executionId: string,
    status: ToolExecution['status'],
    end: () => Promise<ToolExecution>,
  ): Promise<unknown> {
    try {
      return recordOf(await end())
    } catch (error) {
      const ended = isStorageError(error, 'INVALID_STATE')
        ? await this.#storage.toolExecutions.get(executionId)
        : undefined
      if (ended?.status !== status) throw error
      return recordOf(ended)
    }
  }
}

function recordOf({
  executionId,
  identity,
  toolName,
  input,
  status,
  output,
  error,
  startedAt,
  finishedAt,
}: ToolExecution): unknown {
  const times = { startedAt, updatedAt: finishedAt ?? startedAt }
  const record = { executionId, identity, toolName, input: decode(input), status, ...times }
  if (finishedAt === null) return record
  const ended = { ...record, completedAt: finishedAt }
  if (status === 'completed') return { ...ended, ...(decode(output) as object) } // as `complete` made it
  if (status === 'failed') return { ...ended, error: textOf(error) }
  return error === null ? ended : { ...ended, reason: textOf(error) }
}

/** Returns an error as text. Another part of the program may have stored any JSON. */
function textOf(error: Json): string {
  return typeof error === 'string' ? error : JSON.stringify(error)
}
