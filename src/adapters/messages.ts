import type { Message, MessageInput } from '../repositories/messages/types.ts'
import { fromFields, toFields } from './message-fields.ts'

export { fromUIMessage, toUIMessage, type UIMessageLike } from './ui-messages.ts'

/** The properties of a message's metadata that hold what a message of Holdfast has no field for. */
const AI_SDK = 'aiSdk'
const OPENAI = 'openai'

/** What every `ModelMessage` of the AI SDK has. */
export interface ModelMessageLike {
  role: string
  content: string | readonly { type: string }[]
}

/** What every message of OpenAI's chat completions has, of a request or of a response. */
export interface ChatMessageLike {
  role: string
}

/**
 * Returns a `ModelMessage` of the AI SDK as a message to append. Role and content stay what they are, and further fields go
 * into the metadata. No field is lost: `toModelMessage` returns an equal message, bytes and URLs of files included.
 *
 * @example
 * ```ts
 * import { fromModelMessage } from 'holdfast/messages'
 * await storage.messages.append('chat', fromModelMessage({ role: 'user', content: 'Hello' }))
 * ```
 */
export function fromModelMessage(message: ModelMessageLike): MessageInput {
  return fromFields(message, AI_SDK)
}

/**
 * Returns the `ModelMessage` that `fromModelMessage` made a message of.
 *
 * @typeParam Model The expected type of the message. It is not checked.
 *
 * @example
 * ```ts
 * import { toModelMessage } from 'holdfast/messages'
 * await storage.messages.append('chat', { role: 'user', content: 'Hello' })
 * console.log((await storage.messages.latest('chat', 1)).map((message) => toModelMessage(message)))
 * ```
 */
export function toModelMessage<Model extends ModelMessageLike = ModelMessageLike>(message: Message): Model {
  return toFields(message, AI_SDK) as Model // the caller names the type
}

/**
 * Returns a message of OpenAI's chat completions as a message to append. Role and content stay what they are, and further
 * fields, such as `tool_calls`, go into the metadata. No field is lost: `toChatMessage` returns an equal message.
 *
 * @example
 * ```ts
 * import { fromChatMessage } from 'holdfast/messages'
 * const call = { id: 'c1', type: 'function', function: { name: 'search', arguments: '{}' } }
 * await storage.messages.append('chat', fromChatMessage({ role: 'assistant', content: null, tool_calls: [call] }))
 * ```
 */
export function fromChatMessage<Chat extends ChatMessageLike>(message: Chat): MessageInput {
  return fromFields(message, OPENAI)
}

/**
 * Returns the message of OpenAI's chat completions that `fromChatMessage` made a message of.
 *
 * @typeParam Chat The expected type of the message. It is not checked.
 *
 * @example
 * ```ts
 * import { toChatMessage } from 'holdfast/messages'
 * await storage.messages.append('chat', { role: 'user', content: 'Hello' })
 * console.log((await storage.messages.latest('chat', 1)).map((message) => toChatMessage(message)))
 * ```
 */
export function toChatMessage<Chat extends ChatMessageLike = ChatMessageLike>(message: Message): Chat {
  return toFields(message, OPENAI) as Chat // the caller names the type
}

/**
 * Returns an item of OpenAI's Responses API, of an input or an output, as a message to append. A message becomes role and
 * content, any other item is the one part of a message. No field is lost: `toResponseItem` returns an equal item.
 *
 * @example
 * ```ts
 * import { fromResponseItem } from 'holdfast/messages'
 * const call = { type: 'function_call', call_id: 'c1', name: 'search', arguments: '{}' }
 * await storage.messages.append('chat', fromResponseItem(call))
 * ```
 */
export function fromResponseItem<Item extends object>(item: Item): MessageInput {
  return fromFields(item, OPENAI)
}

/**
 * Returns the item that `fromResponseItem` made a message of.
 *
 * @typeParam Item The expected type of the item. It is not checked.
 *
 * @example
 * ```ts
 * import { toResponseItem } from 'holdfast/messages'
 * await storage.messages.append('chat', { role: 'user', content: 'Hello' })
 * console.log((await storage.messages.latest('chat', 1)).map((message) => toResponseItem(message)))
 * ```
 */
export function toResponseItem<Item extends object = object>(message: Message): Item {
  return toFields(message, OPENAI) as Item // the caller names the type
}
