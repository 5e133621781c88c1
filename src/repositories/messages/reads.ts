import { and, asc, desc, eq, gte, lt } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../../database/db.ts'
import { DEFAULT_LIMIT, type Order, type Page, pageSchema } from '../../database/paging/page.ts'
import { type Builder, batch, statement } from '../../database/statement.ts'
import type { JsonObject, MessageContent } from '../../schema/values.ts'
import { idSchema, limitSchema, MAX_INTEGER, parseInput, positionSchema } from '../../validation/input.ts'
import type { RepositoryContext } from '../context.ts'
import { recallQuerySchema } from '../embeddings/recall.ts'
import { recallMessages, recallMessagesSchema } from '../embeddings/recall-messages.ts'
import type { Recall, RecalledMessage, RecallMessagesOptions } from '../embeddings/types.ts'
import { searchMessages, searchMessagesSchema } from '../search/messages.ts'
import type { MessageHit, SearchMessagesOptions, SearchPage } from '../search/types.ts'
import { inUnexpiredSession } from '../sessions/unexpired.ts'
import { countByDaySchema, messagesByDay } from './by-day.ts'
import type { CountByDayOptions, MessagesByDay } from './by-day-types.ts'
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

const listOptionsSchema = z.strictObject({
  ...pageSchema.shape,
  cursor: z.stringFormat('cursor', /^\d{1,10}$/).optional(), // the seq of the last message of the previous page
  after: positionSchema.optional(),
  before: positionSchema.optional(),
  order: z.enum(['asc', 'desc']).optional(),
})
const countSchema = z.number().int().min(0).max(1000).optional()
const aroundOptionsSchema = z.strictObject({ before: countSchema, after: countSchema })
const iterateOptionsSchema = z.strictObject({ batchSize: limitSchema.optional() })

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
export class MessageReads {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
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
   * bounded even if messages are large. Messages appended before the last batch is read are yielded as well.
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

  /**
   * Counts the messages of all sessions by the day on which they were created, in UTC. Ends when `timeoutMillis` is over: then
   * the result is not `complete`. Reads the messages of all sessions that were active on these days, about a million a second,
   * a few thousand at a time, so that other work goes on. A session that becomes active meanwhile may be missed.
   *
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { role: 'user', content: 'Hello' })
   * const { days, complete } = await storage.messages.countByDay({ days: 7 })
   * console.log(days.at(-1)?.messages, complete) // 1 true
   * ```
   */
  async countByDay(options: CountByDayOptions = {}): Promise<MessagesByDay> {
    const given = parseInput(countByDaySchema, options, 'options')
    return messagesByDay(this.#db, this.#context.now(), given)
  }

  #selectRange(sessionId: string, order: Order, range: SeqRange & { limit: number }): Promise<Message[]> {
    return selectRange[order].all(this.#db, { sessionId, now: this.#context.now(), ...range })
  }

  /**
   * Returns a page of the messages of all sessions that the query finds, the newest first unless `order` is 'relevance'.
   * The query is made of words that must all occur, "a phrase", word*, a OR b, -word. Needs `database.options.search`.
   *
   * @typeParam Content The expected type of the content. It is not checked.
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_STATE} when the search is switched off.
   * @throws {INVALID_INPUT} when the query or an option is not valid.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { role: 'user', content: 'Send me the invoice, please.' })
   * const { items } = await storage.messages.search('invoice')
   * for (const { text, highlights } of items) console.log(text, highlights) // Send me the invoice, please. [ [ 12, 19 ] ]
   * ```
   */
  search<Content = MessageContent, Metadata extends object = JsonObject>(
    query: string,
    options?: SearchMessagesOptions,
  ): Promise<SearchPage<MessageHit<Content, Metadata>>>
  async search(query: string, options: SearchMessagesOptions = {}): Promise<SearchPage<MessageHit>> {
    const given = parseInput(searchMessagesSchema, options, 'options')
    return searchMessages(this.#db, this.#context.now(), query, given)
  }

  /**
   * Returns the messages of all sessions that fit the query best, by their meaning, by their words, or by both: see `mode`.
   * The query is what a person would ask. The best comes first, and there are no further pages: it is a ranking, not a list.
   * Needs a model, `options.embedding` of `openStorage`, except for `mode: 'text'`. What was written a moment ago may not be embedded
   * yet: then the result is `incomplete`, and `storage.embedPending()` waits for it.
   *
   * @typeParam Content The expected type of the content. It is not checked.
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_STATE} when the storage has no model, when the mode needs the search and that is switched off, inside a
   *   transaction without `vector`, or when PostgreSQL would have to compare too many vectors without pgvector.
   * @throws {EMBEDDING_FAILED} when the model cannot embed the query.
   * @throws {INVALID_INPUT} when the query or an option is not valid, such as a vector of other dimensions.
   *
   * @example
   * ```ts
   * import { openStorage } from 'holdfast'
   * import { wordEmbedding } from 'holdfast/testing'
   * await using agent = await openStorage({}, { embedding: wordEmbedding() })
   * await agent.messages.append('chat', { role: 'user', content: 'Send me the invoice, please.' })
   * await agent.embedPending()
   * const { items } = await agent.messages.recall('What about the invoice?', { context: { before: 1, after: 1 } })
   * console.log(items[0]?.message.content) // Send me the invoice, please.
   * ```
   */
  recall<Content = MessageContent, Metadata extends object = JsonObject>(
    query: string,
    options?: RecallMessagesOptions,
  ): Promise<Recall<RecalledMessage<Content, Metadata>>>
  async recall(query: string, options: RecallMessagesOptions = {}): Promise<Recall<RecalledMessage>> {
    const text = parseInput(recallQuerySchema, query, 'query')
    const given = parseInput(recallMessagesSchema, options, 'options')
    return recallMessages(this.#db, this.#context.now(), this.#context.embedding, text, given)
  }
}
