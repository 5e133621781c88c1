import type { MastraDBMessage } from '@mastra/core/memory'
import type { Message, MessagePut } from '../repositories/messages/types.ts'
import type { JsonObject, MessageContent } from '../schema/values.ts'
import { MASTRA } from './mastra-threads.ts'
import { isContent } from './message-fields.ts'
import { decode, encodeLoosely, isPlainObject } from './tagged-json.ts'

/** The content of a message of Mastra. */
type Content = MastraDBMessage['content']

/** A message of Mastra to put. */
export type MastraPut = MessagePut & { metadata: JsonObject }

/**
 * Returns a message of Mastra as a message to put. The parts become the content, and everything else goes into the metadata.
 * No field is lost: `toMastraMessage` returns an equal message. The thread is the session.
 *
 * @example
 * ```ts
 * import { fromMastraMessage } from 'holdfast/mastra'
 * const content = { format: 2 as const, parts: [{ type: 'text' as const, text: 'Hello' }] }
 * const message = { id: 'm1', role: 'user' as const, createdAt: new Date(), content }
 * await storage.messages.append('thread', fromMastraMessage(message))
 * ```
 */
export function fromMastraMessage(message: MastraDBMessage): MastraPut {
  const { id, role, createdAt, content, threadId: _, ...rest } = message
  const given: unknown = content // older programs have text here
  const parts = isPlainObject(given) ? encodeLoosely(given.parts) : undefined
  const time = createdAt === undefined ? {} : { createdAt: new Date(createdAt) }
  if (!isPlainObject(given) || !Array.isArray(parts) || !isContent(parts)) {
    const isText = typeof given === 'string'
    return { id, role, content: isText ? given : null, ...metadataOf(isText ? rest : { ...rest, content }), ...time }
  }
  const { parts: _parts, ...others } = given
  return { id, role, content: parts, ...metadataOf({ ...rest, content: others }), ...time }
}

function metadataOf(fields: object): { metadata: JsonObject } {
  return { metadata: { [MASTRA]: encodeLoosely(fields) } }
}

/**
 * Returns the message of Mastra that `fromMastraMessage` made a message of. A message that another part of the program has
 * appended becomes one as well: its text is one text part, and its parts are kept.
 *
 * @example
 * ```ts
 * import { toMastraMessage } from 'holdfast/mastra'
 * await storage.messages.append('thread', { role: 'user', content: 'Hello' })
 * const [message] = (await storage.messages.latest('thread', 1)).map(toMastraMessage)
 * console.log(message?.content.parts) // [ { type: 'text', text: 'Hello' } ]
 * ```
 */
export function toMastraMessage({ id, role, content, metadata, createdAt, sessionId }: Message): MastraDBMessage {
  const stored = metadata[MASTRA]
  const fields = isPlainObject(stored) ? (decode(stored) as JsonObject) : undefined // `encodeLoosely` was given an object
  const message = { id, role, createdAt, threadId: sessionId, ...fields, content: contentOf(content, fields) }
  return message as MastraDBMessage // as it was given, or text of another part of the program
}

function contentOf(content: MessageContent, fields: JsonObject | undefined): Content {
  if (fields === undefined) {
    const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : (content ?? [])
    return { format: 2, parts: parts as Content['parts'] } // what Mastra does not know it leaves out
  }
  if (content === null || typeof content === 'string') return (content ?? fields.content) as unknown as Content // as given
  const others = isPlainObject(fields.content) ? fields.content : {}
  return { ...others, parts: decode(content) } as unknown as Content // as given
}

/** Compares two messages by their times, and in their order if these are the same. */
export function byTime(a: { createdAt?: Date; seq?: number }, b: { createdAt?: Date; seq?: number }): number {
  return (a.createdAt?.getTime() ?? 0) - (b.createdAt?.getTime() ?? 0) || (a.seq ?? 0) - (b.seq ?? 0)
}

/** Returns true if a message was written by Mastra. */
export function isOfMastra({ metadata }: Message): boolean {
  return metadata[MASTRA] !== undefined
}

/** Returns the resource of a message, or undefined if it has none of its own. */
export function resourceOf({ metadata }: { readonly metadata: JsonObject }): string | undefined {
  const stored = metadata[MASTRA]
  return isPlainObject(stored) && typeof stored.resourceId === 'string' ? stored.resourceId : undefined
}

/** Returns the metadata of a message's content, which a list can be filtered by. */
export function contentMetadataOf({ metadata }: Message): JsonObject {
  const stored = metadata[MASTRA]
  const content = isPlainObject(stored) ? stored.content : undefined
  return isPlainObject(content) && isPlainObject(content.metadata) ? content.metadata : {}
}
