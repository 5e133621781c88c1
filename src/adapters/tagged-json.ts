import type { Json, JsonObject } from '../schema/values.ts'

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

function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64'))
}

/**
 * Returns a value of a framework as JSON. Bytes, dates and URLs become `{ $bytes: '...' }` and the like; an object that has
 * such a key and no other is wrapped once more. Properties without a value are dropped. The storage refuses anything else
 * that JSON does not have.
 */
export function encode(value: unknown): Json {
  if (Array.isArray(value)) return value.map(encode)
  if (typeof value !== 'object' || value === null) return value as Json // the storage refuses what is no JSON
  for (const [tag, { write }] of Object.entries(TAGS)) {
    const text = write(value)
    if (text !== undefined) return { [tag]: text }
  }
  if (!isPlainObject(value)) return value as Json // the storage refuses it, and names its path
  const entries = Object.entries(value).filter(([, property]) => property !== undefined)
  const object = Object.fromEntries(entries.map(([key, property]) => [key, encode(property)]))
  const tag = onlyTagOf(object)
  return tag === undefined ? object : { [tag]: object }
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
