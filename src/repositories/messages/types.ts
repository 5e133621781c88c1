import * as z from 'zod/mini'
import type { Order, PageOptions } from '../../database/paging/page.ts'
import type { Given, JsonObject, MessageContent, MessagePartType, MessageRole } from '../../schema/values.ts'
import { rule } from '../../validation/fast-path.ts'
import { idSchema, instantSchema, positionSchema, signalSchema, textSchema } from '../../validation/input.ts'
import { contentSchema, jsonObjectSchema } from '../../validation/json.ts'
import { type OperationOptions, operationOptionsSchema } from '../sessions/operation-options.ts'

/** A stored message of a session. */
export interface Message<Content = MessageContent, Metadata extends object = JsonObject> {
  sessionId: string
  /** The place in the conversation. It rises strictly and is never reused, so a removed message leaves a gap. */
  seq: number
  /** Unique within the session. */
  id: string
  role: MessageRole
  content: Content
  metadata: Metadata
  createdAt: Date
}

/** One part of a message: an object literal, or a value of an interface, with a `type`. */
export type MessagePartInput = { type: MessagePartType } | ({ type: MessagePartType } & Record<string, unknown>)

/** Text, parts, or null for no content (such as that of an assistant that only calls tools). */
export type MessageContentInput = string | readonly MessagePartInput[] | null

/** The ids that one call may name. */
export const messageIdsSchema = z.array(idSchema).check(z.maxLength(1000))

export const messageInputSchema = z.strictObject({
  id: z.optional(idSchema),
  role: textSchema({ min: 1, max: 100 }),
  content: contentSchema,
  metadata: z.optional(jsonObjectSchema),
  createdAt: z.optional(instantSchema),
})

/** A message to append. */
export interface MessageInput<Content = MessageContent, Metadata extends object = JsonObject> {
  /** 1 to 255 bytes. Default: a random UUID. An append with an id is safe to repeat. */
  id?: string | undefined
  /** 1 to 100 characters, such as 'user' or 'assistant'. */
  role: MessageRole
  content: Given<Content, MessageContent, MessageContentInput>
  /** A JSON object. Default `{}`. */
  metadata?: Given<Metadata, JsonObject, object> | undefined
  /** Default: now. It does not change the order of the messages, which is the order of the appends. */
  createdAt?: Date | undefined
}

export const putInputSchema = z.extend(messageInputSchema, { id: idSchema })

/** A message to put: one with an id. */
export type MessagePut<Content = MessageContent, Metadata extends object = JsonObject> = MessageInput<
  Content,
  Metadata
> & { id: string }

export const messagePatchSchema = z.partial(z.omit(messageInputSchema, { id: true, createdAt: true }))

/** The fields to change. Undefined leaves a field as it is. */
export type MessagePatch<Content = MessageContent, Metadata extends object = JsonObject> = {
  [K in 'role' | 'content' | 'metadata']?: MessageInput<Content, Metadata>[K] | undefined
}

/** Options of `messages.list()`. */
export interface ListMessagesOptions extends PageOptions {
  /** Only messages with a greater seq. Default: from the first message. */
  after?: number | undefined
  /** Only messages with a smaller seq. Default: to the last message. */
  before?: number | undefined
  /** Default 'asc': the oldest message first. */
  order?: Order | undefined
}

/** Options of `messages.iterate()`. */
export interface IterateMessagesOptions {
  /** Maximum number of messages that are read at a time: 1 to 1000. Default 500. A batch also ends after 1 MiB. */
  batchSize?: number | undefined
}

/** Options of `messages.truncate()`. */
export interface TruncateMessagesOptions {
  /** Messages with a greater seq are removed. */
  afterSeq: number
}

/** Options of `messages.around()`. */
export interface AroundOptions {
  /** Maximum number of messages before the message: 0 to 1000. Default 10. */
  before?: number | undefined
  /** Maximum number of messages after the message: 0 to 1000. Default 10. */
  after?: number | undefined
}

export const replaceOptionsSchema = z
  .extend(operationOptionsSchema, {
    afterSeq: positionSchema,
    throughSeq: z.optional(positionSchema),
    expectLastSeq: z.optional(positionSchema),
  })
  .check(
    z.refine(({ afterSeq, throughSeq = afterSeq }) => throughSeq >= afterSeq, {
      path: ['throughSeq'],
      message: 'must be at least afterSeq',
    }),
  )

/** Options of `messages.replace()`. */
export interface ReplaceMessagesOptions extends OperationOptions {
  /** Messages with a greater seq are replaced. 0 replaces from the first message. */
  afterSeq: number
  /** The seq of the last message to replace. Default: through the newest message. */
  throughSeq?: number | undefined
  /** Replaces only if the newest message has this seq; 0 if there is none. Default: whatever the newest message is. */
  expectLastSeq?: number | undefined
}

export const importInputSchema = z.extend(messageInputSchema, { sessionId: idSchema })
export type ParsedImport = z.output<typeof importInputSchema>

/** A message to import: one that names its session. */
export type MessageImport<Content = MessageContent, Metadata extends object = JsonObject> = MessageInput<
  Content,
  Metadata
> & {
  /** 1 to 255 bytes. The session is created if it does not exist. */
  sessionId: string
}

/** How many messages `messages.import()` has taken. */
export interface ImportedMessages {
  /** Number of messages that were stored. */
  added: number
  /** Number of messages whose id their session had already. */
  known: number
}

export const importOptionsSchema = z.strictObject({
  signal: z.optional(signalSchema),
  onProgress: z.optional(
    rule<(progress: ImportedMessages) => void>((value) => typeof value === 'function', 'must be a function'),
  ),
})

/** Options of `messages.import()`. */
export interface ImportMessagesOptions {
  /** Ends the call between two batches, also while it waits for a message. Then the call rejects with ABORTED. */
  signal?: AbortSignal | undefined
  /** Called after each batch of about a thousand messages, with the sums so far. */
  onProgress?: ((progress: ImportedMessages) => void) | undefined
}
