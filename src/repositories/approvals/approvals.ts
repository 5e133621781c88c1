import type { Db } from '../../database/db.ts'
import { mapPage, type Page } from '../../database/paging/page.ts'
import { StorageError } from '../../errors.ts'
import type { Given, Json } from '../../schema/values.ts'
import { idSchema, parseInput } from '../../validation/input.ts'
import { jsonSchema } from '../../validation/json.ts'
import type { RepositoryContext } from '../context.ts'
import { insertedOrFound } from '../inserted-or-found.ts'
import { orderedId } from '../ordered-id.ts'
import { homeOfScope, scopeOf } from '../scope.ts'
import {
  type ApprovalRow,
  deleteApproval,
  deleteState,
  insertApproval,
  listApprovals,
  listPendingApprovals,
  respondIfPending,
  selectApproval,
  selectRequested,
  selectState,
  upsertState,
} from './statements.ts'
import {
  type Approval,
  type ApprovalInput,
  type ApprovalResponse,
  type ApprovalResponseInput,
  approvalInputSchema,
  approvalResponseSchema,
  type ListApprovalsOptions,
  type ListPendingOptions,
  listOptionsSchema,
  pendingOptionsSchema,
} from './types.ts'

/** Approvals: requests to a person and their responses. Also one state of the program's choice per session, and a global one. */
export class Approvals {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /**
   * Stores an approval request and returns the approval. An approval that exists by this id is left as it is and returned,
   * with its response if there is one by now. Safe to repeat with an id.
   *
   * @typeParam Request The expected type of the request. It is not checked.
   * @typeParam Data The expected type of the response's data. It is not checked.
   * @throws {INVALID_INPUT} when a field is not valid.
   *
   * @example
   * ```ts
   * const approval = await storage.approvals.request({ type: 'tool', request: { tool: 'shell', command: 'make' } })
   * console.log(approval.response) // null
   * ```
   */
  request<Request = Json, Data = Json>(request: ApprovalInput<Request>): Promise<Approval<Request, Data>>
  async request(request: ApprovalInput): Promise<Approval> {
    const now = this.#context.now()
    const input = parseInput(approvalInputSchema, request, 'request')
    const { id = orderedId(now), sessionId = null, type, request: question = null } = input
    const row = { id, sessionId, type, request: question, createdAt: now }
    const stored = await insertedOrFound(
      () => insertApproval.first(this.#db, row),
      () => selectRequested.first(this.#db, row),
    )
    return approvalOf(stored?.row ?? throwNotFound(id))
  }

  /**
   * Returns an approval, or undefined if there is none.
   *
   * @typeParam Request The expected type of the request. It is not checked.
   * @typeParam Data The expected type of the response's data. It is not checked.
   * @throws {INVALID_INPUT} when the id is not valid.
   *
   * @example
   * ```ts
   * await storage.approvals.request({ id: 'build', type: 'tool' })
   * console.log((await storage.approvals.get('build'))?.response) // null
   * ```
   */
  get<Request = Json, Data = Json>(id: string): Promise<Approval<Request, Data> | undefined>
  async get(id: string): Promise<Approval | undefined> {
    parseInput(idSchema, id, 'id')
    const row = await selectApproval.first(this.#db, { id })
    return row && approvalOf(row)
  }

  /**
   * Responds to an approval request. The first response counts: its caller gets 'created', all later callers get
   * 'replayed', and all get the first response. Safe to repeat.
   *
   * @typeParam Data The expected type of the response's data. It is not checked.
   * @throws {NOT_FOUND} when there is no such approval.
   * @throws {INVALID_INPUT} when a field is not valid.
   *
   * @example
   * ```ts
   * const { id } = await storage.approvals.request({ type: 'tool', request: { tool: 'shell' } })
   * await storage.approvals.respond({ id, decision: 'approved' })
   * const second = await storage.approvals.respond({ id, decision: 'denied' })
   * console.log(second.status, second.response.decision) // replayed approved
   * ```
   */
  respond<Data = Json>(
    response: ApprovalResponseInput<Data>,
  ): Promise<{ status: 'created' | 'replayed'; response: ApprovalResponse<Data> }>
  async respond(
    response: ApprovalResponseInput,
  ): Promise<{ status: 'created' | 'replayed'; response: ApprovalResponse }> {
    const { id, decision, data = null } = parseInput(approvalResponseSchema, response, 'response')
    const responded = await respondIfPending.first(this.#db, { id, decision, data, respondedAt: this.#context.now() })
    const row = responded ?? (await selectApproval.first(this.#db, { id })) ?? throwNotFound(id)
    // The row has a response: this one, or the one that kept this one from being stored.
    return { status: responded ? 'created' : 'replayed', response: responseOf(row) as ApprovalResponse }
  }

  /**
   * Returns a page of the approvals without a response, oldest first.
   *
   * @typeParam Request The expected type of the request. It is not checked.
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.approvals.request({ id: 'build', type: 'tool', sessionId: 'chat' })
   * const { items } = await storage.approvals.listPending({ sessionId: 'chat' })
   * console.log(items.map(({ id }) => id)) // [ 'build' ]
   * ```
   */
  listPending<Request = Json>(options?: ListPendingOptions): Promise<Page<Approval<Request>>>
  async listPending(options: ListPendingOptions = {}): Promise<Page<Approval>> {
    const { sessionId, ...page } = parseInput(pendingOptionsSchema, options, 'options')
    return mapPage(await listPendingApprovals(this.#db, { pending: true, sessionId }, page, 'asc'), approvalOf)
  }

  /**
   * Returns a page of the approvals that match all given filters, newest first. A list by `status: 'responded'` reads the
   * pending approvals it passes as well.
   *
   * @typeParam Request The expected type of the request. It is not checked.
   * @typeParam Data The expected type of the response's data. It is not checked.
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * const { id } = await storage.approvals.request({ type: 'tool', sessionId: 'chat' })
   * await storage.approvals.respond({ id, decision: 'approved' })
   * const { items } = await storage.approvals.list({ sessionId: 'chat', status: 'responded' })
   * console.log(items[0]?.response?.decision) // approved
   * ```
   */
  list<Request = Json, Data = Json>(options?: ListApprovalsOptions): Promise<Page<Approval<Request, Data>>>
  async list(options: ListApprovalsOptions = {}): Promise<Page<Approval>> {
    const { status, sessionId, ownerId, ...page } = parseInput(listOptionsSchema, options, 'options')
    const filters = { sessionId, ownerId, ...(status && { [status]: true as const }) }
    return mapPage(await listApprovals(this.#db, filters, page, 'desc'), approvalOf)
  }

  /**
   * Removes an approval and its response. Returns true if the approval existed. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the id is not valid.
   *
   * @example
   * ```ts
   * await storage.approvals.request({ id: 'build', type: 'tool' })
   * console.log(await storage.approvals.delete('build')) // true
   * ```
   */
  async delete(id: string): Promise<boolean> {
    parseInput(idSchema, id, 'id')
    return (await deleteApproval.first(this.#db, { id })) !== undefined
  }

  /**
   * Returns the state of a session, or the global state if no session is given. Returns undefined if it was never set: the
   * state of a session does not fall back to the global state. Cached.
   *
   * @typeParam State The expected type of the state. It is not checked.
   * @throws {INVALID_INPUT} when the session id is not valid.
   *
   * @example
   * ```ts
   * await storage.approvals.setState({ mode: 'ask' })
   * console.log(await storage.approvals.getState()) // { mode: 'ask' }
   * console.log(await storage.approvals.getState('chat')) // undefined
   * ```
   */
  getState<State = Json>(sessionId?: string): Promise<State | undefined>
  async getState(sessionId?: string): Promise<Json | undefined> {
    const scope = scopeOf(sessionId)
    const load = (db = this.#db) => selectState.first(db, { scope })
    return (await this.#context.cache.read('approvalStates', scope, load))?.state
  }

  /**
   * Creates or replaces the state of a session, or the global state if no session is given. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the state is not JSON or the session id is not valid.
   *
   * @example
   * ```ts
   * await storage.approvals.setState({ mode: 'auto', until: '2026-05-01' }, 'chat')
   * console.log(await storage.approvals.getState('chat')) // { mode: 'auto', until: '2026-05-01' }
   * ```
   */
  setState<State = Json>(state: Given<State, Json, unknown>, sessionId?: string): Promise<void>
  async setState(state: unknown, sessionId?: string): Promise<void> {
    const scope = scopeOf(sessionId)
    const row = { scope, state: parseInput(jsonSchema, state, 'state'), updatedAt: this.#context.now() }
    const home = await homeOfScope(this.#db, this.#context, scope)
    await home.cache.write([['approvalStates', scope]], (db = home.db) => upsertState.all(db, row))
  }

  /**
   * Removes the state of a session, or the global state if no session is given. Returns true if the state existed. Safe to
   * repeat.
   *
   * @throws {INVALID_INPUT} when the session id is not valid.
   *
   * @example
   * ```ts
   * await storage.approvals.setState({ mode: 'auto' }, 'chat')
   * console.log(await storage.approvals.deleteState('chat')) // true
   * ```
   */
  async deleteState(sessionId?: string): Promise<boolean> {
    const scope = scopeOf(sessionId)
    const home = await homeOfScope(this.#db, this.#context, scope)
    const rows = [['approvalStates', scope]] as const
    const deleted = await home.cache.write(rows, (db = home.db) => deleteState.first(db, { scope }))
    return deleted !== undefined
  }
}

function throwNotFound(id: string): never {
  throw new StorageError('NOT_FOUND', 'There is no such approval request', { details: { id } })
}

function approvalOf(row: ApprovalRow): Approval {
  const { id, ownerId, sessionId, type, request, createdAt } = row
  return { id, ownerId, sessionId, type, request, createdAt, response: responseOf(row) }
}

function responseOf({ id, decision, data, respondedAt }: ApprovalRow): ApprovalResponse | null {
  return decision === null || respondedAt === null ? null : { id, decision, data, respondedAt }
}
