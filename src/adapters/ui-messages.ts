import type { Message, MessagePartInput, MessagePut } from '../repositories/messages/types.ts'
import type { JsonObject } from '../schema/values.ts'
import { decode, encodeLoosely, isPlainObject } from './tagged-json.ts'

/** The property of a message's metadata that holds what a message of Holdfast has no field for. */
const REST = 'aiSdk'

/** What every `UIMessage` of the AI SDK has, whatever its metadata, data parts and tools are. */
export interface UIMessageLike {
  id: string
  role: string
  parts: readonly { type: string }[]
  metadata?: unknown
}

/**
 * Returns a `UIMessage` of the AI SDK as a message to put or append. The parts become the content, and metadata that is an
 * object becomes the metadata. No field is lost: `toUIMessage` returns an equal message. What JSON does not have, apart from
 * bytes, dates and URLs, becomes what `JSON.stringify` makes of it, which is what the AI SDK sends to its clients.
 *
 * @example
 * ```ts
 * import { fromUIMessage } from 'holdfast/ai-sdk'
 * const message = { id: 'm1', role: 'user', parts: [{ type: 'text', text: 'Hello' }] }
 * await storage.messages.append('chat', fromUIMessage(message))
 * ```
 */
export function fromUIMessage(message: UIMessageLike): MessagePut {
  const { id, role, parts, metadata, ...rest } = message
  const isOwn = isPlainObject(metadata) && !(REST in metadata) && Object.values(metadata).some((v) => v !== undefined)
  const kept = isOwn || metadata === undefined ? rest : { metadata, ...rest }
  const all = { ...(isOwn ? metadata : {}), ...(Object.keys(kept).length === 0 ? {} : { [REST]: kept }) }
  return {
    id,
    role,
    content: encodeLoosely(parts) as MessagePartInput[], // `encodeLoosely` keeps arrays and the types of their parts
    metadata: encodeLoosely(all) as JsonObject, // of an object it makes an object
  }
}

/**
 * Returns the `UIMessage` that `fromUIMessage` made a message of. A message that another part of the program has appended
 * becomes one as well: its text is one text part, and its parts and its metadata are kept.
 *
 * @typeParam UI The expected type of the message. It is not checked: `validateUIMessages` of the AI SDK does.
 *
 * @example
 * ```ts
 * import { toUIMessage } from 'holdfast/ai-sdk'
 * await storage.messages.append('chat', { role: 'user', content: 'Hello' })
 * const [message] = (await storage.messages.latest('chat', 1)).map((stored) => toUIMessage(stored))
 * console.log(message?.parts) // [ { type: 'text', text: 'Hello' } ]
 * ```
 */
export function toUIMessage<UI extends UIMessageLike = UIMessageLike>(message: Message): UI {
  const { id, role, content } = message
  const { [REST]: rest, ...own } = decode(message.metadata) as JsonObject // `encodeLoosely` was given an object
  const metadata = Object.keys(own).length === 0 ? {} : { metadata: own }
  const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : decode(content ?? [])
  return { id, role, ...metadata, ...(isPlainObject(rest) ? rest : {}), parts } as unknown as UI // the caller names the type
}
