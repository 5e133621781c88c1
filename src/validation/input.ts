import * as z from 'zod'
import { StorageError } from '../errors.ts'
import { fastCheck, withFastCheck } from './fast-path.ts'

const MAX_ID_BYTES = 255
const MAX_KEY_BYTES = 1024
const MAX_PAGE = 1000
const MAX_TTL_SECONDS = 3_155_760_000 // a hundred years
const EARLIEST = Date.parse('0001-01-01T00:00:00.000Z')
const LATEST = Date.parse('9999-12-31T23:59:59.999Z')

/** Text that both databases keep as it is: well-formed, without NUL; `min` and `max` count UTF-16 units. */
export function textSchema({ min = 0, max }: { min?: number; max: number }) {
  return withFastCheck(
    (text) => typeof text === 'string' && text.length >= min && text.length <= max && isStorable(text),
    z.string().min(min).max(max).refine(isStorable, 'must be well-formed text without NUL'),
  )
}

/** An identifier: 1 to 255 bytes of UTF-8. */
export const idSchema = boundedText(MAX_ID_BYTES)

/** A key of the program's choice: 1 to 1024 bytes of UTF-8. */
export const keySchema = boundedText(MAX_KEY_BYTES)

/** The beginning of keys; may be empty. */
export const prefixSchema = textSchema({ max: MAX_KEY_BYTES })

/** An instant of the years 1 to 9999. */
export const instantSchema = withFastCheck(
  (date) => date instanceof Date && isInRange(date),
  z.date().refine(isInRange, 'must be in the years 1 to 9999'),
)

function isInRange(date: Date): boolean {
  return date.getTime() >= EARLIEST && date.getTime() <= LATEST
}

export const limitSchema = withFastCheck(isInteger(1, MAX_PAGE), z.int().min(1).max(MAX_PAGE))

/** The integers of the tables end here: a greater one is as good as this, as there is nothing beyond. */
export const MAX_INTEGER = 2_147_483_647

export const versionSchema = columnInteger(1)

/** A place in a conversation or a list, or a bound of places. */
export const positionSchema = columnInteger(0)

/** How long something is kept: at most a hundred years. */
export const ttlSecondsSchema = withFastCheck(
  (seconds) => typeof seconds === 'number' && seconds > 0 && seconds <= MAX_TTL_SECONDS,
  z.number().positive().max(MAX_TTL_SECONDS),
)

function columnInteger(min: number) {
  const schema = z
    .int()
    .min(min)
    .transform((integer) => Math.min(integer, MAX_INTEGER))
  return withFastCheck(isInteger(min, MAX_INTEGER), schema)
}

function isInteger(min: number, max: number): (value: unknown) => boolean {
  return (value) => Number.isInteger(value) && Number(value) >= min && Number(value) <= max
}

function boundedText(maxBytes: number) {
  const isShort = (text: string) => text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes
  return withFastCheck(
    (text) => typeof text === 'string' && text !== '' && isShort(text) && isStorable(text),
    z
      .string()
      .min(1, 'must not be empty')
      .refine(isStorable, 'must be well-formed text without NUL')
      .refine(isShort, `must be at most ${maxBytes} bytes`),
  )
}

export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}

/** What is appended together has different ids: which of two is to stay nobody can tell. */
export function eachIdOnce(items: readonly { id?: string }[], context: z.RefinementCtx, what: string): void {
  const ids = new Set<string>()
  for (const [i, { id }] of items.entries()) {
    if (id === undefined) continue
    if (ids.has(id)) context.addIssue({ code: 'custom', path: [i, 'id'], message: `is that of an earlier ${what}` })
    ids.add(id)
  }
}

/** The value as the schema has it. Errors: INVALID_INPUT with every problem's path; `subject` names the call's argument. */
export function parseInput<T>(schema: z.ZodType<T>, value: unknown, subject: string): T {
  const checked = fastCheck(schema, value)
  if (checked !== undefined) return checked
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw invalidInput(
    result.error.issues.flatMap(({ path, message, ...issue }) => {
      const at = [subject, ...path].join('.')
      if (issue.code !== 'unrecognized_keys') return { path: at, message }
      return issue.keys.map((key) => ({ path: `${at}.${key}`, message: 'is unknown here' }))
    }),
  )
}

/** INVALID_INPUT for what is no function. */
export function checkFunction(value: unknown, path: string): void {
  if (typeof value !== 'function') throw invalidInput([{ path, message: `must be a function, not ${typeof value}` }])
}

/** A refusal that names every problem's path, in its message and in its details. */
export function invalidInput(problems: { path: string; message: string }[], cause?: unknown): StorageError {
  const lines = problems.map(({ path, message }) => `${path}: ${message}`)
  return new StorageError('INVALID_INPUT', lines.join('\n'), { details: { problems }, cause })
}
