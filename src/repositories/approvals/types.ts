import * as z from 'zod/mini'
import { type PageOptions, pageSchema } from '../../database/paging/page.ts'
import type { ApprovalDecision, Given, Json } from '../../schema/values.ts'
import { idSchema, textSchema } from '../../validation/input.ts'
import { jsonSchema } from '../../validation/json.ts'

/** The response to an approval request. */
export interface ApprovalResponse<Data = Json> {
  /** The id of the approval. */
  id: string
  /** Any text the program chooses, such as 'approved' or 'denied'. */
  decision: ApprovalDecision
  data: Data
  respondedAt: Date
}

/** An approval request, with its response once there is one. */
export interface Approval<Request = Json, Data = Json> {
  id: string
  /** Whose approval it is: the owner of its session or of the scope. '' if nobody owns it. */
  ownerId: string
  sessionId: string | null
  type: string
  request: Request
  createdAt: Date
  /** Null while the approval is pending. */
  response: ApprovalResponse<Data> | null
}

export const approvalInputSchema = z.strictObject({
  id: z.optional(idSchema),
  sessionId: z.optional(z.nullable(idSchema)),
  type: textSchema({ min: 1, max: 255 }),
  request: z.optional(jsonSchema),
})

export interface ApprovalInput<Request = Json> {
  /** 1 to 255 bytes. Default: a new UUID. With an id the request is safe to repeat. */
  id?: string | undefined
  /** 1 to 255 bytes. Default null. The approval is removed with the session. */
  sessionId?: string | null | undefined
  /** The kind of thing to approve, such as 'tool'. 1 to 255 characters. */
  type: string
  /** What the person who decides needs to know: any JSON. Default null. */
  request?: Given<Request, Json, unknown> | undefined
}

export const approvalResponseSchema = z.strictObject({
  id: idSchema,
  decision: textSchema({ min: 1, max: 100 }),
  data: z.optional(jsonSchema),
})

export interface ApprovalResponseInput<Data = Json> {
  /** The id of the approval. */
  id: string
  /** 1 to 100 characters, such as 'approved' or 'denied'. */
  decision: ApprovalDecision
  /** Any JSON. Default null. */
  data?: Given<Data, Json, unknown> | undefined
}

export const pendingOptionsSchema = z.strictObject({
  sessionId: z.optional(idSchema),
  ...pageSchema.shape,
})

export interface ListPendingOptions extends PageOptions {
  /** Only approvals of this session. Default: all sessions, and approvals without a session. */
  sessionId?: string | undefined
}

export const listOptionsSchema = z.strictObject({
  ...pendingOptionsSchema.shape,
  status: z.optional(z.enum(['pending', 'responded'])),
  ownerId: z.optional(idSchema),
})

/** Options of `approvals.list()`. An approval must match all of them. */
export interface ListApprovalsOptions extends ListPendingOptions {
  /** Only approvals without a response, or only those with one. Default: both. */
  status?: 'pending' | 'responded' | undefined
  /** Only approvals of this owner. Default: everybody's. In a scope, all approvals have its owner. */
  ownerId?: string | undefined
}
