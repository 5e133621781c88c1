import { bytesOf, get } from './api.js'
import { attempt, button, h } from './elements.js'
import { bytes } from './formats.js'

/** @import { BlobItem } from './items.d.ts' */

/** What a browser shows without running anything of it. SVG is not among them. */
const SHOWN = new Set(['image/png', 'image/jpeg', 'image/gif', 'image/webp'])
const MAX_SHOWN_BYTES = 8 * 1024 * 1024

/**
 * Makes an image of bytes. The address of the bytes is given up as soon as they are read.
 * @param {Blob} blob
 * @param {string} name
 */
function imageOf(blob, name) {
  const url = URL.createObjectURL(blob)
  const free = () => URL.revokeObjectURL(url)
  const image = h('img', { src: url, alt: name, onload: free })
  image.addEventListener('error', () => {
    free()
    image.replaceWith(h('p', { class: 'muted' }, `${name} is damaged, or is no image.`))
  })
  return image
}

/**
 * Makes the image of a `data:` url, or returns undefined if it is none that is shown.
 * @param {string} url
 */
export function dataImage(url) {
  const [, type = '', encoded = ''] = /^data:([\w/+.-]+);base64,([\w+/=\s]+)$/.exec(url) ?? []
  if (!SHOWN.has(type) || encoded.length > MAX_SHOWN_BYTES) return undefined
  try {
    const data = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0))
    return imageOf(new Blob([data], { type }), 'An image in the message')
  } catch {
    return undefined
  }
}

/**
 * Makes what is shown of a blob: an image, or its name with a button that saves it.
 * @param {BlobItem} blob
 */
export function blobView({ id, name, mimeType, size }) {
  const called = name || id
  const place = h('div', { class: 'image' })
  const isShown = SHOWN.has(mimeType)
  const show = async () => {
    const read = await bytesOf(id)
    place.replaceChildren(imageOf(new Blob([read], { type: mimeType }), called))
  }
  if (isShown && size <= MAX_SHOWN_BYTES) attempt(place, show)
  const save = async () => {
    const url = URL.createObjectURL(new Blob([await bytesOf(id)], { type: 'application/octet-stream' }))
    h('a', { href: url, download: called.replace(/[/\\]/g, '_') }).click()
    setTimeout(() => URL.revokeObjectURL(url), 60_000)
  }
  const saving = button(`Save (${bytes(size)})`, () => attempt(place, save))
  const note = !isShown
    ? '· not shown, can be saved'
    : size > MAX_SHOWN_BYTES
      ? '· too large to be shown, can be saved'
      : ''
  return h('div', { class: 'blob' }, place, h('p', {}, h('bdi', {}, called), ` · ${mimeType} `, note, ' ', saving))
}

/**
 * Makes what is shown of a blob that a message mentions.
 * @param {string} id
 */
export function mentionedBlob(id) {
  const place = h('div', { class: 'blob muted' }, `blob:${id}`)
  get('blob', { id }).then(
    (blob) => place.replaceChildren(blobView(blob)),
    ({ code, message }) =>
      place.append(code === 'NOT_FOUND' ? ' does not exist any more' : ` could not be read: ${message}`),
  )
  return place
}
