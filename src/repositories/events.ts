import { and, eq, inArray, lt, lte, sql } from 'drizzle-orm'
import * as z from 'zod/mini'
import type { Db } from '../database/db.ts'
import { isVisible, ofOwner, ownerOfSession } from '../database/owner.ts'
import { notIndexable } from '../database/paging/keyset.ts'
import { cursorOf, pagedQuery } from '../database/paging/list-query.ts'
import { DEFAULT_LIMIT, type Order, type Page, type PageOptions, pageSchema } from '../database/paging/page.ts'
import { SettledEvents } from '../database/settled-events.ts'
import { type Builder, batch, rowsStatement, statement } from '../database/statement.ts'
import { StorageError } from '../errors.ts'
import type { Tables } from '../schema/tables.ts'
import type { Given, Json } from '../schema/values.ts'
import { rule } from '../validation/fast-path.ts'
import {
  idSchema,
  instantSchema,
  isInteger,
  parseInput,
  rejectDuplicateIds,
  signalSchema,
  textSchema,
} from '../validation/input.ts'
import { jsonSchema } from '../validation/json.ts'
import type { RepositoryContext } from './context.ts'
import type { EventsPage } from './events-page.ts'
import { followPages } from './follow-events.ts'
import { orderedId } from './ordered-id.ts'

/** Something that happened in a session or run. Stored once and never changed. */
export interface AgentEvent<Payload = Json> {
  /**
   * The position in the log. Rises with every append of one process, with gaps. On PostgreSQL an event may become visible
   * after events with greater seqs, when its transaction commits: `follow` waits for it.
   */
  seq: number
  /** Unique among the events of one owner. */
  id: string
  /** Whose event it is: the owner of its session or of the scope. '' if nobody owns it. */
  ownerId: string
  type: string
  sessionId: string | null
  runId: string | null
  payload: Payload
  occurredAt: Date
}

const typeSchema = textSchema({ min: 1, max: 255 })

export const eventInputSchema = z.strictObject({
  id: z.optional(idSchema),
  type: typeSchema,
  sessionId: z.optional(z.nullable(idSchema)),
  runId: z.optional(z.nullable(idSchema)),
  payload: z.optional(jsonSchema),
  occurredAt: z.optional(instantSchema),
})

export interface EventInput<Payload = Json> {
  /** 1 to 255 bytes. Default: a new UUID. With an id the append is safe to repeat. */
  id?: string | undefined
  /** 1 to 255 characters, such as 'run.started'. */
  type: string
  /** 1 to 255 bytes. Default null. The event is removed with the session. */
  sessionId?: string | null | undefined
  /** 1 to 255 bytes. Default null. */
  runId?: string | null | undefined
  /** Any JSON. Default null. */
  payload?: Given<Payload, Json, unknown> | undefined
  /** Default: now. Does not affect the order of a list, which is the order of the appends. */
  occurredAt?: Date | undefined
}

const MAX_APPEND = 1000
const appendSchema = z.array(eventInputSchema).check(
  z.maxLength(MAX_APPEND),
  z.superRefine((events, context) => rejectDuplicateIds(events, context, 'event')),
)
const filtersSchema = z.strictObject({
  sessionId: z.optional(idSchema),
  runId: z.optional(idSchema),
  type: z.optional(typeSchema),
  ownerId: z.optional(idSchema),
  ...pageSchema.shape,
})
const listOptionsSchema = z.strictObject({ ...filtersSchema.shape, order: z.optional(z.enum(['asc', 'desc'])) })
const DEFAULT_POLL_MILLIS = 200
const MAX_POLL_MILLIS = 10_000
const followOptionsSchema = z.strictObject({
  ...filtersSchema.shape,
  pollMillis: z.optional(
    rule<number>(isInteger(1, MAX_POLL_MILLIS), `must be a whole number of milliseconds from 1 to ${MAX_POLL_MILLIS}`),
  ),
  signal: z.optional(signalSchema),
})
const pruneOptionsSchema = z.strictObject({ before: instantSchema })

interface EventFilters extends PageOptions {
  /** Only events of this session. Default: all sessions, and events without a session. */
  sessionId?: string | undefined
  /** Only events of this run. Default: all runs, and events without a run. */
  runId?: string | undefined
  /** Only events of this type. Default: all types. */
  type?: string | undefined
  /** Only events of this owner. Default: everybody's. In a scope, all events have its owner. */
  ownerId?: string | undefined
}

export interface ListEventsOptions extends EventFilters {
  /** Default 'asc': oldest first. */
  order?: Order | undefined
}

