import type { AgentInputItem } from '@openai/agents-core'
import type { Message, MessageInput } from '../repositories/messages/types.ts'
import type { Json, JsonObject, MessageContent } from '../schema/values.ts'

/** The property of a message's metadata that holds what a message of Holdfast has no field for. */
const REST = 'openai'
/** Stands for bytes, which JSON does not have. An object of its own with this only key is wrapped once more. */
const BYTES = '$bytes'

/**
 * Returns an item of OpenAI's Agents SDK as a message to append. A message item becomes role and content, and its further
 * fields go into the metadata. Any other item, such as a tool call, is the one part of a message. No field is lost:
 * `toOpenAIItem` returns an equal item.
 *
 * @example
 * ```ts
 * import { fromOpenAIItem } from 'holdfast/openai-agents'
 * await storage.messages.append('chat', fromOpenAIItem({ role: 'user', content: 'Hello' }))
 * ```
 */
export function fromOpenAIItem(item: AgentInputItem): MessageInput {
  const fields = encode(item) as JsonObject // an item is an object
  const { role, content, ...rest } = fields
  if (typeof role !== 'string' || !isContent(content)) {
    const roleOfPart = String(fields.type ?? '').endsWith('_result') ? 'tool' : 'assistant'
    return { role: roleOfPart, content: [{ type: 'item', item: fields }] }
  }
  return { role, content, metadata: Object.keys(rest).length === 0 ? {} : { [REST]: rest } }
}

/**
 * Returns the item that `fromOpenAIItem` made a message of. A message that another part of the program has appended becomes
 * a message item of its role and content.
 *
 * @example
 * ```ts
 * import { toOpenAIItem } from 'holdfast/openai-agents'
 * await storage.messages.append('chat', { role: 'user', content: 'Hello' })
 * console.log((await storage.messages.latest('chat', 1)).map(toOpenAIItem)) // [ { role: 'user', content: 'Hello' } ]
 * ```
 */
export function toOpenAIItem({ role, content, metadata }: Message): AgentInputItem {
  const [part] = Array.isArray(content) ? content : []
  const rest = metadata[REST]
  const item =
    part?.type === 'item' && content?.length === 1 ? part.item : { role, content, ...(isObject(rest) ? rest : {}) }
  return decode(item as Json) as AgentInputItem // what fromOpenAIItem was given
}

/** Returns true if a message of Holdfast can hold the content of a message item as it is. */
function isContent(content: unknown): content is Exclude<MessageContent, null> {
  if (typeof content === 'string') return true
  return Array.isArray(content) && content.every((part) => isObject(part) && typeof part.type === 'string')
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Returns a value as JSON: bytes become text, and properties without a value are dropped. */
export function encode(value: unknown): Json {
  if (value instanceof Uint8Array) return { [BYTES]: Buffer.from(value).toString('base64') }
  if (Array.isArray(value)) return value.map(encode)
  if (typeof value !== 'object' || value === null) return value as Json // the storage refuses what is no JSON
  const entries = Object.entries(value).filter(([, property]) => property !== undefined)
  const object = Object.fromEntries(entries.map(([key, property]) => [key, encode(property)]))
  return hasOnly(object, BYTES) ? { [BYTES]: object } : object
}

function decode(value: Json): unknown {
  if (Array.isArray(value)) return value.map(decode)
  if (!isObject(value)) return value
  const bytes = hasOnly(value, BYTES) ? value[BYTES] : undefined
  if (typeof bytes === 'string') return new Uint8Array(Buffer.from(bytes, 'base64'))
  const object = isObject(bytes) ? bytes : value
  return Object.fromEntries(Object.entries(object).map(([key, property]) => [key, decode(property ?? null)]))
}

function hasOnly(object: object, key: string): boolean {
  return Object.keys(object).length === 1 && key in object
}
