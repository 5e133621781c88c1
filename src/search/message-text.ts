import type { MessageContent, MessagePart } from '../schema/values.ts'
import { isToolPart, textsOfToolPart } from './tool-text.ts'

/**
 * Returns the text of a message that is searched: its content, or the texts and the reasoning of its parts, a line for each. With
 * tools, also what goes to and comes from tools.
 */
export function textOfMessage(content: MessageContent, { tools = false }: { tools?: boolean } = {}): string {
  if (typeof content === 'string') return content
  const texts = content?.flatMap((part) =>
    tools && isToolPart(part) ? textsOfToolPart(part) : (textOfPart(part) ?? []),
  )
  return (texts ?? []).join('\n')
}

function textOfPart({ type, text, reasoning }: MessagePart): string | undefined {
  if (type !== 'text' && type !== 'reasoning') return undefined
  return [text, reasoning].find((value) => typeof value === 'string')
}
