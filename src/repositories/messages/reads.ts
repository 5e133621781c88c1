import { and, asc, desc, eq, gte, lt } from 'drizzle-orm'
import * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { DEFAULT_LIMIT, type Order, type Page, pageSchema } from '../../database/paging/page.ts'
import { type Builder, batch, statement } from '../../database/statement.ts'
import type { JsonObject, MessageContent } from '../../schema/values.ts'
import { rule } from '../../validation/fast-path.ts'
import { idSchema, limitSchema, MAX_INTEGER, parseInput, positionSchema } from '../../validation/input.ts'
import type { RepositoryContext } from '../context.ts'
import { inUnexpiredSession } from '../sessions/unexpired.ts'
import { MessagesOfAllSessions } from './all-sessions.ts'
import { type MessageId, messageIds, selectByIds, seqOf } from './by-id.ts'
import { messageColumns } from './columns.ts'
import { iterateMessages } from './iterate.ts'
import { type SeqRange, selectRange } from './range.ts'
import {
  type AroundOptions,
  type IterateMessagesOptions,
  type ListMessagesOptions,
  type Message,
  messageIdsSchema,
} from './types.ts'

/** The seq of the last message of the previous page. */
const cursorSchema = rule<string>(
  (cursor) => typeof cursor === 'string' && /^\d{1,10}$/.test(cursor),
  'must be the nextCursor of a page of the same list',
)
const listOptionsSchema = z.strictObject({
  ...pageSchema.shape,
  cursor: z.optional(cursorSchema),
  after: z.optional(positionSchema),
  before: z.optional(positionSchema),
  order: z.optional(z.enum(['asc', 'desc'])),
})
const countSchema = z.optional(z.int().check(z.gte(0), z.lte(1000)))
const aroundOptionsSchema = z.strictObject({ before: countSchema, after: countSchema })
const iterateOptionsSchema = z.strictObject({ batchSize: z.optional(limitSchema) })

const selectMessage = statement((db, arg: { sessionId: string; id: string; now: Date }) => {
  const { messages: m } = db.tables
  return db.orm
    .select(messageColumns(db.tables))
    .from(m)
    .where(and(inUnexpiredSession(db, m, arg.sessionId, arg.now), eq(m.id, arg.id)))
})

interface Neighbours extends MessageId {
  limit: number
}

const selectBefore = statement((db, arg: Neighbours) => neighbours(db, arg).before)
const selectFrom = statement((db, arg: Neighbours) => neighbours(db, arg).from)

/** Builds the two halves of the messages around one: those before it, and those from it on. */
function neighbours(db: Builder, arg: Neighbours) {
  const { messages: m } = db.tables
  const isOfSession = inUnexpiredSession(db, m, arg.sessionId, arg.now)
  const seq = seqOf(db, arg)
  const select = () => db.orm.select(messageColumns(db.tables)).from(m)
  return {
    before: select()
      .where(and(isOfSession, lt(m.seq, seq)))
      .orderBy(desc(m.seq))
      .limit(arg.limit),
    from: select()
      .where(and(isOfSession, gte(m.seq, seq)))
      .orderBy(asc(m.seq))
      .limit(arg.limit),
  }
}

