/** @import { View, MemoryItem } from './items.d.ts' */
import { get } from './api.js'
import { cutNote } from './cut.js'
import { address, copyButton, h, jsonDetails, link } from './elements.js'
import { ofOwner, time } from './formats.js'
import { pagedList } from './paged-list.js'
import { searchForm } from './search.js'

/** @param {View} view */
export async function memories({ given, owner, about, signal }) {
  const id = given.get('id')
  if (id !== null) {
    const memory = await get('memory', { id }, signal)
    return h('div', {}, h('h1', {}, 'Memory'), h('ul', { class: 'rows' }, h('li', {}, memoryRow(memory))))
  }
  const tag = given.get('tag') ?? undefined
  const field = h('input', { name: 'tag', value: tag ?? '' })
  return h(
    'div',
    {},
    h('h1', {}, 'Memories'),
    about.search && searchForm({ in: 'memories' }),
    h(
      'form',
      {
        class: 'bar',
        onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault()
          location.hash = address('memories', { tag: field.value })
        },
      },
      h('label', {}, 'Tag ', field),
      h('button', {}, 'Show'),
    ),
    pagedList({
      label: 'Memories',
      load: (cursor) => get('memories', { tag, cursor, owner }, signal),
      row: memoryRow,
      empty: 'There are no memories here.',
    }),
  )
}

/**
 * @param {MemoryItem} memory
 * @param {number} [size]
 */
function memoryRow({ id, ownerId, content, tags, metadata, createdAt }, size) {
  return h(
    'div',
    {},
    h('p', { class: 'text', dir: 'auto' }, content),
    h(
      'p',
      { class: 'facts' },
      ...tags.map((tag) => link('memories', { tag }, h('span', { class: 'badge' }, tag))),
      time(createdAt),
      ofOwner(ownerId),
      copyButton(id),
    ),
    Object.keys(metadata).length > 0 && jsonDetails('Metadata', metadata),
    cutNote(size, () => get('memory', { id })),
  )
}
