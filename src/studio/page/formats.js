import { h, link } from './elements.js'

const numbers = new Intl.NumberFormat('en-US')
const times = new Intl.DateTimeFormat('sv-SE', { dateStyle: 'short', timeStyle: 'medium' })

/**
 * Returns a number of things, such as `1 row` and `2,000 rows`.
 * @param {number} count
 * @param {string} one
 * @param {string} [more]
 */
export function many(count, one, more = `${one}s`) {
  return `${numbers.format(count)} ${count === 1 ? one : more}`
}

/** @param {number} count */
export const plain = (count) => numbers.format(count)

/**
 * Returns a size such as `1.2 MiB`.
 * @param {number} size
 */
export function bytes(size) {
  if (size < 1024) return many(size, 'byte')
  const power = Math.min(4, Math.floor(Math.log2(size) / 10))
  return `${(size / 1024 ** power).toFixed(1)} ${['', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`
}

/**
 * Returns a time in milliseconds with its unit.
 * @param {number} millis
 */
export function duration(millis) {
  if (millis < 10) return `${millis.toFixed(1)} ms`
  if (millis < 1000) return `${Math.round(millis)} ms`
  if (millis < 100_000) return `${(millis / 1000).toFixed(1)} s`
  if (millis < 6_000_000) return `${Math.round(millis / 60_000)} min`
  if (millis < 172_800_000) return `${Math.round(millis / 3_600_000)} h`
  return `${Math.round(millis / 86_400_000)} days`
}

/** @param {number} rate */
export const percent = (rate) => `${(rate * 100).toFixed(1)} %`

/**
 * Makes a time of this place, with the time of the world as its tooltip.
 * @param {string} iso
 */
export function time(iso) {
  return h('time', { datetime: iso, title: iso }, times.format(new Date(iso)))
}

/**
 * Returns a text in one line that is short enough for a list.
 * @param {string} text
 * @param {number} [length]
 */
export function short(text, length = 80) {
  const characters = [...text.slice(0, length * 2)]
  return characters.length < length && text.length < length * 2 ? text : `${characters.slice(0, length).join('')}…`
}

/**
 * Makes the words that name the session of a row.
 * @param {{ sessionId: string, ownerId: string }} row
 * @param {number} [length] Of a longer id the beginning is shown.
 */
export function inSession({ sessionId, ownerId }, length = 60) {
  const name = h('bdi', {}, short(sessionId, length))
  return h('span', {}, 'session ', link('session', { id: sessionId, owner: ownerId }, name))
}

/**
 * Says whose something is. Says nothing if it is nobody's.
 * @param {string} ownerId
 */
export const ofOwner = (ownerId) => ownerId !== '' && h('span', {}, 'owner ', h('bdi', {}, ownerId))
