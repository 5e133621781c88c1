/** What a message may say: text, parts (text, images ...) or nothing. */
export type Content = string | ({ type: string } & Record<string, unknown>)[] | null

const characters = new Intl.Segmenter()

/**
 * Content on one line for people: at most `max` characters as they count them (a family emoji is one), without line
 * breaks and control characters; parts that are not text by their type.
 */
export function preview(content: Content, max: number): string {
  const text = typeof content === 'string' ? content : (content ?? []).map(textOf).join(' ')
  const start = text.slice(0, 40 * max).replace(/[\s\p{Cc}\p{Cs}]+/gu, ' ')
  const shown = Array.from(characters.segment(start.trim()), ({ segment }) => segment)
  return shown.length > max ? `${shown.slice(0, max - 1).join('')}…` : shown.join('')
}

function textOf(part: { type: string; text?: unknown }): string {
  return typeof part.text === 'string' ? part.text : `[${part.type}]`
}
