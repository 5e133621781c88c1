import { createHash } from 'node:crypto'
import { parseInput } from '../../validation/input.ts'
import { identitySchema, type ToolExecutionIdentity } from './types.ts'

/**
 * Returns the id that `start()` gives an execution if `executionId` is left out. The same identity has the same id in
 * every process.
 *
 * @throws {INVALID_INPUT} when one of the four ids is not valid.
 *
 * @example
 * ```ts
 * import { toolExecutionId } from 'holdfast'
 * const identity = { runId: 'r1', turnId: 't1', modelStepId: 'm2', toolCallId: 'c1' }
 * const { record } = await storage.toolExecutions.start({ identity, toolName: 'search' })
 * console.log(record.executionId === toolExecutionId(identity)) // true
 * ```
 */
export function toolExecutionId(identity: ToolExecutionIdentity): string {
  return hashOf(parseInput(identitySchema, identity, 'identity'))
}

/** Returns the id of an identity that was checked. */
export function hashOf({ runId, turnId, modelStepId, toolCallId }: ToolExecutionIdentity): string {
  const unambiguous = JSON.stringify([runId, turnId, modelStepId, toolCallId])
  return createHash('sha256').update(unambiguous).digest('hex')
}
