import { and, eq, isNull } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../database/db.ts'
import { pagedQuery } from '../database/paging/list-query.ts'
import { type Page, type PageOptions, pageSchema } from '../database/paging/page.ts'
import { statement } from '../database/statement.ts'
import { StorageError } from '../errors.ts'
import type { Tables } from '../schema/tables.ts'
import type { Json } from '../schema/values.ts'
import { idSchema, parseInput, textSchema } from '../validation/input.ts'
import { jsonSchema } from '../validation/json.ts'
import type { RepositoryContext } from './context.ts'
import { orderedId } from './ordered-id.ts'
import { scopeOf } from './scope.ts'

export interface ApprovalResponse {
  /** Of the approval it answers. */
  id: string
  /** Such as 'approved' or 'denied'; the words are the program's. */
  decision: string
  data: Json
  respondedAt: Date
}

export interface Approval {
  id: string
  sessionId: string | null
  type: string
  request: Json
  createdAt: Date
  /** Null while it is pending. */
  response: ApprovalResponse | null
}

export const approvalInputSchema = z.strictObject({
  id: idSchema.optional(),
  sessionId: idSchema.nullable().optional(),
  type: textSchema({ min: 1, max: 255 }),
  request: jsonSchema.optional(),
})
export interface ApprovalInput {
  /** Generated unless given. With an id the request may be repeated. */
  id?: string | undefined
  sessionId?: string | null | undefined
  /** What kind of thing is to be approved, such as 'tool'. */
  type: string
  /** What whoever decides needs to know: any JSON. Default null. */
  request?: unknown
}

export const approvalResponseSchema = z.strictObject({
  id: idSchema,
  decision: textSchema({ min: 1, max: 100 }),
  data: jsonSchema.optional(),
})
export interface ApprovalResponseInput {
  id: string
  decision: string
  /** Any JSON. Default null. */
  data?: unknown
}

const listSchema = z.strictObject({
  sessionId: idSchema.optional(),
  ...pageSchema.shape,
})

type Row = Omit<Approval, 'response'> & { decision: string | null; data: Json; respondedAt: Date | null }

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

const respondFirst = statement(({ orm, tables }, { id, decision, data, respondedAt }: ApprovalResponse) =>
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

interface State {
  scope: string
  state: Json
  updatedAt: Date
}

const upsertState = statement(({ orm, tables: { approvalStates: s } }, { scope, state, updatedAt }: State) =>
  orm.insert(s).values({ scope, state, updatedAt }).onConflictDoUpdate({ target: s.scope, set: { state, updatedAt } }),
)

const selectState = statement(({ orm, tables: { approvalStates: s } }, arg: { scope: string }) =>
  orm.select().from(s).where(eq(s.scope, arg.scope)),
)

const deleteState = statement(({ orm, tables: { approvalStates: s } }, arg: { scope: string }) =>
  orm.delete(s).where(eq(s.scope, arg.scope)).returning({ scope: s.scope }),
)

/** Questions to whoever decides and their answers; beside them a state of the program's own, a session's and a global one. */
export class Approvals {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /**
   * Asks; resolves to the stored approval. One that is there by its id is never overwritten, so with an id a repeat is
   * safe, and shows whether it was answered meanwhile. Errors: INVALID_INPUT.
   */
  async request(request: ApprovalInput): Promise<Approval> {
    const now = this.#context.now()
    const input = parseInput(approvalInputSchema, request, 'request')
    const { id = orderedId(now), sessionId = null, type, request: question = null } = input
    const row = { id, sessionId, type, request: question, createdAt: now }
    return approvalOf((await insertApproval.first(this.#db, row)) ?? (await this.#stored(id)))
  }

  /** The approval, or undefined. */
  async get(id: string): Promise<Approval | undefined> {
    parseInput(idSchema, id, 'id')
    const row = await selectApproval.first(this.#db, { id })
    return row && approvalOf(row)
  }

  /**
   * Answers. The first response counts: one caller is told 'created', all others 'replayed', and everyone gets the
   * response that counts. Safe to repeat. Errors: NOT_FOUND, INVALID_INPUT.
   */
  async respond(
    response: ApprovalResponseInput,
  ): Promise<{ status: 'created' | 'replayed'; response: ApprovalResponse }> {
    const { id, decision, data = null } = parseInput(approvalResponseSchema, response, 'response')
    const first = await respondFirst.first(this.#db, { id, decision, data, respondedAt: this.#context.now() })
    const row = first ?? (await this.#stored(id))
    return { status: first ? 'created' : 'replayed', response: responseOf(row) as ApprovalResponse } // it has one by now
  }

  /** Approvals without a response, the oldest first; of one session, or of all. */
  async listPending(options: { sessionId?: string | undefined } & PageOptions = {}): Promise<Page<Approval>> {
    const { sessionId, ...page } = parseInput(listSchema, options, 'options')
    const { items, ...rest } = await listPending(this.#db, { pending: true, sessionId }, page, 'asc')
    return { items: items.map(approvalOf), ...rest }
  }

  /** The state of a session, or the global one; undefined where there is none. A session's does not fall back to the global. Cached. */
  async getState(sessionId?: string): Promise<Json | undefined> {
    const scope = scopeOf(sessionId)
    const load = (db = this.#db) => selectState.first(db, { scope })
    return (await this.#context.cache.read('approvalStates', scope, load))?.state
  }

  /** Writes the state of a session, or the global one. Errors: INVALID_INPUT. Safe to repeat. */
  async setState(state: unknown, sessionId?: string): Promise<void> {
    const scope = scopeOf(sessionId)
    const row = { scope, state: parseInput(jsonSchema, state, 'state'), updatedAt: this.#context.now() }
    await this.#context.cache.write([['approvalStates', scope]], () => upsertState.all(this.#db, row))
  }

  /** Whether there was one. Safe to repeat. */
  async deleteState(sessionId?: string): Promise<boolean> {
    const scope = scopeOf(sessionId)
    const rows = [['approvalStates', scope]] as const
    const deleted = await this.#context.cache.write(rows, () => deleteState.first(this.#db, { scope }))
    return deleted !== undefined
  }

  async #stored(id: string): Promise<Row> {
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
