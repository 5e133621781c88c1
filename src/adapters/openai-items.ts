import type { AgentInputItem } from '@openai/agents-core'
import type { Message, MessageInput } from '../repositories/messages/types.ts'
import { fromFields, toFields } from './message-fields.ts'

/** The property of a message's metadata that holds what a message of Holdfast has no field for. */
const REST = 'openai'

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
  return fromFields(item, REST)
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
export function toOpenAIItem(message: Message): AgentInputItem {
  return toFields(message, REST) as AgentInputItem // what fromOpenAIItem was given
}