export interface FollowEventsOptions extends EventFilters {
  /** How long to wait after a page that is not full, in milliseconds: 1 to 10,000. Default 200. */
  pollMillis?: number | undefined
  /** Ends the following when it is aborted. Default: none. */
  signal?: AbortSignal | undefined
}

export interface PruneEventsOptions {
  /** Removes events whose `occurredAt` is earlier. */
  before: Date
}

/** Inserts events and returns them. If an id is taken, the stored event is left as it is and returned. */
const insertEvents = rowsStatement((db: Builder, rows: Omit<AgentEvent, 'seq' | 'ownerId'>[]) => {
  const { events } = db.tables
  return db.orm
    .insert(events)
    .values(
      rows.map(({ id, type, sessionId, runId, payload, occurredAt }) => {
        const ownerId = ownerOfSession(db, sessionId as string) // SQL compares null with nothing: nobody owns the event
        return { id, ownerId, type, sessionId, runId, payload, occurredAt }
      }),
    )
    .onConflictDoUpdate({ target: [events.id, events.ownerId], set: { id: sql`excluded.id` } })
    .returning()
})

const eventQuery = {
  name: 'events',
  select: ({ orm, tables }: Builder) => orm.select().from(tables.events),
  visible: (db: Builder) => isVisible(db, db.tables.events),
  orderBy: [{ name: 'seq', kind: 'integer', column: ({ events }: Tables) => events.seq }],
} as const

const commonFilters = {
  ownerId: ({ events }: Tables, ownerId: string) => ofOwner(events, ownerId),
  through: ({ events }: Tables, through: number) => lte(events.seq, through),
}

const listAll = pagedQuery({ ...eventQuery, filters: commonFilters })
const listByRun = listBy('runId')
const listBySession = listBy('sessionId')
const listByType = listBy('type')

/** Defines the list of events that have one value in `column`. It reads the index that begins with the column. */
function listBy(column: 'runId' | 'sessionId' | 'type') {
  return pagedQuery({
    ...eventQuery,
    partition: ({ events }) => events[column],
    filters: {
      sessionId: ({ events }, sessionId: string) => notIndexable(eq(events.sessionId, sessionId)),
      type: ({ events }, type: string) => notIndexable(eq(events.type, type)),
      ...commonFilters,
    },
  })
}

/** How many events one statement removes. */
const PRUNE_BATCH_SIZE = 1000

const deleteBatchBefore = statement((db: Builder, arg: { before: Date }) => {
  const { events: e } = db.tables
  const visible = isVisible(db, e)
  // The order, and a limit that the planner sees, make PostgreSQL take the index instead of the first rows it finds.
  const old = db.orm
    .select({ seq: e.seq })
    .from(e)
    .where(and(visible, lt(e.occurredAt, arg.before)))
    .orderBy(e.occurredAt)
    .limit(PRUNE_BATCH_SIZE)
  return db.orm
    .delete(e)
    .where(and(visible, inArray(e.seq, old)))
    .returning({ seq: e.seq })
})

