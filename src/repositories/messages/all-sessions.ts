import type { Db } from '../../database/db.ts'
import type { JsonObject, MessageContent } from '../../schema/values.ts'
import { parseInput } from '../../validation/input.ts'
import type { RepositoryContext } from '../context.ts'
import { recallQuerySchema } from '../embeddings/recall.ts'
import { recallMessages, recallMessagesSchema } from '../embeddings/recall-messages.ts'
import type { Recall, RecalledMessage, RecallMessagesOptions } from '../embeddings/types.ts'
import { searchMessages, searchMessagesSchema } from '../search/messages.ts'
import type { MessageHit, SearchMessagesOptions, SearchPage } from '../search/types.ts'
import { countByDaySchema, messagesByDay } from './by-day.ts'
import type { CountByDayOptions, MessagesByDay } from './by-day-types.ts'
import { findMessages } from './find.ts'
import { type Message, messageIdsSchema } from './types.ts'

/** The reads of `Messages` that look into all sessions. */
export class MessagesOfAllSessions {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /**
   * Returns the messages of up to 1000 ids from whatever session, in the order of the ids. An id that names no message is left
   * out. If several sessions have an id, such as a session and its fork, the message of the session that was created last is
   * returned. Looks into one session after the other, the one created last first, until every id is found: an id that no
   * session has costs about 2 us for each session on SQLite, and 5 on PostgreSQL. `getMany()` needs the session and is faster.
   *
   * @typeParam Content The expected type of the content. It is not checked.
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when an id is not valid or there are more than 1000.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { id: 'm1', role: 'user', content: 'Hello' })
   * console.log((await storage.messages.find(['m0', 'm1'])).map(({ sessionId, id }) => [sessionId, id])) // [['chat', 'm1']]
   * ```
   */
  find<Content = MessageContent, Metadata extends object = JsonObject>(
    ids: readonly string[],
  ): Promise<Message<Content, Metadata>[]>
  async find(ids: readonly string[]): Promise<Message[]> {
    const unique = [...new Set(parseInput(messageIdsSchema, ids, 'ids'))]
    return findMessages(this.#db, this.#context.now(), unique)
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
   * Needs a model, `options.embedding` of `openStorage`, except for `mode: 'text'`. What was written a moment ago may not be
   * embedded yet: then the result is `incomplete`, and `storage.embedPending()` waits for it.
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
