import type { Message, MessageInput } from '../repositories/messages/types.ts'
import type { Json, MessageContent } from '../schema/values.ts'
import { invalid, isStorable } from './invalid.ts'
import { decode, encode, isPlainObject } from './tagged-json.ts'

const MAX_ROLE = 100
/** The type of the part that holds a whole item of a framework, if a message of Holdfast cannot have its role or content. */
const WHOLE = 'item'

/**
 * Converts a message or item of a framework into a message to append. Role and content are kept, and all other fields go into
 * the metadata under `key`. An item without a role and content that can be kept, such as a tool call, becomes the only part.
 */
export function fromFields(item: unknown, key: string): MessageInput {
  const fields = encode(item)
  if (!isPlainObject(fields)) throw invalid('message', 'must be a message or an item, which is an object')
  const { role, content, ...rest } = fields
  if (isRole(role) && isContent(content) && !isWhole(content)) {
    return { role, content, metadata: Object.keys(rest).length === 0 ? {} : { [key]: rest } }
  }
  const isToolResult = /_(result|output)$/.test(String(fields.type ?? ''))
  return { role: isRole(role) ? role : isToolResult ? 'tool' : 'assistant', content: [{ type: WHOLE, item: fields }] }
}

/** Returns what `fromFields` has converted. Another message becomes an object of its role and content. */
export function toFields({ role, content, metadata }: Message, key: string): unknown {
  const rest = metadata[key]
  if (isWhole(content)) return decode(content[0].item)
  return decode({ role, content, ...(isPlainObject(rest) ? rest : {}) })
}

/** Returns true if a message of Holdfast can have this role. */
export function isRole(role: unknown): role is string {
  if (typeof role !== 'string' || role.length < 1 || role.length > MAX_ROLE) return false
  return isStorable(role)
}

/** Returns true if a message of Holdfast can have this content unchanged. */
export function isContent(content: unknown): content is MessageContent {
  if (content === null || typeof content === 'string') return true
  return Array.isArray(content) && content.every((part) => isPlainObject(part) && typeof part.type === 'string')
}

function isWhole(content: unknown): content is [{ type: string; item: Json }] {
  if (!Array.isArray(content) || content.length !== 1) return false
  const [part] = content
  return isPlainObject(part) && part.type === WHOLE && part.item !== undefined
}
