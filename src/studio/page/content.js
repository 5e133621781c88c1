import { get } from './api.js'
import { attempt, button, h, jsonBlock, jsonDetails } from './elements.js'
import { plain, short } from './formats.js'
import { dataImage, mentionedBlob } from './images.js'

/** @import { MessageItem } from './items.d.ts' */

/** How much of a text and how many parts are shown before somebody asks for more. */
const TEXT = 3000
const PARTS = 20

/**
 * Makes what is shown of a message.
 * @param {MessageItem} message
 * @param {number | undefined} size Given if the content is not whole: what it would take.
 * @param {string} owner The owner of the session.
 */
export function contentOf(message, size, owner) {
  const { content, role, metadata } = message
  const body = h('div', { class: 'content', dir: 'auto' })
  fill(body, content, role)
  body.append(...besides(metadata))
  if (size !== undefined) {
    const show = async () => {
      const whole = await get('message', { session: message.sessionId, owner, id: message.id })
      body.replaceChildren()
      fill(body, whole.content, role, Number.POSITIVE_INFINITY)
      body.append(...besides(whole.metadata))
    }
    const all = h('div', {})
    all.append(button(`Show the whole message (${plain(size)} characters)`, () => attempt(all, show)))
    body.append(all)
  }
  return body
}

/**
 * Makes what is shown of the metadata of a message. OpenAI has tool calls beside the content, so they are stored there.
 * @param {Record<string, unknown>} metadata
 */
function besides({ tool_calls: calls, ...others }) {
  const isList = Array.isArray(calls)
  const rest = isList || calls === undefined ? others : { tool_calls: calls, ...others }
  return [
    ...(isList ? calls.map((call) => jsonDetails(short(`tool call: ${call?.function?.name ?? '?'}`, 120), call)) : []),
    ...(Object.keys(rest).length > 0 ? [jsonDetails('Metadata', rest)] : []),
  ]
}

/**
 * @param {HTMLElement} body
 * @param {unknown} content
 * @param {string} role
 * @param {number} [length]
 */
function fill(body, content, role, length = TEXT) {
  if (content === null) body.append(h('p', { class: 'muted' }, 'No content'))
  else if (typeof content === 'string') {
    if (/^(tool|function)$/.test(role)) body.append(folded('Tool result', content))
    else body.append(...text(content, length), ...mentions(content))
  } else if (Array.isArray(content)) fillParts(body, content, 0, length)
  else body.append(jsonDetails('JSON', content))
}

/**
 * @param {HTMLElement} body
 * @param {unknown[]} parts
 * @param {number} from
 * @param {number} length
 */
function fillParts(body, parts, from, length) {
  for (const part of parts.slice(from, from + PARTS)) body.append(...partOf(part, length))
  const left = parts.length - from - PARTS
  if (left <= 0) return
  const more = button(`Show ${plain(Math.min(left, PARTS))} more of ${plain(parts.length)} parts`, () => {
    more.remove()
    fillParts(body, parts, from + PARTS, length)
  })
  body.append(more)
}

/**
 * Makes what is shown of a part: frameworks differ in the names of types, so what is not known is JSON.
 * @param {unknown} part
 * @param {number} length
 * @returns {Node[]}
 */
function partOf(part, length) {
  if (typeof part !== 'object' || part === null) return text(String(part), length)
  const { type, text: words, thinking, name, toolName, tool } = /** @type {Record<string, unknown>} */ (part)
  const kind = String(type ?? 'part')
  if (typeof words === 'string' && /text$/.test(kind)) return [...text(words, length), ...mentions(words)]
  const thoughts = words ?? thinking
  if (/reason|think/.test(kind) && typeof thoughts === 'string') return [folded(kind, thoughts)]
  const images = stringsOf(part)
    .map(dataImage)
    .filter((image) => image !== undefined)
  if (images.length > 0) return images
  const blobs = mentions(JSON.stringify(part))
  if (/image|file|document/.test(kind) && blobs.length > 0) return blobs
  const called = toolName ?? name ?? tool
  const label = typeof called === 'string' ? `${kind}: ${called}` : kind
  return [jsonDetails(short(label, 120), part), ...blobs]
}

/**
 * @param {string} label
 * @param {string} words
 */
function folded(label, words) {
  return h('details', {}, h('summary', {}, short(label, 120)), h('div', { class: 'text', dir: 'auto' }, words))
}

/**
 * Makes a text, and a button for the rest of a long one.
 * @param {string} words
 * @param {number} length
 * @returns {Node[]}
 */
function text(words, length) {
  const shown = h('div', { class: 'text', dir: 'auto' }, words.length > length ? `${words.slice(0, length)}…` : words)
  if (words.length <= length) return [shown]
  const all = button(`Show all ${plain(words.length)} characters`, () => {
    shown.textContent = words
    all.remove()
  })
  return [shown, all]
}

/**
 * Makes what is shown of the blobs that a text mentions: each once, and no more than ten.
 * @param {string} words
 */
function mentions(words) {
  const ids = new Set(Array.from(words.matchAll(/\bblob:([0-9a-f]{32})\b/g), ([, id = '']) => id))
  return [...ids].slice(0, 10).map(mentionedBlob)
}

/**
 * Returns the texts in a part, as deep as frameworks put images.
 * @param {object} part
 * @returns {string[]}
 */
function stringsOf(part, depth = 0) {
  return Object.values(part).flatMap((value) => {
    if (typeof value === 'string') return value.startsWith('data:') ? [value] : []
    return typeof value === 'object' && value !== null && depth < 3 ? stringsOf(value, depth + 1) : []
  })
}

/**
 * Makes the JSON of a whole message.
 * @param {MessageItem} message
 * @param {number | undefined} size
 * @param {string} owner
 */
export async function rawOf(message, size, owner) {
  const whole =
    size === undefined ? message : await get('message', { session: message.sessionId, owner, id: message.id })
  return jsonBlock(whole)
}
