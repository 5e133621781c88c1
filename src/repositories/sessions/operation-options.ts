import * as z from 'zod/mini'
import { idSchema } from '../../validation/input.ts'
import { jsonSchema } from '../../validation/json.ts'

/** Checks `OperationOptions`. A call with further options extends it. */
export const operationOptionsSchema = z.strictObject({
  operationId: z.optional(idSchema),
  payload: z.optional(jsonSchema),
})

/** Options of a write that is done once. */
export interface OperationOptions {
  /**
   * Names the operation in its session: 1 to 255 bytes. A call whose operation was done before does nothing and returns no
   * messages, so it is safe to repeat. The record goes with the session. Default: the call is done each time.
   */
  operationId?: string | undefined
  /** Any JSON that says what is to be done. Only a hash is kept. The same operation with another payload is refused. */
  payload?: unknown
}
