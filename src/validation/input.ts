import * as z from 'zod/mini'
import { type Problem, StorageError } from '../errors.ts'
import { explained } from './explain.ts'
import { fastCheck, rule, withFastCheck } from './fast-path.ts'
import { EARLIEST, LATEST } from './instants.ts'

const MAX_ID_BYTES = 255
const MAX_KEY_BYTES = 1024
const MAX_PAGE = 1000
const MAX_TTL_SECONDS = 3_155_760_000 // a hundred years

/** Makes a schema of text that both databases store unchanged. `min` and `max` count UTF-16 units. */
export function textSchema({ min = 0, max }: { min?: number; max: number }) {
  return rule<string>(
    (text) => typeof text === 'string' && text.length >= min && text.length <= max && isStorable(text),
    `must be text of ${min} to ${max} characters, well-formed and without NUL`,
  )
}

/** Makes a schema of text that is not empty and takes at most `maxBytes` bytes of UTF-8. */
function boundedText(maxBytes: number) {
  const isShort = (text: string) => text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes
  return rule<string>(
    (text) => typeof text === 'string' && text !== '' && isShort(text) && isStorable(text),
    `must be text of 1 to ${maxBytes} bytes, well-formed and without NUL`,
  )
}

/** Returns true if both databases store the text unchanged. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}

/** An identifier: 1 to 255 bytes of UTF-8. */
export const idSchema = boundedText(MAX_ID_BYTES)

/** A key that the program chooses: 1 to 1024 bytes of UTF-8. */
export const keySchema = boundedText(MAX_KEY_BYTES)

/** The beginning of keys. May be empty. */
export const prefixSchema = textSchema({ max: MAX_KEY_BYTES })

/** A Date in the years 1 to 9999, the range of both databases. */
export const instantSchema = withFastCheck(
  (date) => date instanceof Date && isInRange(date.getTime()),
  z.pipe(
    z.custom<Date>((date) => isInRange(timeOf(date)), 'must be a Date in the years 1 to 9999'),
    z.transform((date) => new Date(date)),
  ), // a Date of another realm is no instance of the Date that the layers below know
)

/** Maximum number of items of a page: 1 to 1000. */
export const limitSchema = rule<number>(isInteger(1, MAX_PAGE), `must be an integer from 1 to ${MAX_PAGE}`)

/** Largest value of an integer column. Larger bounds are clamped to it; no row lies beyond. */
export const MAX_INTEGER = 2_147_483_647

export const versionSchema = columnInteger(1)

/** A position in a conversation or a list, or a bound of positions. */
export const positionSchema = columnInteger(0)

/** Makes a schema of a duration in seconds: more than 0, at most `max`. */
export function secondsSchema(max: number) {
  return rule<number>(
    (seconds) => typeof seconds === 'number' && seconds > 0 && seconds <= max,
    `must be a number of seconds: more than 0, at most ${max}`,
  )
}

/** A time to live in seconds: more than 0, at most a hundred years. */
export const ttlSecondsSchema = secondsSchema(MAX_TTL_SECONDS)

/** A duration in milliseconds. */
export const millisSchema = rule<number>(isInteger(1, MAX_INTEGER), 'must be a whole number of milliseconds, 1 or more')

export const signalSchema = rule<AbortSignal>((value) => value instanceof AbortSignal, 'must be an AbortSignal')

function isInRange(time: number): boolean {
  return time >= EARLIEST.getTime() && time <= LATEST.getTime()
}

/** Returns the time of a Date of any realm, and NaN for anything else. */
function timeOf(date: unknown): number {
  try {
    return Date.prototype.getTime.call(date)
  } catch {
    return Number.NaN
  }
}

function columnInteger(min: number) {
  const integer = rule<number>(isInteger(min, Number.MAX_SAFE_INTEGER), `must be an integer of at least ${min}`)
  const clamped = z.pipe(
    integer,
    z.transform((value) => Math.min(value, MAX_INTEGER)),
  )
  return withFastCheck(isInteger(min, MAX_INTEGER), clamped) // up to there, nothing is clamped
}

/** Makes the test of an integer from `min` to `max`. */
export function isInteger(min: number, max: number) {
  return (value: unknown) => Number.isInteger(value) && Number(value) >= min && Number(value) <= max
}

/** Rejects duplicate ids within one append: it would be ambiguous which item to keep. */
export function rejectDuplicateIds(
  items: readonly { id?: string }[],
  context: z.core.$RefinementCtx,
  what: string,
): void {
  const ids = new Set<string>()
  for (const [i, { id }] of items.entries()) {
    if (id === undefined) continue
    if (ids.has(id)) context.addIssue({ code: 'custom', path: [i, 'id'], message: `is the id of an earlier ${what}` })
    ids.add(id)
  }
}

/**
 * Returns the value as the schema parses it. `subject` is the name of the argument, the beginning of each problem's path.
 *
 * @throws {INVALID_INPUT} when the value does not match the schema; names every problem's path
 */
export function parseInput<T>(schema: z.ZodMiniType<T>, value: unknown, subject: string): T {
  const valid = fastCheck(schema, value)
  if (valid !== undefined) return valid
  const result = schema.safeParse(value, explained)
  if (result.success) return result.data
  throw invalidInput(
    result.error.issues.flatMap(({ path, message, ...issue }) => {
      const at = [subject, ...path].join('.')
      if (issue.code !== 'unrecognized_keys') return { path: at, message }
      return issue.keys.map((key) => ({ path: `${at}.${key}`, message }))
    }),
  )
}

/**
 * Checks that an argument is a function.
 *
 * @throws {INVALID_INPUT} when the value is not a function
 */
export function checkFunction(value: unknown, path: string): void {
  if (typeof value !== 'function') throw invalidInput([{ path, message: `must be a function, not ${typeof value}` }])
}

/** Makes an INVALID_INPUT error whose message and details name every problem's path. */
export function invalidInput(problems: readonly Problem[], cause?: unknown): StorageError<'INVALID_INPUT'> {
  const lines = problems.map(({ path, message }) => `${path}: ${message}`)
  return new StorageError('INVALID_INPUT', lines.join('\n'), { details: { problems }, cause })
}
