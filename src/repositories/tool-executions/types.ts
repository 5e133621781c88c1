import * as z from 'zod/mini'
import { type PageOptions, pageSchema } from '../../database/paging/page.ts'
import type { Given, Json, ToolExecutionStatus } from '../../schema/values.ts'
import { idSchema } from '../../validation/input.ts'
import { jsonSchema } from '../../validation/json.ts'

export type { ToolExecutionStatus }

/** Identifies a tool call: by its run, the turn of the run, the model step of the turn, and the call of the step. */
export interface ToolExecutionIdentity {
  runId: string
  turnId: string
  modelStepId: string
  toolCallId: string
}

/** The record of a tool call. */
export interface ToolExecution<Input = Json, Output = Json, Failure = Json> {
  executionId: string
  /** Whose record it is. '' if nobody owns it, as if it was started outside of a scope. */
  ownerId: string
  identity: ToolExecutionIdentity
  toolName: string
  input: Input
  status: ToolExecutionStatus
  /** The output given to `complete`, else null. */
  output: Output | null
  /** The error given to `fail`, or the reason given to `cancel`, else null. */
  error: Failure | null
  startedAt: Date
  /** Null while the status is 'running'. */
  finishedAt: Date | null
}

export const identitySchema = z.strictObject({
  runId: idSchema,
  turnId: idSchema,
  modelStepId: idSchema,
  toolCallId: idSchema,
})

export const toolExecutionInputSchema = z.strictObject({
  executionId: z.optional(idSchema),
  identity: identitySchema,
  toolName: idSchema,
  input: z.optional(jsonSchema),
})

export interface ToolExecutionInput<Input = Json> {
  /** 1 to 255 bytes. Default: `toolExecutionId(identity)`. */
  executionId?: string | undefined
  /** Four ids of 1 to 255 bytes. */
  identity: ToolExecutionIdentity
  /** 1 to 255 bytes. */
  toolName: string
  /** Any JSON. Default null. */
  input?: Given<Input, Json, unknown> | undefined
}

const STATUSES = ['running', 'completed', 'failed', 'cancelled'] as const satisfies readonly ToolExecutionStatus[]

export const listOptionsSchema = z.strictObject({
  status: z.optional(z.enum(STATUSES)),
  runId: z.optional(idSchema),
  ownerId: z.optional(idSchema),
  ...pageSchema.shape,
})

/** Options of `toolExecutions.list()`. An execution must match all of them. */
export interface ListToolExecutionsOptions extends PageOptions {
  /** Only executions with this status. Default: any status. */
  status?: ToolExecutionStatus | undefined
  /** Only executions of this run. Default: all runs. */
  runId?: string | undefined
  /** Only executions of this owner. Default: everybody's. In a scope, all executions have its owner. */
  ownerId?: string | undefined
}
