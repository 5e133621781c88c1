import * as z from 'zod/mini'
import { checkFunction, parseInput, signalSchema } from '../validation/input.ts'

/** What a call that takes long may be given. */
export interface LongRunOptions<Progress> {
  signal?: AbortSignal | undefined
  onProgress?: ((progress: Progress) => void) | undefined
}

/** The options that every call that takes long has, for its schema. `progressOf` checks the function. */
export const longRun = { signal: z.optional(signalSchema), onProgress: z.optional(z.unknown()) }

const optionsSchema = z.strictObject(longRun)
const removalOptionsSchema = z.extend(optionsSchema, { dryRun: z.optional(z.boolean()) })

/**
 * Checks the options of a call that takes long.
 *
 * @throws {INVALID_INPUT} when an option is not valid
 */
export function parseLongRun<Progress>(options: LongRunOptions<Progress>): LongRunOptions<Progress> {
  const { signal } = parseInput(optionsSchema, options, 'options')
  return { signal, onProgress: progressOf(options) }
}

/**
 * Checks the options of a call that removes much, or only counts it.
 *
 * @throws {INVALID_INPUT} when an option is not valid
 */
export function parseRemoval<Progress>(options: LongRunOptions<Progress> & { dryRun?: boolean | undefined }) {
  const { dryRun = false, signal } = parseInput(removalOptionsSchema, options, 'options')
  return { dryRun, signal, onProgress: progressOf(options) }
}

/**
 * Returns the caller's own function, whose type no schema could keep.
 *
 * @throws {INVALID_INPUT} when it is no function
 */
export function progressOf<Progress>({ onProgress }: LongRunOptions<Progress>) {
  if (onProgress !== undefined) checkFunction(onProgress, 'options.onProgress')
  return onProgress
}
