/**
 * JSON that loses nothing of a row: instants, bytes, undefined against null, big and special numbers, and the order of
 * keys come back as they were. Such values are written as plain JSON and noted, by their paths, in a line before it:
 * a text without notes costs no more than JSON.parse.
 */

type Kind = 'date' | 'bytes' | 'buffer' | 'undefined' | 'bigint' | 'number'
type Note = [kind: Kind, ...path: (string | number)[]]

/** Throws a TypeError for what is no row: functions, symbols, instances of classes. */
export function encode(value: unknown): string {
  const notes: Note[] = []
  const plain = JSON.stringify(toJson(value, [0], notes))
  return `${notes.length === 0 ? '' : JSON.stringify(notes)}\n${plain}`
}

/** A new value at each call, equal to the one that was encoded; the text begins at `start`. */
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
        // fromEntries, unlike an assignment, makes an own property of `__proto__`, too.
        return Object.fromEntries(
          Object.entries(value).map(([key, item]) => [key, toJson(item, [...path, key], notes)]),
        )
      }
  }
  throw new TypeError(`A row holds ${typeof value}s that cannot be kept as text, at ${path.slice(1).join('.')}`)
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

/** Rows of one table have the same notes, so parsing them once is enough. */
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
    // The encoder went the same way: there is an object or an array at each step.
    let parent = root as unknown as Record<string | number, unknown>
    for (const step of path) parent = parent[step] as typeof parent
    parent[key] = restore(parent[key])
  }
}
