import * as z from 'zod'
import type { JsonObject } from '../../schema/values.ts'
import { idSchema, instantSchema, textSchema } from '../../validation/input.ts'
import { jsonObjectSchema } from '../../validation/json.ts'

export interface Session {
  id: string
  title: string | null
  ownerId: string | null
  metadata: JsonObject
  /** Counts the changes of the session's own fields, from 1; messages do not change it. */
  version: number
  /** The session this one was forked from. */
  parentId: string | null
  createdAt: Date
  updatedAt: Date
  /** From then on the session is absent; `maintain()` removes it with all that belongs to it. */
  expiresAt: Date | null
}

export interface SessionSummary extends Session {
  /** The seq of the newest message there ever was; 0 before the first. */
  lastSeq: number
  messageCount: number
  lastActiveAt: Date
}

/** A session title: up to 1000 characters, or null for none. */
export const titleSchema = textSchema({ max: 1000 }).nullable()

export const sessionInputSchema = z.strictObject({
  id: idSchema.optional(),
  title: titleSchema.optional(),
  ownerId: idSchema.nullable().optional(),
  metadata: jsonObjectSchema.optional(),
  expiresAt: instantSchema.nullable().optional(),
})
export interface SessionInput {
  /** Random unless given. */
  id?: string | undefined
  title?: string | null | undefined
  ownerId?: string | null | undefined
  metadata?: object | undefined
  /** Default null: it stays. */
  expiresAt?: Date | null | undefined
}

export const sessionPatchSchema = sessionInputSchema.omit({ id: true })
export type SessionPatch = Omit<SessionInput, 'id'>

export interface ForkOptions {
  /** Random unless given. */
  id?: string | undefined
  /** Default: that of the original. */
  title?: string | null | undefined
  /** The seq of the last message that is copied. Default: all. */
  throughSeq?: number | undefined
}
