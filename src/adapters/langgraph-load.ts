import { isDeepStrictEqual } from 'node:util'
import type { SerializerProtocol } from '@langchain/langgraph-checkpoint'
import type { TypedBytes } from '../repositories/checkpoints/types.ts'

/** Makes a message of the fields that it was stored with. */
type MakeMessage = new (fields: Json) => unknown

/** What JSON has between braces. */
type Json = Record<string, unknown>

/** A property that the serializer must read. */
interface Foreign {
  holder: Json
  property: string
  value: Json
}

/** The classes of messages, by their name and the fields that they were stored with. Null: not one that this file can make. */
const classes = new Map<string, MakeMessage | null>()
const MAX_CLASSES = 1000
/** LangChain's module of messages has functions as well. */
const MESSAGE_CLASS = /^[A-Z]\w*Message(Chunk)?$/
/** A message that is nested deeper is left to the serializer, which limits the depth as well. */
const MAX_DEPTH = 20

const decoder = new TextDecoder()

/**
 * Reads a value in LangGraph's own format. Its serializer walks through every object with a promise for each, and parses each
 * message twice. Here, text without objects of LangChain is only parsed, and messages are made by their class. The serializer
 * makes the first message of a class and set of fields. The class makes the next ones if it made an equal one of the same
 * fields. Everything else is left to the serializer.
 */
export function loadValue(serializer: SerializerProtocol, { type, data }: TypedBytes): unknown {
  if (type !== 'json') return serializer.loadsTyped(type, data)
  const text = decoder.decode(data)
  if (!mayHoldObjects(text)) return JSON.parse(text)
  // LangChain's mark of what only looks like one of its objects.
  if (text.includes('"__lc_')) return serializer.loadsTyped(type, text)
  const root: Json = { value: JSON.parse(text) }
  const foreign: Foreign[] = []
  revive(root, foreign)
  return foreign.length === 0 ? root.value : readForeign(serializer, root, foreign)
}

/** Returns true if the text may hold objects of LangChain: they have the property `lc`. */
export function mayHoldObjects(text: string): boolean {
  return text.includes('"lc"')
}

/** Replaces the messages in an object, and collects what the serializer must read. */
function revive(holder: Json, foreign: Foreign[]): void {
  for (const property of Object.keys(holder)) {
    const value = holder[property]
    if (!isObject(value)) continue
    if (!Object.hasOwn(value, 'lc')) {
      revive(value, foreign)
      continue
    }
    const Message = classes.get(shapeOf(value) ?? '')
    if (Message)
      holder[property] = new Message(value.kwargs as Json) // `shapeOf` has looked
    else foreign.push({ holder, property, value })
  }
}

async function readForeign(serializer: SerializerProtocol, root: Json, foreign: Foreign[]): Promise<unknown> {
  await Promise.all(
    foreign.map(async ({ holder, property, value }) => {
      const read = await serializer.loadsTyped('json', JSON.stringify(value))
      holder[property] = read
      learn(value, read)
    }),
  )
  return root.value
}

/** Remembers the class of a message, if it makes an equal one. */
function learn(value: Json, message: unknown): void {
  const shape = shapeOf(value)
  if (shape === undefined || classes.has(shape) || classes.size >= MAX_CLASSES) return
  const Message = (message as { constructor: MakeMessage }).constructor // of an object, as `shapeOf` says
  classes.set(shape, makesEqual(Message, value.kwargs as Json, message) ? Message : null)
}

function makesEqual(Message: MakeMessage, fields: Json, message: unknown): boolean {
  try {
    return isDeepStrictEqual(new Message(fields), message)
  } catch {
    return false // It needs fields of other names.
  }
}

/** Returns the class of a stored message and its fields, or undefined if it is none or has objects of LangChain in it. */
function shapeOf({ lc, type, id, kwargs, ...others }: Json): string | undefined {
  if (lc !== 1 || type !== 'constructor' || Object.keys(others).length > 0) return undefined
  const isMessage = Array.isArray(id) && id.length === 3 && id[0] === 'langchain_core' && id[1] === 'messages'
  if (!isMessage || !MESSAGE_CLASS.test(id[2]) || !isObject(kwargs) || Array.isArray(kwargs) || !isPlain(kwargs, 0))
    return undefined
  return `${id[2]} ${Object.keys(kwargs)}`
}

function isPlain(value: unknown, depth: number): boolean {
  if (!isObject(value)) return true
  return depth < MAX_DEPTH && !Object.hasOwn(value, 'lc') && Object.values(value).every((v) => isPlain(v, depth + 1))
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null
}
