import type { MessageContent, MessagePart } from '../schema/values.ts'

/** Returns the text of a message that is searched: its content, or the texts and the reasoning of its parts, a line for each. */
export function textOfMessage(content: MessageContent): string {
  if (typeof content === 'string') return content
  const texts = content?.map(textOfPart).filter((text) => text !== undefined) ?? []
  return texts.join('\n')
}

function textOfPart({ type, text, reasoning }: MessagePart): string | undefined {
  if (type !== 'text' && type !== 'reasoning') return undefined
  return [text, reasoning].find((value) => typeof value === 'string')
}
