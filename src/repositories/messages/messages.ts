import { and, asc, desc, eq, gt, lt } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../../database/db.ts'
import { DEFAULT_LIMIT, type Order, type Page, pageSchema } from '../../database/paging/page.ts'
import { statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import type { JsonObject, MessageContent } from '../../schema/values.ts'
import {
  idSchema,
  limitSchema,
  MAX_INTEGER,
  parseInput,
  positionSchema,
  rejectDuplicateIds,
} from '../../validation/input.ts'
import type { RepositoryContext } from '../context.ts'
import { cachedRowsOf, incarnationOf } from '../sessions/removal.ts'
import { inUnexpiredSession } from '../sessions/unexpired.ts'
import { appendMessages, MAX_APPEND } from './append.ts'
import { messageColumns } from './columns.ts'
import { iterateMessages } from './iterate.ts'
import { popMessage, truncateMessages } from './removal.ts'
import {
  type IterateMessagesOptions,
  type ListMessagesOptions,
  type Message,
  type MessageInput,
  type MessagePatch,
  messageInputSchema,
  messagePatchSchema,
  type TruncateMessagesOptions,
} from './types.ts'
import { updateMessage } from './update.ts'

const appendSchema = z
  .array(messageInputSchema)
  .max(MAX_APPEND)
  .superRefine((messages, context) => rejectDuplicateIds(messages, context, 'message'))
const listOptionsSchema = z.strictObject({
  ...pageSchema.shape,
  cursor: z.stringFormat('cursor', /^\d{1,10}$/).optional(), // the seq of the last message of the previous page
  after: positionSchema.optional(),
  before: positionSchema.optional(),
  order: z.enum(['asc', 'desc']).optional(),
})
const iterateOptionsSchema = z.strictObject({ batchSize: limitSchema.optional() })
const truncateOptionsSchema = z.strictObject({ afterSeq: positionSchema })

const selectMessage = statement((db, arg: { sessionId: string; id: string; now: Date }) => {
  const { messages: m } = db.tables
  return db.orm
    .select(messageColumns(db.tables))
    .from(m)
    .where(and(inUnexpiredSession(db, m, arg.sessionId, arg.now), eq(m.id, arg.id)))
})

/** The messages between two seqs, both exclusive. */
interface SeqRange {
  after: number
  before: number
}

const selectRange = {
  asc: rangeStatement('asc'),
  desc: rangeStatement('desc'),
}

function rangeStatement(order: Order) {
  return statement((db, arg: { sessionId: string; now: Date; limit: number } & SeqRange) => {
    const { messages: m } = db.tables
    return db.orm
      .select(messageColumns(db.tables))
      .from(m)
      .where(and(inUnexpiredSession(db, m, arg.sessionId, arg.now), gt(m.seq, arg.after), lt(m.seq, arg.before)))
      .orderBy(order === 'asc' ? asc(m.seq) : desc(m.seq))
      .limit(arg.limit)
  })
}

/** The messages of sessions, in the order of their appends. */
export class Messages {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /**
   * Appends one message, or up to 1000 messages in one transaction, and creates the session if needed. Returns the
   * stored messages. If the session already has a message of that id, the stored message is returned unchanged, so an
   * append with ids is safe to repeat. Without ids a repeat appends the messages again. One round trip on PostgreSQL.
   *
   * @throws {INVALID_INPUT} when a message is not valid or two messages of one append have the same id.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { id: 'm1', role: 'user', content: 'When does the train leave?' })
   * await storage.messages.append('chat', [
   *   { id: 'm2', role: 'assistant', content: [{ type: 'text', text: 'At 9:04.' }] },
   * ])
   * ```
   */
  append<Content = MessageContent, Metadata extends object = JsonObject>(
    sessionId: string,
    message: MessageInput<Content, Metadata>,
  ): Promise<Message<Content, Metadata>>
  append<Content = MessageContent, Metadata extends object = JsonObject>(
    sessionId: string,
    messages: readonly MessageInput<Content, Metadata>[],
  ): Promise<Message<Content, Metadata>[]>
  async append(sessionId: string, input: MessageInput | readonly MessageInput[]): Promise<Message | Message[]> {
    parseInput(idSchema, sessionId, 'sessionId')
    const inputs = Array.isArray(input)
      ? parseInput(appendSchema, input, 'messages')
      : [parseInput(messageInputSchema, input, 'message')]
    const { cache } = this.#context
    const now = this.#context.now()
    const { messages } = await cache.writeIfNew(
      cachedRowsOf(sessionId),
      (db = this.#db) => appendMessages(db, sessionId, inputs, now),
      // An append does not change a cached session, but its cached absence from before its creation must be invalidated.
      ({ messages, sessionCreatedAt: createdAt }) =>
        createdAt === undefined
          ? { created: true }
          : {
              created: messages.some(({ seq }) => seq === 1),
              incarnation: incarnationOf({ id: sessionId, createdAt }),
            },
    )
    if (Array.isArray(input)) return messages
    return messages[0] as Message // one row in, one message out
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
   * Changes the given fields of a message. Its seq stays the same. One round trip. Safe to repeat.
   *
   * @typeParam Content The expected type of the content. It is not checked.
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {NOT_FOUND} when the session has no message of that id.
   * @throws {INVALID_INPUT} when an id or a field is not valid.
   *
   * @example
   * ```ts
   * const { id } = await storage.messages.append('chat', { role: 'user', content: 'Helo' })
   * await storage.messages.update('chat', id, { content: 'Hello' })
   * ```
   */
  update<Content = MessageContent, Metadata extends object = JsonObject>(
    sessionId: string,
    id: string,
    patch: MessagePatch<Content, Metadata>,
  ): Promise<Message<Content, Metadata>>
  async update(sessionId: string, id: string, patch: MessagePatch): Promise<Message> {
    parseInput(idSchema, sessionId, 'sessionId')
    parseInput(idSchema, id, 'id')
    const values = parseInput(messagePatchSchema, patch, 'patch')
    const updated = await updateMessage(this.#db, sessionId, id, values, this.#context.now())
    if (updated === undefined)
      throw new StorageError('NOT_FOUND', 'There is no such message', { details: { sessionId, id } })
    return updated
  }

  /**
   * Removes the newest message of a session and returns it, or undefined if there is none. Not safe to repeat: another
   * message would be removed.
   *
   * @typeParam Content The expected type of the content. It is not checked.
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when the session's id is not valid.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { role: 'user', content: 'Never mind' })
   * console.log((await storage.messages.pop('chat'))?.content) // Never mind
   * ```
   */
  pop<Content = MessageContent, Metadata extends object = JsonObject>(
    sessionId: string,
  ): Promise<Message<Content, Metadata> | undefined>
  async pop(sessionId: string): Promise<Message | undefined> {
    parseInput(idSchema, sessionId, 'sessionId')
    return popMessage(this.#db, sessionId, this.#context.now())
  }

  /**
   * Removes messages with a greater seq. Returns the number removed. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the session's id or `afterSeq` is not valid.
   *
   * @example
   * ```ts
   * const { seq } = await storage.messages.append('chat', { role: 'user', content: 'Oslo or Bergen?' })
   * await storage.messages.append('chat', { role: 'assistant', content: 'Bergen.' })
   * console.log(await storage.messages.truncate('chat', { afterSeq: seq })) // 1
   * ```
   */
  async truncate(sessionId: string, options: TruncateMessagesOptions): Promise<number> {
    parseInput(idSchema, sessionId, 'sessionId')
    const { afterSeq } = parseInput(truncateOptionsSchema, options, 'options')
    return truncateMessages(this.#db, sessionId, afterSeq, this.#context.now())
  }

  /**
   * Removes all messages of a session. The session itself stays. Returns the number removed. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the session's id is not valid.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { role: 'user', content: 'Hello' })
   * console.log(await storage.messages.clear('chat')) // 1
   * ```
   */
  clear(sessionId: string): Promise<number> {
    return this.truncate(sessionId, { afterSeq: 0 })
  }

  #selectRange(sessionId: string, order: Order, range: SeqRange & { limit: number }): Promise<Message[]> {
    return selectRange[order].all(this.#db, { sessionId, now: this.#context.now(), ...range })
  }
}
