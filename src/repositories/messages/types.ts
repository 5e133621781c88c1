import * as z from 'zod'
import type { Order } from '../../database/paging/page.ts'
import type { JsonObject, MessageContent } from '../../schema/values.ts'
import { idSchema, instantSchema, textSchema } from '../../validation/input.ts'
import { contentSchema, jsonObjectSchema } from '../../validation/json.ts'

export interface Message {
  sessionId: string
  /** The place in the conversation: strictly rising, never used again, with gaps where messages were removed. */
  seq: number
  /** Unique within the session. */
  id: string
  role: string
  content: MessageContent
  metadata: JsonObject
  createdAt: Date
}

export const messageInputSchema = z.strictObject({
  id: idSchema.optional(),
  role: textSchema({ min: 1, max: 100 }),
  content: contentSchema,
  metadata: jsonObjectSchema.optional(),
  createdAt: instantSchema.optional(),
})
export interface MessageInput {
  /** Random unless given. With an id the append may be repeated. */
  id?: string | undefined
  role: string
  content: string | ({ type: string } | ({ type: string } & Record<string, unknown>))[] | null
  metadata?: object | undefined
  /** Default: now. The order is that of the appends, whatever this says. */
  createdAt?: Date | undefined
}

export const messagePatchSchema = messageInputSchema.omit({ id: true, createdAt: true }).partial()
export type MessagePatch = { [K in 'role' | 'content' | 'metadata']?: MessageInput[K] | undefined }

export interface ListMessagesOptions {
  /** 1 to 1000. Default 50. */
  limit?: number | undefined
  /** Only messages whose seq is greater. */
  after?: number | undefined
  /** Only messages whose seq is less. */
  before?: number | undefined
  /** The `nextCursor` of the page before. */
  cursor?: string | undefined
  /** Default 'asc': oldest first. */
  order?: Order | undefined
}
