import * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { StorageError } from '../../errors.ts'
import type { JsonObject, MessageContent } from '../../schema/values.ts'
import { idSchema, invalidInput, parseInput, positionSchema, rejectDuplicateIds } from '../../validation/input.ts'
import type { RepositoryContext } from '../context.ts'
import { type OperationOptions, operationOptionsSchema } from '../sessions/operation-options.ts'
import { appendMessages, MAX_APPEND } from './append.ts'
import { importMessages } from './import.ts'
import type { ImportBatch } from './import-batch.ts'
import { putMessages } from './put.ts'
import { MessageReads } from './reads.ts'
import { popMessage, removeMessages, truncateMessages } from './removal.ts'
import { replaceMessages } from './replace.ts'
import {
  type ImportedMessages,
  type ImportMessagesOptions,
  importOptionsSchema,
  type Message,
  type MessageImport,
  type MessageInput,
  type MessagePatch,
  type MessagePut,
  messageIdsSchema,
  messageInputSchema,
  messagePatchSchema,
  type ParsedImport,
  putInputSchema,
  type ReplaceMessagesOptions,
  replaceOptionsSchema,
  type TruncateMessagesOptions,
} from './types.ts'
import { updateMessage } from './update.ts'
import { MessageWriter } from './writer.ts'

const appendSchema = messagesOf(messageInputSchema)
const putSchema = messagesOf(putInputSchema)
const truncateOptionsSchema = z.strictObject({ afterSeq: positionSchema })

/** Makes a schema of up to 1000 messages with different ids. */
function messagesOf<T extends z.ZodMiniType<{ id?: string }>>(message: T) {
  return z.array(message).check(
    z.maxLength(MAX_APPEND),
    z.superRefine((messages, context) => rejectDuplicateIds(messages, context, 'message')),
  )
}

