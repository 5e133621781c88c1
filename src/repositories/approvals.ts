import { and, eq, isNull } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../database/db.ts'
import { pagedQuery } from '../database/paging/list-query.ts'
import { mapPage, type Page, type PageOptions, pageSchema } from '../database/paging/page.ts'
import { statement } from '../database/statement.ts'
import { StorageError } from '../errors.ts'
import type { Tables } from '../schema/tables.ts'
import type { ApprovalDecision, Given, Json } from '../schema/values.ts'
import { idSchema, parseInput, textSchema } from '../validation/input.ts'
import { jsonSchema } from '../validation/json.ts'
import type { RepositoryContext } from './context.ts'
import { orderedId } from './ordered-id.ts'
import { scopeOf } from './scope.ts'

/** The response to an approval request. */
export interface ApprovalResponse<Data = Json> {
  /** The id of the approval. */
  id: string
  /** Any text the program chooses, such as 'approved' or 'denied'. */
  decision: ApprovalDecision
  data: Data
  respondedAt: Date
}

/** An approval request, with its response once there is one. */
export interface Approval<Request = Json, Data = Json> {
  id: string
  sessionId: string | null
  type: string
  request: Request
  createdAt: Date
  /** Null while the approval is pending. */
  response: ApprovalResponse<Data> | null
}

export const approvalInputSchema = z.strictObject({
  id: idSchema.optional(),
  sessionId: idSchema.nullable().optional(),
  type: textSchema({ min: 1, max: 255 }),
  request: jsonSchema.optional(),
})

export interface ApprovalInput<Request = Json> {
  /** 1 to 255 bytes. Default: a new UUID. With an id the request is safe to repeat. */
  id?: string | undefined
  /** 1 to 255 bytes. Default null. The approval is removed with the session. */
  sessionId?: string | null | undefined
  /** The kind of thing to approve, such as 'tool'. 1 to 255 characters. */
  type: string
  /** What the person who decides needs to know: any JSON. Default null. */
  request?: Given<Request, Json, unknown> | undefined
}

export const approvalResponseSchema = z.strictObject({
  id: idSchema,
  decision: textSchema({ min: 1, max: 100 }),
  data: jsonSchema.optional(),
})

export interface ApprovalResponseInput<Data = Json> {
  /** The id of the approval. */
  id: string
  /** 1 to 100 characters, such as 'approved' or 'denied'. */
  decision: ApprovalDecision
  /** Any JSON. Default null. */
  data?: Given<Data, Json, unknown> | undefined
}

const listOptionsSchema = z.strictObject({
  sessionId: idSchema.optional(),
  ...pageSchema.shape,
})

export interface ListPendingOptions extends PageOptions {
  /** Only approvals of this session. Default: all sessions, and approvals without a session. */
  sessionId?: string | undefined
}

type Row = Omit<Approval, 'response'> & { decision: ApprovalDecision | null; data: Json; respondedAt: Date | null }

const approvalColumns = ({ approvals: a }: Tables) => ({
  id: a.id,
  sessionId: a.sessionId,
  type: a.type,
  request: a.request,
  createdAt: a.createdAt,
  decision: a.decision,
  data: a.response,
  respondedAt: a.respondedAt,
})

const insertApproval = statement(
  ({ orm, tables }, { id, sessionId, type, request, createdAt }: Omit<Approval, 'response'>) =>
    orm
      .insert(tables.approvals)
      .values({ id, sessionId, type, request, createdAt })
      .onConflictDoNothing()
      .returning(approvalColumns(tables)),
)

const selectApproval = statement(({ orm, tables }, arg: { id: string }) =>
  orm.select(approvalColumns(tables)).from(tables.approvals).where(eq(tables.approvals.id, arg.id)),
)

const respondIfPending = statement(({ orm, tables }, { id, decision, data, respondedAt }: ApprovalResponse) =>
  orm
    .update(tables.approvals)
    .set({ decision, response: data, respondedAt })
    .where(and(eq(tables.approvals.id, id), isNull(tables.approvals.respondedAt)))
    .returning(approvalColumns(tables)),
)

const listPending = pagedQuery({
  name: 'approvals',
  select: ({ orm, tables }) => orm.select(approvalColumns(tables)).from(tables.approvals),
  filters: {
    pending: ({ approvals }, _: true) => isNull(approvals.respondedAt),
    sessionId: ({ approvals }, sessionId: string) => eq(approvals.sessionId, sessionId),
  },
  orderBy: [
    { name: 'createdAt', kind: 'instant', column: ({ approvals }) => approvals.createdAt },
    { name: 'id', kind: 'text', column: ({ approvals }) => approvals.id },
  ],
})

interface StateWrite {
  scope: string
  state: Json
  updatedAt: Date
}

const upsertState = statement(({ orm, tables: { approvalStates: s } }, { scope, state, updatedAt }: StateWrite) =>
  orm.insert(s).values({ scope, state, updatedAt }).onConflictDoUpdate({ target: s.scope, set: { state, updatedAt } }),
)

const selectState = statement(({ orm, tables: { approvalStates: s } }, arg: { scope: string }) =>
  orm.select().from(s).where(eq(s.scope, arg.scope)),
)

const deleteState = statement(({ orm, tables: { approvalStates: s } }, arg: { scope: string }) =>
  orm.delete(s).where(eq(s.scope, arg.scope)).returning({ scope: s.scope }),
)

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
    return approvalOf((await insertApproval.first(this.#db, row)) ?? (await this.#getOrThrow(id)))
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
    const row = responded ?? (await this.#getOrThrow(id))
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
    const { sessionId, ...page } = parseInput(listOptionsSchema, options, 'options')
    return mapPage(await listPending(this.#db, { pending: true, sessionId }, page, 'asc'), approvalOf)
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
    await this.#context.cache.write([['approvalStates', scope]], (db = this.#db) => upsertState.all(db, row))
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
    const rows = [['approvalStates', scope]] as const
    const deleted = await this.#context.cache.write(rows, (db = this.#db) => deleteState.first(db, { scope }))
    return deleted !== undefined
  }

  async #getOrThrow(id: string): Promise<Row> {
    const row = await selectApproval.first(this.#db, { id })
    if (row === undefined) throw new StorageError('NOT_FOUND', 'There is no such approval request', { details: { id } })
    return row
  }
}

function approvalOf(row: Row): Approval {
  const { id, sessionId, type, request, createdAt } = row
  return { id, sessionId, type, request, createdAt, response: responseOf(row) }
}

function responseOf({ id, decision, data, respondedAt }: Row): ApprovalResponse | null {
  return decision === null || respondedAt === null ? null : { id, decision, data, respondedAt }
}
