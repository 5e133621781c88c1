import type { SerializerProtocol } from '@langchain/langgraph-checkpoint'
import type { TypedBytes } from '../repositories/checkpoints/types.ts'

/** What JSON has between braces. */
type Json = Record<string, unknown>

/** A message of LangChain, as far as its `toJSON` reads it. */
interface Message {
  lc_serializable: boolean
  lc_kwargs: Json
  lc_id: string[]
  lc_secrets?: unknown
  lc_attributes?: unknown
  toJSON(): unknown
}

/** How the messages of a class that have the same fields are stored. */
interface Form {
  id: readonly string[]
  /** Each field with the name that it is stored by. */
  names: readonly (readonly [field: string, stored: string])[]
  toJSON: Message['toJSON']
}

/** The forms of a class by its prototype and the fields. Null: this file does not store such messages as the serializer does. */
const forms = new WeakMap<object, Map<string, Form | null>>()
const MAX_FORMS = 100
/** What is nested deeper is left to the serializer, which also finds circles. */
const MAX_DEPTH = 100
/** The value has something that the serializer must write. */
const FOREIGN = Symbol('foreign')
const SCALARS = new Set(['string', 'number', 'boolean'])
/** LangGraph's mark of an undefined value. */
const UNDEFINED = { lc: 2, type: 'undefined' }

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/**
 * Writes a value in LangGraph's own format. Its serializer calls a function for every value in it, and looks up the fields of
 * each message anew. Here, messages are turned into plain objects, and JSON.stringify does the rest. The serializer writes the
 * first message of a class and set of fields, and the next ones are written here if that one came out as the same text.
 * Everything else is left to the serializer.
 */
export async function dumpValue(serializer: SerializerProtocol, value: unknown): Promise<TypedBytes> {
  const strangers: Message[] = []
  let plain = plainOf(value, strangers)
  // Each round learns another form, of which a value has few.
  for (let stranger = strangers.pop(); stranger && (await learn(serializer, stranger)); stranger = strangers.pop())
    plain = plainOf(value, strangers)
  if (plain !== FOREIGN) return { type: 'json', data: encoder.encode(JSON.stringify(plain)) }
  const [type, data] = await serializer.dumpsTyped(value)
  return { type, data }
}

/**
 * Returns the value as JSON.stringify takes it, the same one if it is plain already, or FOREIGN. Adds a message whose form is
 * not known to `strangers`. `isField`: the value is within the fields of a message.
 */
function plainOf(value: unknown, strangers: Message[], isField = false, depth = 0): unknown {
  if (value === undefined) return UNDEFINED
  if (typeof value !== 'object') return SCALARS.has(typeof value) ? value : FOREIGN
  if (value === null) return value
  if (depth === MAX_DEPTH) return FOREIGN
  if (Array.isArray(value)) return 'toJSON' in value ? FOREIGN : plainList(value, strangers, isField, depth)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return plainMessage(value, strangers, depth)
  // A task of LangGraph; an object that LangChain escapes within a message.
  if ('lg_name' in value || 'toJSON' in value || (isField && ('lc' in value || '__lc_escaped__' in value)))
    return FOREIGN
  return plainObject(value as Json, strangers, isField, depth) // its prototype says so
}

function plainObject(object: Json, strangers: Message[], isField: boolean, depth: number): unknown {
  let copy: Json | undefined
  for (const property of Object.keys(object)) {
    if (property === '__proto__') return FOREIGN // LangChain loses it within a message
    const plain = plainOf(object[property], strangers, isField, depth + 1)
    if (plain === object[property]) continue
    if (plain === FOREIGN) return FOREIGN
    copy ??= { ...object }
    copy[property] = plain
  }
  return copy ?? object
}

function plainList(list: readonly unknown[], strangers: Message[], isField: boolean, depth: number): unknown {
  const copy: unknown[] = []
  for (const item of list) {
    const plain = plainOf(item, strangers, isField, depth + 1)
    if (plain === FOREIGN) return FOREIGN
    copy.push(plain)
  }
  return copy
}

function plainMessage(value: object, strangers: Message[], depth: number): unknown {
  if (!isMessage(value) || value.lc_secrets !== undefined || value.lc_attributes !== undefined) return FOREIGN
  const form = forms.get(Object.getPrototypeOf(value))?.get(fieldsOf(value))
  if (form === undefined) strangers.push(value)
  return form && form.toJSON === value.toJSON ? write(value, form, strangers, depth) : FOREIGN
}

function write(message: Message, { id, names }: Form, strangers: Message[], depth: number): unknown {
  const kwargs: Json = {}
  for (const [field, stored] of names) {
    const value = field in message ? (message as unknown as Json)[field] : message.lc_kwargs[field] // as toJSON() reads it
    const plain = plainOf(value, strangers, true, depth + 1)
    if (plain === FOREIGN) return FOREIGN
    kwargs[stored] = plain
  }
  return { lc: 1, type: 'constructor', id, kwargs }
}

/** Remembers how a message is stored, if that gives the serializer's text. Returns true if its form is known from now on. */
async function learn(serializer: SerializerProtocol, message: Message): Promise<boolean> {
  const prototype: object = Object.getPrototypeOf(message)
  const known = forms.get(prototype) ?? new Map<string, Form | null>()
  if (known.size >= MAX_FORMS) return false
  forms.set(prototype, known)
  const [, data] = await serializer.dumpsTyped(message)
  const text = decoder.decode(data)
  const form = isOverridden(message) ? null : formOf(message, JSON.parse(text))
  const plain = form && write(message, form, [], 0)
  if (plain === FOREIGN) return false // the message holds what is not written here; the next one may not
  const isEqual = JSON.stringify(plain) === text
  known.set(fieldsOf(message), isEqual ? form : null)
  return isEqual
}

function formOf({ lc_id: id, lc_kwargs, toJSON }: Message, stored: { kwargs?: Json }) {
  const fields = Object.keys(lc_kwargs)
  const names = Object.keys(stored.kwargs ?? {})
  if (fields.includes('__proto__') || names.length !== fields.length) return null
  return { id, toJSON, names: fields.map((field, i) => [field, names[i] ?? field] as const) }
}

/** Returns true if a class replaces the `toJSON` of LangChain: its own may write each message in another way. */
function isOverridden(message: object): boolean {
  let count = 0
  for (let holder: object | null = message; holder !== null; holder = Object.getPrototypeOf(holder))
    if (Object.hasOwn(holder, 'toJSON')) count++
  return count > 1
}

function fieldsOf({ lc_kwargs }: Message): string {
  return Object.keys(lc_kwargs).join('\0')
}

function isMessage(value: object): value is Message {
  if (!('lc_serializable' in value && 'lc_kwargs' in value && 'lc_id' in value && 'toJSON' in value)) return false
  const { lc_serializable, lc_kwargs } = value
  return lc_serializable === true && isPlain(lc_kwargs)
}

function isPlain(value: unknown): boolean {
  return value instanceof Object && Object.getPrototypeOf(value) === Object.prototype
}