/** The messages of sessions, in the order of their appends. */
export class Messages extends MessageReads {
  readonly #db: Db
  readonly #context: RepositoryContext
  readonly #writer: MessageWriter

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    super(db, context)
    this.#db = db
    this.#context = context
    this.#writer = new MessageWriter(db, context)
  }

  /**
   * Appends one message, or up to 1000 messages in one transaction, and creates the session if needed. Returns the
   * stored messages. If the session already has a message of that id, the stored message is returned unchanged, so an
   * append with ids is safe to repeat. Without ids a repeat appends the messages again, unless an `operationId` is given with
   * a list of messages. One round trip on PostgreSQL.
   *
   * @throws {INVALID_STATE} when the operation was done with another payload.
   * @throws {BLOB_TOO_LARGE} when data that is to become a blob exceeds `maxBlobSize` of the blob store.
   * @throws {BLOB_QUOTA_EXCEEDED} when data that is to become a blob does not fit into the blob store.
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
    options?: OperationOptions,
  ): Promise<Message<Content, Metadata>[]>
  append<Content = MessageContent, Metadata extends object = JsonObject>(
    sessionId: string,
    messages: MessageInput<Content, Metadata> | readonly MessageInput<Content, Metadata>[],
  ): Promise<Message<Content, Metadata> | Message<Content, Metadata>[]>
  async append(
    sessionId: string,
    input: MessageInput | readonly MessageInput[],
    options: OperationOptions = {},
  ): Promise<Message | Message[]> {
    parseInput(idSchema, sessionId, 'sessionId')
    const given = parseInput(operationOptionsSchema, options, 'options')
    const inputs = Array.isArray(input)
      ? parseInput(appendSchema, input, 'messages')
      : [parseInput(messageInputSchema, input, 'message')]
    if (given.operationId !== undefined && !Array.isArray(input))
      throw invalidInput([{ path: 'message', message: 'must be a list of messages if there is an operationId' }])
    const messages = await this.#writer.write(sessionId, given, inputs, (db, stored, clock, operation) =>
      appendMessages(db, sessionId, stored, clock, operation),
    )
    if (Array.isArray(input)) return messages
    return messages[0] as Message // one row in, one message out: an operation takes a list
  }

  /**
   * Stores up to 1000 messages by their ids, in one transaction: appends those that the session does not have, and replaces
   * role, content and metadata of those that say something else. These keep their seq and their creation time. Creates the
   * session if needed. Returns the messages as they are stored now. Known messages are compared in the database: of a long
   * conversation only what is new or different is sent. Two round trips on PostgreSQL, one if nothing differs. Safe to
   * repeat.
   *
   * @throws {BLOB_TOO_LARGE} when data that is to become a blob exceeds `maxBlobSize` of the blob store.
   * @throws {BLOB_QUOTA_EXCEEDED} when data that is to become a blob does not fit into the blob store.
   * @throws {INVALID_INPUT} when a message is not valid or has no id, or two messages have the same id.
   *
   * @example
   * ```ts
   * await storage.messages.put('chat', [{ id: 'm1', role: 'user', content: 'Helo' }])
   * const stored = await storage.messages.put('chat', [
   *   { id: 'm1', role: 'user', content: 'Hello' },
   *   { id: 'm2', role: 'assistant', content: 'Hi!' },
   * ])
   * console.log(stored.map(({ seq, content }) => [seq, content])) // [[1, 'Hello'], [2, 'Hi!']]
   * ```
   */
  put<Content = MessageContent, Metadata extends object = JsonObject>(
    sessionId: string,
    messages: readonly MessagePut<Content, Metadata>[],
  ): Promise<Message<Content, Metadata>[]>
  async put(sessionId: string, messages: readonly MessagePut[]): Promise<Message[]> {
    parseInput(idSchema, sessionId, 'sessionId')
    const inputs = parseInput(putSchema, messages, 'messages')
    return this.#writer.write(sessionId, {}, inputs, (db, stored, clock) => putMessages(db, sessionId, stored, clock))
  }

  /**
   * Replaces the messages of a range by up to 1000 others, in one transaction, and returns these. Without `throughSeq` the
   * range reaches to the newest message; the new messages get new seqs, and the session is created if needed. With
   * `throughSeq` they take the last places of the range, so there can be no more of them than the range has places. With
   * `expectLastSeq` no message is lost that was appended since the caller has read the session. One round trip. Safe to
   * repeat with an `operationId`, and with `expectLastSeq` or `throughSeq` if every message has an id: such a repeat returns the
   * messages as they are stored. Without any of these a repeat also removes what others have appended since.
   *
   * @throws {VERSION_CONFLICT} when the newest message does not have the seq `expectLastSeq`; nothing was changed.
   * @throws {ALREADY_EXISTS} when a message outside of the range has the id of a new one.
   * @throws {INVALID_STATE} when the operation was done with another payload.
   * @throws {BLOB_TOO_LARGE} when data that is to become a blob exceeds `maxBlobSize` of the blob store.
   * @throws {BLOB_QUOTA_EXCEEDED} when data that is to become a blob does not fit into the blob store.
   * @throws {INVALID_INPUT} when an option or a message is not valid, or the messages do not fit into the range.
   *
   * @example
   * ```ts
   * const { seq } = await storage.messages.append('chat', { role: 'user', content: 'A long story' })
   * await storage.messages.append('chat', { role: 'user', content: 'And now?' })
   * const summary = { id: 'summary-1', role: 'system', content: 'The user told a story.' }
   * await storage.messages.replace('chat', { afterSeq: 0, throughSeq: seq }, [summary])
   * ```
   */
  replace<Content = MessageContent, Metadata extends object = JsonObject>(
    sessionId: string,
    options: ReplaceMessagesOptions,
    messages: readonly MessageInput<Content, Metadata>[],
  ): Promise<Message<Content, Metadata>[]>
  async replace(
    sessionId: string,
    options: ReplaceMessagesOptions,
    messages: readonly MessageInput[],
  ): Promise<Message[]> {
    parseInput(idSchema, sessionId, 'sessionId')
    const range = parseInput(replaceOptionsSchema, options, 'options')
    const inputs = parseInput(appendSchema, messages, 'messages')
    const places = (range.throughSeq ?? Number.POSITIVE_INFINITY) - range.afterSeq
    if (inputs.length > places)
      throw invalidInput([{ path: 'messages', message: `must be at most ${places}, the places of the range` }])
    return this.#writer.write(sessionId, range, inputs, (db, stored, clock, operation) =>
      replaceMessages(db, sessionId, range, stored, clock, operation),
    )
  }

  /**
   * Changes the given fields of a message. Its seq stays the same. One round trip. Safe to repeat.
   *
   * @typeParam Content The expected type of the content. It is not checked.
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {NOT_FOUND} when the session has no message of that id.
   * @throws {BLOB_TOO_LARGE} when data that is to become a blob exceeds `maxBlobSize` of the blob store.
   * @throws {BLOB_QUOTA_EXCEEDED} when data that is to become a blob does not fit into the blob store.
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
    const updated = await this.#writer.offloaded(
      sessionId,
      [{ ...values, id }],
      undefined,
      ([stored = values], keeping) => {
        const { content, metadata } = stored
        const given = { ...values, content, metadata }
        return keeping(this.#db, (db) => updateMessage(db, sessionId, id, given, this.#context.now()))
      },
    )
    if (updated === undefined)
      throw new StorageError('NOT_FOUND', 'There is no such message', { details: { sessionId, id } })
    if (values.content !== undefined) this.#writer.announce([updated])
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
   * Removes up to 1000 messages by their ids, wherever they are. Returns the number removed. One round trip. Safe to
   * repeat.
   *
   * @throws {INVALID_INPUT} when an id is not valid or there are more than 1000.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { id: 'm1', role: 'user', content: 'My password is ...' })
   * console.log(await storage.messages.delete('chat', ['m1', 'm2'])) // 1
   * ```
   */
  async delete(sessionId: string, ids: readonly string[]): Promise<number> {
    parseInput(idSchema, sessionId, 'sessionId')
    const given = new Set(parseInput(messageIdsSchema, ids, 'ids'))
    if (given.size === 0) return 0
    return removeMessages(this.#db, sessionId, [...given], this.#context.now())
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

  /**
   * Imports messages of any number of sessions from an iterable or an async iterable, such as a generator that reads a file:
   * appends each message to the session that it names, and creates the session if needed. Messages of a session keep their order.
   * Takes about a thousand messages, or 4 MiB of text, at a time and stores them in one transaction, so memory stays flat and
   * others can write meanwhile. In a transaction, all of it is part of the transaction. Returns the number of messages added, and
   * of those that were known. If the call fails, what was stored stays. The error of a message that is not valid has its
   * index, and all messages before it are stored.
   *
   * Safe to repeat if every message has an id, also after a crash: a message whose id its session has already is left out, and
   * counts as known. Not safe to repeat without ids: the messages would be appended again.
   *
   * @throws {ABORTED} when `signal` is aborted; what was stored until then stays, and `details` says how much that is
   * @throws {CLOSED} when the storage is closed; `details` says the same if the import had begun
   * @throws {BLOB_TOO_LARGE} when data that is to become a blob exceeds `maxBlobSize` of the blob store.
   * @throws {BLOB_QUOTA_EXCEEDED} when data that is to become a blob does not fit into the blob store.
   * @throws {INVALID_INPUT} when a message or an option is not valid, or the iterable fails: its error is the `cause`.
   *
   * @example
   * ```ts
   * const dump = [{ sessionId: 'chat', id: 'line-1', role: 'user', content: 'When does the train leave?' }]
   * console.log(await storage.messages.import(dump)) // { added: 1, known: 0 }
   * console.log(await storage.messages.import(dump)) // { added: 0, known: 1 }
   * ```
   */
  async import<Content = MessageContent, Metadata extends object = JsonObject>(
    messages: Iterable<MessageImport<Content, Metadata>> | AsyncIterable<MessageImport<Content, Metadata>>,
    options: ImportMessagesOptions = {},
  ): Promise<ImportedMessages> {
    const { signal, onProgress } = parseInput(importOptionsSchema, options, 'options')
    const target = {
      offloaded: (message: ParsedImport) => this.#writer.offloadedOne(message),
      store: (batch: ImportBatch, how: { areKnown: boolean }) => this.#writer.store(batch, how),
      closing: this.#context.closing,
    }
    return importMessages(messages, target, { signal, onProgress })
  }
}
