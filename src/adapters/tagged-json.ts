import type { Json, JsonObject } from '../schema/values.ts'
import { invalid } from './invalid.ts'

/** How a value that JSON does not have is written as text under a tag, and read again. */
interface Tag {
  write(value: object): string | undefined
  read(text: string): unknown
}

// Each value has a tag of its own, so that it comes back as what it was. A Buffer comes back as a Uint8Array.
const TAGS: Record<string, Tag> = {
  $bytes: {
    write: (value) => (value instanceof Uint8Array ? Buffer.from(value).toString('base64') : undefined),
    read: bytesOf,
  },
  $buffer: {
    write: (value) => (value instanceof ArrayBuffer ? Buffer.from(value).toString('base64') : undefined),
    read: (text) => bytesOf(text).buffer,
  },
  $date: {
    write: (value) => (value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : undefined),
    read: (text) => new Date(text),
  },
  $url: {
    write: (value) => (value instanceof URL ? value.href : undefined),
    read: (text) => new URL(text),
  },
}

/** What stands in the place of data that is a blob: neither base64 nor a date looks like it. */
const NAMES_BLOB = /^blob:[0-9a-f]{32}$/

/** How deep a value may be here. The storage has the limit of 500, and names the path; this one ends what contains itself. */
const MAX_DEPTH = 1000

function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64'))
}

/**
 * Returns a value of a framework as JSON. Bytes, dates and URLs become `{ $bytes: '...' }` and the like; an object that has
 * such a key and no other is wrapped once more. Properties without a value are dropped. The storage refuses anything else
 * that JSON does not have.
 *
 * @throws {INVALID_INPUT} when the value contains itself, or is nested too deeply for any storage
 */
export function encode(value: unknown): Json {
  return encodeAt(value, 0, false)
}

/**
 * Returns a value of a framework as JSON, as `encode` does. But anything else that JSON does not have becomes what
 * `JSON.stringify` makes of it, for a framework that would lose a whole answer if one value of it were refused. Only a
 * `bigint` is left, as there.
 *
 * @throws {INVALID_INPUT} when the value contains itself, or is nested too deeply for any storage
 */
export function encodeLoosely(value: unknown): Json {
  return encodeAt(value, 0, true)
}

function encodeAt(value: unknown, depth: number, isLoose: boolean): Json {
  if (typeof value !== 'object' || value === null) return (isLoose ? bareOf(value) : value) as Json // the storage refuses what is no JSON
  if (depth > MAX_DEPTH) throw invalid('value', 'must not be nested more than 500 deep, or contain itself')
  if (Array.isArray(value)) {
    const items = Array.from(value, (item) => encodeAt(item, depth + 1, isLoose))
    return isLoose ? items.map((item) => item ?? null) : items
  }
  for (const [tag, { write }] of Object.entries(TAGS)) {
    const text = write(value)
    if (text !== undefined) return { [tag]: text }
  }
  if (isLoose && 'toJSON' in value && typeof value.toJSON === 'function')
    return encodeAt(value.toJSON(), depth + 1, isLoose)
  if (!isLoose && !isPlainObject(value)) return value as Json // the storage refuses it, and names its path
  const entries = Object.entries(value).map(([key, property]) => [key, encodeAt(property, depth + 1, isLoose)] as const)
  const object = Object.fromEntries(entries.filter(([, property]) => property !== undefined))
  const tag = onlyTagOf(object)
  return tag === undefined ? object : { [tag]: object }
}

/** Returns what `JSON.stringify` makes of a value that is no object. Undefined if it leaves the value out. */
function bareOf(value: unknown): unknown {
  if (typeof value === 'function' || typeof value === 'symbol') return undefined
  return typeof value === 'number' && !Number.isFinite(value) ? null : value
}

/** Returns the value that `encode` made JSON of. */
export function decode(value: Json): unknown {
  if (Array.isArray(value)) return value.map(decode)
  if (!isPlainObject(value)) return value
  const tag = onlyTagOf(value)
  const inner = tag === undefined ? undefined : value[tag]
  if (tag !== undefined && typeof inner === 'string') return NAMES_BLOB.test(inner) ? inner : TAGS[tag]?.read(inner)
  const object = isPlainObject(inner) ? inner : value
  return Object.fromEntries(Object.entries(object).map(([key, property]) => [key, decode(property ?? null)]))
}

/** Returns true for an object that is no array and of no class. */
export function isPlainObject(value: unknown): value is JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null // also an object of another realm
}

function onlyTagOf(object: object): string | undefined {
  const [key = '', ...others] = Object.keys(object)
  return others.length === 0 && Object.hasOwn(TAGS, key) ? key : undefined
}
