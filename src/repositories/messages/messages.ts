import { and, asc, desc, eq, gt, lt } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../../database/db.ts'
import { DEFAULT_LIMIT, type Order, type Page } from '../../database/paging/page.ts'
import { statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import { eachIdOnce, idSchema, limitSchema, MAX_INTEGER, parseInput, positionSchema } from '../../validation/input.ts'
import type { RepositoryContext } from '../context.ts'
import { cachedRowsOf, incarnationOf } from '../sessions/removal.ts'
import { inUnexpiredSession } from '../sessions/unexpired.ts'
import { appendMessages, MAX_APPEND } from './append.ts'
import { popMessage, truncateMessages } from './removal.ts'
import {
  type ListMessagesOptions,
  type Message,
  type MessageInput,
  type MessagePatch,
  messageInputSchema,
  messagePatchSchema,
} from './types.ts'
import { updateMessage } from './update.ts'

const appendSchema = z
  .array(messageInputSchema)
  .max(MAX_APPEND)
  .superRefine((messages, context) => eachIdOnce(messages, context, 'message'))
const listSchema = z.strictObject({
  limit: limitSchema.optional(),
  after: positionSchema.optional(),
  before: positionSchema.optional(),
  cursor: z.stringFormat('cursor', /^\d{1,10}$/).optional(),
  order: z.enum(['asc', 'desc']).optional(),
})
const iterateSchema = z.strictObject({ batchSize: limitSchema.optional() })
const truncateSchema = z.strictObject({ afterSeq: positionSchema })

const selectMessage = statement(({ orm, tables }, arg: { sessionId: string; id: string; now: Date }) => {
  const { messages: m } = tables
  return orm
    .select()
    .from(m)
    .where(and(eq(m.sessionId, arg.sessionId), eq(m.id, arg.id), inUnexpiredSession(tables, arg.sessionId, arg.now)))
})

interface Range {
  after: number
  before: number
  limit: number
}

const selectRange = {
  asc: rangeStatement('asc'),
  desc: rangeStatement('desc'),
}

function rangeStatement(order: Order) {
  return statement(({ orm, tables }, arg: { sessionId: string; now: Date } & Range) => {
    const { messages: m } = tables
    return orm
      .select()
      .from(m)
      .where(
        and(
          eq(m.sessionId, arg.sessionId),
          gt(m.seq, arg.after),
          lt(m.seq, arg.before),
          inUnexpiredSession(tables, arg.sessionId, arg.now),
        ),
      )
      .orderBy(order === 'asc' ? asc(m.seq) : desc(m.seq))
      .limit(arg.limit)
  })
}

/** The messages of conversations, in the order of their appends. */
export class Messages {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /**
   * Appends one message, or up to 1000 in one transaction, and creates the session if need be; one round trip on
   * PostgreSQL. A message whose id the session has already is left as it is stored and returned so: with ids a repeat
   * is safe and changes nothing. Errors: INVALID_INPUT, also where two of one append have the same id.
   */
  append(sessionId: string, message: MessageInput): Promise<Message>
  append(sessionId: string, messages: readonly MessageInput[]): Promise<Message[]>
  async append(sessionId: string, input: MessageInput | readonly MessageInput[]): Promise<Message | Message[]> {
    parseInput(idSchema, sessionId, 'sessionId')
    const inputs = Array.isArray(input)
      ? parseInput(appendSchema, input, 'messages')
      : [parseInput(messageInputSchema, input, 'message')]
    const { cache } = this.#context
    const now = this.#context.now()
    const { messages } = await cache.writeIfNew(
      cachedRowsOf(sessionId),
      () => appendMessages(this.#db, sessionId, inputs, now),
      // An append does not change the cached session, but a cached "absent" entry from before its creation must go.
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

  /** A page of the conversation, oldest first unless `order` says 'desc'. */
  async list(sessionId: string, options: ListMessagesOptions = {}): Promise<Page<Message>> {
    parseInput(idSchema, sessionId, 'sessionId')
    const {
      limit = DEFAULT_LIMIT,
      after = 0,
      before = MAX_INTEGER,
      cursor,
      order = 'asc',
    } = parseInput(listSchema, options, 'options')
    const from = Math.min(Number(cursor ?? (order === 'asc' ? after : before)), MAX_INTEGER)
    const range = order === 'asc' ? { after: Math.max(after, from), before } : { after, before: Math.min(before, from) }
    const rows = await this.#range(sessionId, order, { ...range, limit: limit + 1 })
    const items = rows.slice(0, limit)
    return rows.length > limit ? { items, nextCursor: String(items.at(-1)?.seq) } : { items }
  }

  /** The newest `count` messages (1 to 1000), oldest of them first. */
  async latest(sessionId: string, count: number): Promise<Message[]> {
    parseInput(idSchema, sessionId, 'sessionId')
    const limit = parseInput(limitSchema, count, 'count')
    return (await this.#range(sessionId, 'desc', { after: 0, before: MAX_INTEGER, limit })).reverse()
  }

  /** The message, or undefined. */
  async get(sessionId: string, id: string): Promise<Message | undefined> {
    parseInput(idSchema, sessionId, 'sessionId')
    parseInput(idSchema, id, 'id')
    return await selectMessage.first(this.#db, { sessionId, id, now: this.#context.now() })
  }

  /** Every message in order, read in batches of `batchSize` (1 to 1000, default 500); messages appended meanwhile are met too. */
  async *iterate(
    sessionId: string,
    options: { batchSize?: number | undefined } = {},
  ): AsyncGenerator<Message, void, void> {
    parseInput(idSchema, sessionId, 'sessionId')
    const { batchSize: limit = 500 } = parseInput(iterateSchema, options, 'options')
    for (let after = 0; ; ) {
      const rows = await this.#range(sessionId, 'asc', { after, before: MAX_INTEGER, limit })
      yield* rows
      const last = rows.at(-1)
      if (last === undefined || rows.length < limit) return
      after = last.seq
    }
  }

  /** Changes the given fields of a message, in one round trip; its place stays. Errors: NOT_FOUND, INVALID_INPUT. Safe to repeat. */
  async update(sessionId: string, id: string, patch: MessagePatch): Promise<Message> {
    parseInput(idSchema, sessionId, 'sessionId')
    parseInput(idSchema, id, 'id')
    const values = parseInput(messagePatchSchema, patch, 'patch')
    const updated = await updateMessage(this.#db, sessionId, id, values, this.#context.now())
    if (updated === undefined)
      throw new StorageError('NOT_FOUND', 'There is no such message', { details: { sessionId, id } })
    return updated
  }

  /** Removes the newest message and returns it, or undefined. Not safe to repeat: that removes another. */
  async pop(sessionId: string): Promise<Message | undefined> {
    parseInput(idSchema, sessionId, 'sessionId')
    return popMessage(this.#db, sessionId, this.#context.now())
  }

  /** Removes what comes after a seq; how many. Safe to repeat. */
  async truncate(sessionId: string, options: { afterSeq: number }): Promise<number> {
    parseInput(idSchema, sessionId, 'sessionId')
    const { afterSeq } = parseInput(truncateSchema, options, 'options')
    return truncateMessages(this.#db, sessionId, afterSeq, this.#context.now())
  }

  /** Removes all messages of a session, which stays; how many. Safe to repeat. */
  clear(sessionId: string): Promise<number> {
    return this.truncate(sessionId, { afterSeq: 0 })
  }

  #range(sessionId: string, order: Order, range: Range): Promise<Message[]> {
    return selectRange[order].all(this.#db, { sessionId, now: this.#context.now(), ...range })
  }
}
