/**
 * Serialises rows without loss: dates, bytes, undefined (as against null), bigints, NaN, infinities, -0 and the order
 * of keys survive. A value that JSON lacks is written as plain JSON, and its path is noted in a line in front of the
 * JSON. A row without such values decodes at the cost of JSON.parse.
 */

/** The version of this encoding. It is part of every key: an instance of another version does not read its entries. */
export const ENCODING = 1

type Kind = 'date' | 'bytes' | 'buffer' | 'undefined' | 'bigint' | 'number'
type Note = [kind: Kind, ...path: (string | number)[]]

/** Returns the row as text. Throws a TypeError for a function, a symbol or an instance of a class. */
export function encode(value: unknown): string {
  const notes: Note[] = []
  const plain = JSON.stringify(toJson(value, [0], notes))
  return `${notes.length === 0 ? '' : JSON.stringify(notes)}\n${plain}`
}

/** Returns a fresh copy of the encoded value. The encoded text begins at index `start`. */
export function decode(text: string, start = 0): unknown {
  const line = text.indexOf('\n', start)
  const root: unknown[] = [JSON.parse(text.slice(line + 1))]
  if (line > start) for (const restore of parseNotes(text.slice(start, line))) restore(root)
  return root[0]
}

function toJson(value: unknown, path: (string | number)[], notes: Note[]): unknown {
  const note = (kind: Kind, json: unknown) => {
    notes.push([kind, ...path])
    return json
  }
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : note('number', Object.is(value, -0) ? '-0' : `${value}`)
    case 'bigint':
      return note('bigint', `${value}`)
    case 'undefined':
      return note('undefined', null)
    case 'object':
      if (value === null) return null
      if (value instanceof Date) return note('date', value.getTime())
      if (Buffer.isBuffer(value)) return note('buffer', value.toString('base64'))
      if (value instanceof Uint8Array) return note('bytes', Buffer.from(value).toString('base64'))
      if (Array.isArray(value)) return Array.from(value, (item, index) => toJson(item, [...path, index], notes))
      if (Object.getPrototypeOf(value) === Object.prototype) {
        // Unlike an assignment, fromEntries makes `__proto__` an own property.
        return Object.fromEntries(
          Object.entries(value).map(([key, item]) => [key, toJson(item, [...path, key], notes)]),
        )
      }
  }
  const at = path.slice(1).join('.')
  throw new TypeError(`The cache cannot encode a row: the value at "${at}" is of type ${typeof value}`)
}

const RESTORE: Record<Kind, (json: unknown) => unknown> = {
  date: (millis) => new Date(millis === null ? Number.NaN : Number(millis)),
  bytes: (base64) => new Uint8Array(Buffer.from(String(base64), 'base64')),
  buffer: (base64) => Buffer.from(String(base64), 'base64'),
  undefined: () => undefined,
  bigint: (digits) => BigInt(String(digits)),
  number: (digits) => Number(digits),
}

type Restore = (root: unknown[]) => void

/** Rows of one table have the same notes, so the parsed notes are kept. */
const parsed = new Map<string, Restore[]>()
const MAX_PARSED = 256

function parseNotes(line: string): Restore[] {
  const known = parsed.get(line)
  if (known) return known
  const notes = JSON.parse(line) as Note[] // what encode wrote
  const restores = notes.map(restoreAt)
  if (parsed.size >= MAX_PARSED) parsed.clear()
  parsed.set(line, restores)
  return restores
}

function restoreAt([kind, ...path]: Note): Restore {
  const restore = RESTORE[kind]
  const key = path.pop() ?? 0
  return (root) => {
    // encode() took the same path: each step leads to an object or an array.
    let parent = root as unknown as Record<string | number, unknown>
    for (const step of path) parent = parent[step] as typeof parent
    parent[key] = restore(parent[key])
  }
}
