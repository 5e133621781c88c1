import * as z from 'zod/mini'
import type { Json, JsonObject, MessageContent } from '../schema/values.ts'
import { explained } from './explain.ts'
import { withFastCheck } from './fast-path.ts'

const MAX_DEPTH = 500

interface Problem {
  path: (string | number)[]
  message: string
}

/**
 * Any JSON value. As in JSON.stringify(), -0 becomes 0, and these are dropped: properties whose value is undefined, symbol
 * keys, properties of an array besides its items. Whatever else JSON would change in silence is refused with its path: NaN,
 * a Date, a class instance, a hole in an array.
 */
export const jsonSchema = schemaOf<Json>((value) => problemOf(value, []))

/** A JSON object. */
export const jsonObjectSchema = schemaOf<JsonObject>((value) =>
  isPlainObject(value) ? problemOf(value, []) : { path: [], message: 'must be a plain object of JSON values' },
)

/** Makes a schema of JSON objects whose properties match `known`. It only validates: an object is returned as given. */
export function jsonObjectWith<T extends JsonObject>(known: z.ZodMiniType) {
  return z.pipe(
    jsonObjectSchema,
    z.custom<T>().check(
      z.superRefine((object: JsonObject, context) => {
        const { error } = known.safeParse(object, explained)
        for (const { path, message } of error?.issues ?? []) context.addIssue({ code: 'custom', path, message })
      }),
    ),
  )
}

/** Returns a copy of a JSON value as it would be read back from the database: without what JSON drops. */
export function jsonCopy<T extends Json>(value: T): T {
  // A string is its own copy. The cast holds because JSON keeps the type of every value that `jsonSchema` accepts.
  return typeof value === 'string' ? value : (JSON.parse(JSON.stringify(value)) as T)
}

/** Returns `current` with the properties of `patch` replaced. A property that is undefined in the patch is removed. */
export function mergeJson(current: JsonObject, patch: Readonly<Record<string, Json | undefined>>): JsonObject {
  const entries = Object.entries({ ...current, ...patch })
  return Object.fromEntries(entries.filter((entry): entry is [string, Json] => entry[1] !== undefined))
}

/** The content of a message: a string, an array of parts, or null. */
export const contentSchema = schemaOf<MessageContent>((content) => {
  if (content === null || typeof content === 'string') return undefined
  if (!Array.isArray(content)) return { path: [], message: 'must be a string, an array of parts or null' }
  const invalid = Array.from(content).findIndex((part) => !isPlainObject(part) || typeof part.type !== 'string')
  return invalid < 0
    ? problemOf(content, [])
    : { path: [invalid], message: 'must be a part: a plain object whose type is a string' }
})

/** Makes a schema of the values in which `problemIn` finds no problem. */
function schemaOf<T>(problemIn: (value: unknown) => Problem | undefined) {
  const schema = z.custom<T>().check(
    z.superRefine((value, context) => {
      const problem = problemIn(value)
      if (problem) context.addIssue({ code: 'custom', ...problem })
    }),
  )
  return withFastCheck((value) => problemIn(value) === undefined, schema)
}

function problemOf(value: unknown, path: (string | number)[]): Problem | undefined {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return undefined
    case 'number':
      return Number.isFinite(value)
        ? undefined
        : { path, message: 'must be a finite number: JSON has no NaN and no infinity' }
    case 'object':
      if (value === null) return undefined
      if (path.length >= MAX_DEPTH)
        return { path: [], message: `must not be nested more than ${MAX_DEPTH} deep, or contain itself` }
      if (Array.isArray(value)) return problemInArray(value, path)
      if (isPlainObject(value)) return problemInObject(value, path)
  }
  const given = typeof value === 'object' && value !== null ? nameOf(value) : typeof value
  const kinds = 'null, a boolean, a number, a string, an array or a plain object'
  const advice = given === 'Date' ? ': give its toISOString(), or pass the whole through toJson()' : ''
  return { path, message: `must be JSON (${kinds}), not ${given}${advice}` }
}

/** Returns the name of the class of an object. */
function nameOf(object: object): string {
  const name: unknown = object.constructor?.name
  return typeof name === 'string' && name !== '' ? name : 'an object of a class'
}

function problemInArray(array: readonly unknown[], path: (string | number)[]): Problem | undefined {
  for (let i = 0; i < array.length; i++) {
    const item = array[i]
    if (typeof item === 'string') continue
    const problem = problemOf(item, [...path, i])
    if (problem) return problem
  }
}

function problemInObject(object: Record<string, unknown>, path: (string | number)[]): Problem | undefined {
  for (const key of Object.keys(object)) {
    const value = object[key]
    if (value === undefined || typeof value === 'string') continue
    const problem = problemOf(value, [...path, key])
    if (problem) return problem
  }
}

export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  // Not compared to Object.prototype, which an object of another realm does not have.
  return prototype === null || Object.getPrototypeOf(prototype) === null
}
