import type { MessageContent } from '../schema/values.ts'
import { isPlainObject } from './tagged-json.ts'

/** Returns true if a message of Holdfast can hold the content of a framework's message as it is. */
export function isContent(content: unknown): content is Exclude<MessageContent, null> {
  if (typeof content === 'string') return true
  return Array.isArray(content) && content.every((part) => isPlainObject(part) && typeof part.type === 'string')
}
