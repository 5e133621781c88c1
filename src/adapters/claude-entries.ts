import type { SessionStoreEntry } from '@anthropic-ai/claude-agent-sdk'
import type { Message, MessageInput } from '../repositories/messages/types.ts'
import type { Json, JsonObject } from '../schema/values.ts'
import { isContent, isRole } from './message-fields.ts'
import { decode, encode, isPlainObject } from './tagged-json.ts'

/** The property of a message's metadata that holds what a message of Holdfast has no field for. */
const REST = 'claudeAgent'

/**
 * Returns a line of a transcript of the Claude Agent SDK as a message to append. What was said becomes role and content, so
 * that it can be searched; any other line is the one part of a message. No field is lost.
 *
 * @internal
 */
export function fromEntry(entry: SessionStoreEntry): MessageInput {
  const encoded = encode(entry) as JsonObject // an entry is an object
  const { message, ...rest } = encoded
  if (isPlainObject(message)) {
    const { role, content, ...others } = message
    if (isRole(role) && isContent(content)) {
      return { role, content, metadata: { [REST]: { ...rest, message: others } } }
    }
  }
  return { role: 'system', content: [{ type: 'entry', entry: encoded }] }
}

/**
 * Returns the line that `fromEntry` made a message of, or undefined if another part of the program has appended the message.
 *
 * @internal
 */
export function toEntry({ role, content, metadata }: Message): SessionStoreEntry | undefined {
  const rest = metadata[REST]
  const message = isPlainObject(rest) ? rest.message : undefined
  if (isPlainObject(rest) && isPlainObject(message)) return read({ ...rest, message: { ...message, role, content } })
  const [part] = Array.isArray(content) ? content : []
  return part?.type === 'entry' && part.entry !== undefined ? read(part.entry) : undefined
}

function read(encoded: Json): SessionStoreEntry {
  return decode(encoded) as SessionStoreEntry // what fromEntry was given
}
