/** @import { View, BlobItem } from './items.d.ts' */
import { get } from './api.js'
import { cutNote } from './cut.js'
import { copyButton, h, jsonDetails } from './elements.js'
import { ofOwner, time } from './formats.js'
import { blobView } from './images.js'
import { pagedList } from './paged-list.js'

/** @param {View} view */
export async function blobs({ owner, signal }) {
  return h(
    'div',
    {},
    h('h1', {}, 'Blobs'),
    pagedList({
      label: 'Blobs',
      load: (cursor) => get('blobs', { cursor, limit: 20, owner }, signal),
      row: blobRow,
      empty: 'There are no blobs here.',
    }),
  )
}

/**
 * @param {BlobItem} blob
 * @param {number | undefined} size
 */
function blobRow(blob, size) {
  const { id, ownerId, source, createdAt, lastUsedAt, hash, metadata } = blob
  return h(
    'div',
    {},
    blobView(blob),
    h(
      'p',
      { class: 'facts' },
      h('span', {}, 'created ', time(createdAt)),
      h('span', {}, 'used ', time(lastUsedAt)),
      source !== null && h('span', {}, 'source ', h('bdi', {}, source)),
      ofOwner(ownerId),
      copyButton(`blob:${id}`, 'reference'),
    ),
    jsonDetails('SHA-256 and metadata', { id, hash, metadata }),
    cutNote(size, () => get('blob', { id })),
  )
}
