/** @import { View } from './items.d.ts' */
import { get } from './api.js'
import { h } from './elements.js'
import { bytes, duration, plain } from './formats.js'

/** @param {View} view */
export async function configuration({ signal }) {
  const config = await get('configuration', {}, signal)
  return h(
    'div',
    {},
    h('h1', {}, 'Configuration'),
    h('p', { class: 'muted' }, 'What is in use, with every default. Passwords are masked.'),
    ...Object.entries(config).map(([section, value]) =>
      h('section', {}, h('h2', {}, section), h('dl', {}, ...entries(value, section === 'retention'))),
    ),
  )
}

/**
 * @param {unknown} value
 * @param {boolean} isTime
 * @param {string} [path]
 * @returns {Node[]}
 */
function entries(value, isTime, path = '') {
  if (typeof value !== 'object' || value === null) {
    return [h('dt', {}, path), h('dd', {}, h('bdi', {}, textOf(path, value, isTime)))]
  }
  return Object.entries(value).flatMap(([key, inner]) => entries(inner, isTime, path === '' ? key : `${path}.${key}`))
}

/**
 * @param {string} path
 * @param {unknown} value
 * @param {boolean} isTime
 */
function textOf(path, value, isTime) {
  if (typeof value !== 'number') return String(value)
  if (isTime || /Millis$/.test(path)) return duration(value)
  if (/Seconds$/.test(path)) return duration(value * 1000)
  if (/Days$/.test(path)) return `${plain(value)} days`
  if (/Bytes$|Size$/.test(path)) return bytes(value)
  if (/Entries$/.test(path)) return `${plain(value)} entries`
  if (/Connections$/.test(path)) return `${plain(value)} connections`
  return plain(value)
}
