import type { MessagePart } from '../schema/values.ts'

/**
 * Types of the parts that call a tool, or answer it: `tool-call`, `tool_use`, `dynamic-tool`, `tool-weather`,
 * `function_call_output`.
 */
const TOOL = /(^|[-_])(tool|function)([-_]|$)/

/** The fields that hold what goes to a tool and comes from it, in the formats of the AI SDK, OpenAI, Anthropic and LangChain. */
const FIELDS = ['toolName', 'name', 'input', 'args', 'arguments', 'output', 'result', 'content', 'errorText']

/** Long text of this kind is bytes in base64, which nobody searches for. */
const BYTES = /^(data:[^,]*,)?[\w+/=-]{1000,}$/

/** Returns true if a part calls a tool, or has its result. */
export function isToolPart({ type }: MessagePart): boolean {
  return TOOL.test(type)
}

/**
 * Returns the name of the tool, its input and its output, as far as the part has them: every string and number, a line for
 * each.
 */
export function textsOfToolPart(part: MessagePart): string[] {
  return FIELDS.flatMap((field) => stringsIn(part[field]))
}

function stringsIn(value: unknown): string[] {
  if (typeof value === 'string') return BYTES.test(value) ? [] : [value]
  if (typeof value === 'number') return [String(value)]
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value).flatMap(stringsIn)
}
