/** Content of a message: text, parts (text, images, ...) or nothing. */
export type Content = string | ({ type: string } & Record<string, unknown>)[] | null

const characters = new Intl.Segmenter()

/**
 * Returns the content on one line: at most `max` graphemes (a family emoji is one), without line breaks and control
 * characters. A part that is not text appears as its type in brackets.
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