/** The reads of `Messages`. */
export class MessageReads extends MessagesOfAllSessions {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    super(db, context)
    this.#db = db
    this.#context = context
  }

  /**
   * Returns a page of the messages of a session, the oldest first unless `order` is 'desc'.
   *
   * @typeParam Content The expected type of the content. It is not checked.
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when the session's id or an option is not valid.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { role: 'user', content: 'Hello' })
   * const { items, nextCursor } = await storage.messages.list('chat', { order: 'desc', limit: 20 })
   * console.log(items.length, nextCursor) // 1 undefined
   * ```
   */
  list<Content = MessageContent, Metadata extends object = JsonObject>(
    sessionId: string,
    options?: ListMessagesOptions,
  ): Promise<Page<Message<Content, Metadata>>>
  async list(sessionId: string, options: ListMessagesOptions = {}): Promise<Page<Message>> {
    parseInput(idSchema, sessionId, 'sessionId')
    const {
      limit = DEFAULT_LIMIT,
      after = 0,
      before = MAX_INTEGER,
      cursor,
      order = 'asc',
    } = parseInput(listOptionsSchema, options, 'options')
    const from = Math.min(Number(cursor ?? (order === 'asc' ? after : before)), MAX_INTEGER)
    const range = order === 'asc' ? { after: Math.max(after, from), before } : { after, before: Math.min(before, from) }
    const rows = await this.#selectRange(sessionId, order, { ...range, limit: limit + 1 })
    const items = rows.slice(0, limit)
    return rows.length > limit ? { items, nextCursor: String(items.at(-1)?.seq) } : { items }
  }

  /**
   * Returns the newest `count` messages (1 to 1000) of a session, in the order of their appends.
   *
   * @typeParam Content The expected type of the content. It is not checked.
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when the session's id or `count` is not valid.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { role: 'user', content: 'Hello' })
   * for (const { role, content } of await storage.messages.latest('chat', 20)) console.log(role, content)
   * ```
   */
  latest<Content = MessageContent, Metadata extends object = JsonObject>(
    sessionId: string,
    count: number,
  ): Promise<Message<Content, Metadata>[]>
  async latest(sessionId: string, count: number): Promise<Message[]> {
    parseInput(idSchema, sessionId, 'sessionId')
    const limit = parseInput(limitSchema, count, 'count')
    return (await this.#selectRange(sessionId, 'desc', { after: 0, before: MAX_INTEGER, limit })).reverse()
  }

  /**
   * Returns a message, or undefined if the session has no message of that id.
   *
   * @typeParam Content The expected type of the content. It is not checked.
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when an id is not valid.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { id: 'm1', role: 'user', content: 'Hello' })
   * console.log((await storage.messages.get('chat', 'm1'))?.content) // Hello
   * ```
   */
  get<Content = MessageContent, Metadata extends object = JsonObject>(
    sessionId: string,
    id: string,
  ): Promise<Message<Content, Metadata> | undefined>
  async get(sessionId: string, id: string): Promise<Message | undefined> {
    parseInput(idSchema, sessionId, 'sessionId')
    parseInput(idSchema, id, 'id')
    return await selectMessage.first(this.#db, { sessionId, id, now: this.#context.now() })
  }

  /**
   * Returns the messages of up to 1000 ids, in the order of the ids. An id that names no message is left out. One round
   * trip.
   *
   * @typeParam Content The expected type of the content. It is not checked.
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when an id is not valid or there are more than 1000.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { id: 'm1', role: 'user', content: 'Hello' })
   * console.log((await storage.messages.getMany('chat', ['m0', 'm1'])).map(({ id }) => id)) // ['m1']
   * ```
   */
  getMany<Content = MessageContent, Metadata extends object = JsonObject>(
    sessionId: string,
    ids: readonly string[],
  ): Promise<Message<Content, Metadata>[]>
  async getMany(sessionId: string, ids: readonly string[]): Promise<Message[]> {
    parseInput(idSchema, sessionId, 'sessionId')
    const now = this.#context.now()
    const unique = [...new Set(parseInput(messageIdsSchema, ids, 'ids'))]
    const rows = await batch(this.#db, selectByIds.with(messageIds(sessionId, unique, now)))
    const byId = new Map(rows.flat().map((message) => [message.id, message]))
    return unique.map((id) => byId.get(id)).filter((message) => message !== undefined)
  }

  /**
   * Returns a message with those before and after it, in the order of their appends. Returns no messages if the session has
   * none of that id. One round trip.
   *
   * @typeParam Content The expected type of the content. It is not checked.
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when an id or an option is not valid.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', [
   *   { id: 'm1', role: 'user', content: 'Oslo or Bergen?' },
   *   { id: 'm2', role: 'assistant', content: 'Bergen.' },
   * ])
   * const window = await storage.messages.around('chat', 'm2', { before: 5, after: 5 })
   * console.log(window.map(({ id }) => id)) // ['m1', 'm2']
   * ```
   */
  around<Content = MessageContent, Metadata extends object = JsonObject>(
    sessionId: string,
    id: string,
    options?: AroundOptions,
  ): Promise<Message<Content, Metadata>[]>
  async around(sessionId: string, id: string, options: AroundOptions = {}): Promise<Message[]> {
    parseInput(idSchema, sessionId, 'sessionId')
    parseInput(idSchema, id, 'id')
    const { before = 10, after = 10 } = parseInput(aroundOptionsSchema, options, 'options')
    const target = { sessionId, id, now: this.#context.now() }
    const [earlier, rest] = await batch(this.#db, [
      selectBefore.with({ ...target, limit: before }),
      selectFrom.with({ ...target, limit: after + 1 }),
    ])
    return [...earlier.reverse(), ...rest]
  }

  /**
   * Yields every message of a session in order. Reads them in batches that end after 1 MiB of JSON, so memory stays
   * bounded even if messages are large, and other work goes on between two batches. Messages appended before the last batch
   * is read are yielded as well.
   *
   * @typeParam Content The expected type of the content. It is not checked.
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when the session's id or an option is not valid.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { role: 'user', content: 'Hello' })
   * for await (const { seq, role } of storage.messages.iterate('chat')) console.log(seq, role) // 1 user
   * ```
   */
  iterate<Content = MessageContent, Metadata extends object = JsonObject>(
    sessionId: string,
    options?: IterateMessagesOptions,
  ): AsyncGenerator<Message<Content, Metadata>, void, void>
  async *iterate(sessionId: string, options: IterateMessagesOptions = {}): AsyncGenerator<Message, void, void> {
    parseInput(idSchema, sessionId, 'sessionId')
    const { batchSize } = parseInput(iterateOptionsSchema, options, 'options')
    yield* iterateMessages(this.#db, sessionId, { batchSize, now: () => this.#context.now() })
  }

  #selectRange(sessionId: string, order: Order, range: SeqRange & { limit: number }): Promise<Message[]> {
    return selectRange[order].all(this.#db, { sessionId, now: this.#context.now(), ...range })
  }
}
