import { eq, inArray, lt, sql } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../database/db.ts'
import { notIndexable } from '../database/paging/keyset.ts'
import { pagedQuery } from '../database/paging/list-query.ts'
import { type Order, type Page, type PageOptions, pageSchema } from '../database/paging/page.ts'
import { batch, rowsStatement, statement } from '../database/statement.ts'
import type { Tables } from '../schema/tables.ts'
import type { Json } from '../schema/values.ts'
import { eachIdOnce, idSchema, instantSchema, parseInput, textSchema } from '../validation/input.ts'
import { jsonSchema } from '../validation/json.ts'
import type { RepositoryContext } from './context.ts'
import { orderedId } from './ordered-id.ts'

export interface AgentEvent {
  /** The place in the log: rises with every append of one process, with gaps. */
  seq: number
  /** Unique in the whole log. */
  id: string
  type: string
  sessionId: string | null
  runId: string | null
  payload: Json
  occurredAt: Date
}

const typeSchema = textSchema({ min: 1, max: 255 })

export const eventInputSchema = z.strictObject({
  id: idSchema.optional(),
  type: typeSchema,
  sessionId: idSchema.nullable().optional(),
  runId: idSchema.nullable().optional(),
  payload: jsonSchema.optional(),
  occurredAt: instantSchema.optional(),
})
export interface EventInput {
  /** Generated unless given. With an id the append may be repeated. */
  id?: string | undefined
  type: string
  sessionId?: string | null | undefined
  runId?: string | null | undefined
  /** Any JSON. Default null. */
  payload?: unknown
  /** Default: now. The order is that of the appends, whatever this says. */
  occurredAt?: Date | undefined
}

const MAX_APPEND = 1000
const appendSchema = z
  .array(eventInputSchema)
  .max(MAX_APPEND)
  .superRefine((events, context) => eachIdOnce(events, context, 'event'))
const listSchema = z.strictObject({
  sessionId: idSchema.optional(),
  runId: idSchema.optional(),
  type: typeSchema.optional(),
  order: z.enum(['asc', 'desc']).optional(),
  ...pageSchema.shape,
})
const pruneSchema = z.strictObject({ before: instantSchema })

export interface ListEventsOptions extends PageOptions {
  sessionId?: string | undefined
  runId?: string | undefined
  type?: string | undefined
  /** Default 'asc': oldest first. */
  order?: Order | undefined
}

/** Where the id is taken the stored event is returned as it is. */
const insertEvents = rowsStatement(({ orm, tables: { events } }, rows: Omit<AgentEvent, 'seq'>[]) =>
  orm
    .insert(events)
    .values(
      rows.map(({ id, type, sessionId, runId, payload, occurredAt }) => {
        return { id, type, sessionId, runId, payload, occurredAt }
      }),
    )
    .onConflictDoUpdate({ target: events.id, set: { id: sql`excluded.id` } })
    .returning(),
)

const seq = { name: 'seq', kind: 'integer', column: ({ events }: Tables) => events.seq } as const

const name = 'events'

const listAll = pagedQuery({
  name,
  select: ({ orm, tables }) => orm.select().from(tables.events),
  filters: {},
  orderBy: [seq],
})

const listBy = { runId: listOf('runId'), sessionId: listOf('sessionId'), type: listOf('type') }

/** The events of one run, session or type. */
function listOf(by: 'runId' | 'sessionId' | 'type') {
  return pagedQuery({
    name,
    select: ({ orm, tables }) => orm.select().from(tables.events),
    partition: ({ events }) => events[by],
    filters: {
      sessionId: ({ events }, sessionId: string) => notIndexable(eq(events.sessionId, sessionId)),
      type: ({ events }, type: string) => notIndexable(eq(events.type, type)),
    },
    orderBy: [seq],
  })
}

const deleteBefore = statement(({ orm, tables: { events: e } }, arg: { before: Date }) => {
  // Ordered, and with a limit that it sees, so that PostgreSQL takes the index and not the first rows that it finds.
  const old = orm.select({ seq: e.seq }).from(e).where(lt(e.occurredAt, arg.before)).orderBy(e.occurredAt)
  return orm
    .delete(e)
    .where(inArray(e.seq, old.limit(PRUNED_AT_ONCE)))
    .returning({ seq: e.seq })
})

/** How many events are pruned at a time. */
const PRUNED_AT_ONCE = 1000

/** What happened, as an append-only log of sessions and runs. */
export class Events {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /**
   * Appends one event, or up to 1000 in one transaction and one round trip. An event whose id is in the log already is
   * left as it is stored and returned so: with ids a repeat is safe. Errors: INVALID_INPUT, also where two of one append
   * have the same id.
   */
  append(event: EventInput): Promise<AgentEvent>
  append(events: readonly EventInput[]): Promise<AgentEvent[]>
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
    const events = rows.map(({ id }) => byId.get(id) as AgentEvent) // one row in, one event out
    return Array.isArray(input) ? events : (events[0] as AgentEvent)
  }

  /** Events that fit all the given filters, oldest first unless `order` says 'desc'. */
  async list(options: ListEventsOptions = {}): Promise<Page<AgentEvent>> {
    const { runId, sessionId, type, order = 'asc', ...page } = parseInput(listSchema, options, 'options')
    if (runId !== undefined) return listBy.runId(this.#db, { partition: runId, sessionId, type }, page, order)
    if (sessionId !== undefined) return listBy.sessionId(this.#db, { partition: sessionId, type }, page, order)
    if (type !== undefined) return listBy.type(this.#db, { partition: type }, page, order)
    return listAll(this.#db, {}, page, order)
  }

  /** Removes the events that occurred before an instant, some at a time; how many. Safe to repeat. */
  async prune(options: { before: Date }): Promise<number> {
    const { before } = parseInput(pruneSchema, options, 'options')
    for (let removed = 0; ; ) {
      const pruned = await deleteBefore.all(this.#db, { before })
      removed += pruned.length
      if (pruned.length < PRUNED_AT_ONCE) return removed
    }
  }
}