/** Events: an append-only log of what happened in sessions and runs. */
export class Events {
  readonly #db: Db
  readonly #context: RepositoryContext
  readonly #settled: SettledEvents

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
    this.#settled = new SettledEvents(db)
  }

  /**
   * Appends one event, or up to 1000 events in one transaction and one round trip. Returns the stored events, in the
   * order given. An event whose id is stored already is left as it is and returned as it is. Safe to repeat with ids.
   *
   * @throws {INVALID_INPUT} when a field is not valid, or two events of one append have the same id.
   *
   * @example
   * ```ts
   * const event = { id: 'r1/started', type: 'run.started', runId: 'r1', payload: { model: 'large' } }
   * const { seq } = await storage.events.append(event)
   * console.log((await storage.events.append(event)).seq === seq) // true: it was not stored twice
   * ```
   */
  append<Payload = Json>(event: EventInput<Payload>): Promise<AgentEvent<Payload>>
  append<Payload = Json>(events: readonly EventInput<Payload>[]): Promise<AgentEvent<Payload>[]>
  append<Payload = Json>(
    events: EventInput<Payload> | readonly EventInput<Payload>[],
  ): Promise<AgentEvent<Payload> | AgentEvent<Payload>[]>
  async append(input: EventInput | readonly EventInput[]): Promise<AgentEvent | AgentEvent[]> {
    const inputs = Array.isArray(input)
      ? parseInput(appendSchema, input, 'events')
      : [parseInput(eventInputSchema, input, 'event')]
    const now = this.#context.now()
    const rows = inputs.map(
      ({ id = orderedId(now), type, sessionId = null, runId = null, payload = null, occurredAt = now }) => {
        return { id, type, sessionId, runId, payload, occurredAt }
      },
    )
    const stored = (await batch(this.#db, insertEvents.with(rows))).flat()
    const byId = new Map(stored.map((event) => [event.id, event]))
    const events = rows.map(({ id }) => byId.get(id) as AgentEvent) // the insert returns every id it was given
    return Array.isArray(input) ? events : (events[0] as AgentEvent)
  }

  /**
   * Returns a page of the events that match all given filters, oldest first unless `order` is 'desc'.
   *
   * @typeParam Payload The expected type of each payload. It is not checked.
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.events.append([{ type: 'run.started', runId: 'r1' }, { type: 'run.ended', runId: 'r1' }])
   * const { items } = await storage.events.list({ runId: 'r1', order: 'desc', limit: 1 })
   * console.log(items[0]?.type) // run.ended
   * ```
   */
  list<Payload = Json>(options?: ListEventsOptions): Promise<Page<AgentEvent<Payload>>>
  async list(options: ListEventsOptions = {}): Promise<Page<AgentEvent>> {
    return this.#page(parseInput(listOptionsSchema, options, 'options'))
  }

  /**
   * Yields the events that match all given filters, and then those that are appended, in pages, oldest first. Each page has
   * at least one event, and a `nextCursor` that a later call continues from. No event is missed or yielded twice, in
   * whatever order transactions commit: an event is yielded once no event can precede it any more. So on PostgreSQL a
   * transaction that has appended holds back the events after it until it ends. Ends when the signal is aborted, or within
   * `pollMillis` after the storage is closed.
   *
   * @typeParam Payload The expected type of each payload. It is not checked.
   * @throws {TRANSACTION_MISUSE} when called on a transaction, which would stay open, and never see what others append.
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.events.append([{ type: 'run.started', runId: 'r1' }, { type: 'run.ended', runId: 'r1' }])
   * pages: for await (const { items, nextCursor } of storage.events.follow({ runId: 'r1' }))
   *   for (const { type } of items) if (type === 'run.ended') break pages // keep nextCursor to continue later
   * ```
   */
  follow<Payload = Json>(options?: FollowEventsOptions): AsyncGenerator<EventsPage<AgentEvent<Payload>>, void, void>
  async *follow(options: FollowEventsOptions = {}): AsyncGenerator<EventsPage<AgentEvent>, void, void> {
    const parsed = parseInput(followOptionsSchema, options, 'options')
    if (this.#context.inTransaction) {
      const message =
        'events.follow() waits for events that others append, which a transaction does not see: call it outside of one'
      throw new StorageError('TRANSACTION_MISUSE', message)
    }
    const { cursor, signal, pollMillis = DEFAULT_POLL_MILLIS, limit = DEFAULT_LIMIT, ...filters } = parsed
    yield* followPages<AgentEvent>(
      {
        page: (after, through) => this.#page({ ...filters, limit, cursor: after }, through),
        cursorOf: (event) => cursorOf(eventQuery, event),
        settled: this.#settled,
      },
      { cursor, limit, signal, pollMillis },
    )
  }

  #page({ runId, sessionId, type, ownerId, order = 'asc', ...page }: ListEventsOptions, through?: number) {
    const common = { ownerId, through }
    if (runId !== undefined) return listByRun(this.#db, { partition: runId, sessionId, type, ...common }, page, order)
    if (sessionId !== undefined) return listBySession(this.#db, { partition: sessionId, type, ...common }, page, order)
    if (type !== undefined) return listByType(this.#db, { partition: type, ...common }, page, order)
    return listAll(this.#db, common, page, order)
  }

  /**
   * Removes the events that occurred before an instant, in batches of 1000. Returns the number removed. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when `before` is not a date of the years 1 to 9999.
   *
   * @example
   * ```ts
   * const thirtyDaysAgo = new Date(Date.now() - 30 * 24 * 60 * 60 * 1000)
   * const removed = await storage.events.prune({ before: thirtyDaysAgo })
   * ```
   */
  async prune(options: PruneEventsOptions): Promise<number> {
    const { before } = parseInput(pruneOptionsSchema, options, 'options')
    for (let removed = 0; ; ) {
      const pruned = await deleteBatchBefore.all(this.#db, { before })
      removed += pruned.length
      if (pruned.length < PRUNE_BATCH_SIZE) return removed
    }
  }
}
