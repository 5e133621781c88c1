import * as z from 'zod/mini'
import type { PageOptions } from '../../database/paging/page.ts'
import type { Given, JsonObject } from '../../schema/values.ts'
import { idSchema, instantSchema, textSchema } from '../../validation/input.ts'
import { jsonObjectSchema } from '../../validation/json.ts'

/** A conversation, or anything else that messages, events, queues and approvals belong to. */
export interface Session<Metadata extends object = JsonObject> {
  id: string
  title: string | null
  /** Whose session it is. The empty string if it is nobody's. */
  ownerId: string
  metadata: Metadata
  /** Counts the changes of the session's own fields, from 1. Messages do not change it. */
  version: number
  /** The session that this session was forked from. */
  parentId: string | null
  createdAt: Date
  /** When a field of the session last changed. Messages do not change it. */
  updatedAt: Date
  /**
   * The session is absent from this time on. Maintenance removes it at least five minutes later, with all that belongs
   * to it.
   */
  expiresAt: Date | null
}

/** A session with the counters of its messages. */
export interface SessionSummary<Metadata extends object = JsonObject> extends Session<Metadata> {
  /** The highest `seq` that a message of the session ever had. 0 before the first message. */
  lastSeq: number
  messageCount: number
  /** When the session was created, or a message was last appended or removed. */
  lastActiveAt: Date
}

/** A session title: up to 1000 characters, or null for none. */
export const titleSchema = z.nullable(textSchema({ max: 1000 }))

export const sessionInputSchema = z.strictObject({
  id: z.optional(idSchema),
  title: z.optional(titleSchema),
  ownerId: z.optional(z.nullable(idSchema)),
  metadata: z.optional(jsonObjectSchema),
  expiresAt: z.optional(z.nullable(instantSchema)),
})

/** A session to create. Every field is optional. */
export interface SessionInput<Metadata extends object = JsonObject> {
  /** 1 to 255 bytes. Default: a random UUID. */
  id?: string | undefined
  /** Up to 1000 characters. Default null. */
  title?: string | null | undefined
  /** Whose session it is. 1 to 255 bytes. Default: nobody's, and in a scope the owner of the scope. */
  ownerId?: string | null | undefined
  /** A JSON object. Default `{}`. */
  metadata?: Given<Metadata, JsonObject, object> | undefined
  /** Default null: the session never expires. */
  expiresAt?: Date | null | undefined
}

export const sessionPatchSchema = z.omit(sessionInputSchema, { id: true })

/** The fields to change. Null empties a field; undefined leaves it as it is. */
export type SessionPatch<Metadata extends object = JsonObject> = Omit<SessionInput<Metadata>, 'id'>

/** Options of `sessions.update()`. */
export interface UpdateSessionOptions {
  /** Changes the session only if it is at this version. Default: any version. */
  ifVersion?: number | undefined
}

/** Options of `sessions.list()`. */
export interface ListSessionsOptions extends PageOptions {
  /** Only sessions of this owner. Default: all sessions. */
  ownerId?: string | undefined
  /**
   * The newest first by this time. 'lastActiveAt' may be up to a second old. Default 'lastActiveAt'. Use 'createdAt' to walk
   * over all sessions while they are active.
   */
  orderBy?: 'lastActiveAt' | 'createdAt' | undefined
}

/** Options of `sessions.fork()`. */
export interface ForkOptions {
  /** The id of the new session. Default: a random UUID. */
  id?: string | undefined
  /** Default: the title of the original. */
  title?: string | null | undefined
  /** Copies messages up to and including this seq. Default: all messages. */
  throughSeq?: number | undefined
}
