import type { Message, MessagePartInput, MessagePut } from '../repositories/messages/types.ts'
import type { JsonObject } from '../schema/values.ts'
import { decode, encodeLoosely, isPlainObject } from './tagged-json.ts'

/** The property of a message's metadata for the fields of a `UIMessage` that a message of Holdfast does not have. */
const REST = 'aiSdk'

/** What every `UIMessage` of the AI SDK has, whatever its metadata, data parts and tools are. */
export interface UIMessageLike {
  id: string
  role: string
  parts: readonly { type: string }[]
  metadata?: unknown
}

/**
 * Converts a `UIMessage` of the AI SDK into a message to put or append. The parts become the content, and metadata that is an
 * object becomes the metadata. No field is lost: `toUIMessage` returns an equal message. Bytes, dates and URLs are kept. Any
 * other value that is not JSON becomes what `JSON.stringify` makes of it: the AI SDK sends the same to its clients. Only a
 * `bigint` stays as it is, and the storage refuses it.
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
  const isStoredAsIs =
    isPlainObject(metadata) && !(REST in metadata) && Object.values(metadata).some((v) => v !== undefined)
  const further = isStoredAsIs || metadata === undefined ? rest : { metadata, ...rest }
  const all = { ...(isStoredAsIs ? metadata : {}), ...(Object.keys(further).length === 0 ? {} : { [REST]: further }) }
  return {
    id,
    role,
    content: encodeLoosely(parts) as MessagePartInput[], // `encodeLoosely` keeps arrays and the types of their parts
    metadata: encodeLoosely(all) as JsonObject, // `encodeLoosely` returns an object for an object
  }
}

/**
 * Returns the `UIMessage` that `fromUIMessage` has converted. Also converts a message that another part of the program has
 * appended: a text becomes one text part, and parts and metadata stay as they are.
 *
 * @typeParam UI The expected type of the message. It is not checked here: use `validateUIMessages` of the AI SDK.
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
  const { [REST]: rest, ...own } = decode(message.metadata) as JsonObject // `decode` returns an object for an object
  const metadata = Object.keys(own).length === 0 ? {} : { metadata: own }
  const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : decode(content ?? [])
  return { id, role, ...metadata, ...(isPlainObject(rest) ? rest : {}), parts } as unknown as UI // the caller names the type
}
