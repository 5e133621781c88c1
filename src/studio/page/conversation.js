/** @import { View, MessageItem, SessionItem } from './items.d.ts' */
import { get } from './api.js'
import { contentOf, rawOf } from './content.js'
import { button, copyButton, failure, h, jsonDetails, link } from './elements.js'
import { forkTree } from './forks.js'
import { many, plain, time } from './formats.js'
import { searchForm } from './search.js'
import { MessageWindow } from './window.js'

/** @param {View} view */
export async function conversation({ given, about, signal }) {
  const id = given.get('id') ?? ''
  /** @type {SessionItem} */
  const session = await get('session', { id, owner: given.get('owner') ?? undefined }, signal)
  const owner = session.ownerId
  const messages = new MessageWindow({
    load: (place) => get('messages', { session: id, owner, ...place }, signal),
    around: (message) => get('messages/around', { session: id, owner, id: message }, signal),
    row: (message, size) => messageRow(message, size, owner),
    signal,
  })
  const message = given.get('message') ?? undefined
  messages.show(message === undefined ? {} : { id: message })
  document.addEventListener('keydown', (event) => moveFocus(event, messages.list), { signal })
  return h(
    'div',
    { class: 'conversation' },
    heading(session),
    about.search && searchForm({ session: id, owner }),
    places(session, messages),
    messages.element,
  )
}

/** @param {SessionItem} session */
function heading(session) {
  const { id, title, ownerId, messageCount, createdAt, lastActiveAt, parentId, expiresAt, metadata } = session
  return h(
    'header',
    {},
    h('h1', {}, h('bdi', {}, title || id)),
    h(
      'p',
      { class: 'facts' },
      h('span', {}, many(messageCount, 'message')),
      h('span', {}, 'created ', time(createdAt)),
      h('span', {}, 'active ', time(lastActiveAt)),
      expiresAt !== null && h('span', {}, 'expires ', time(expiresAt)),
      h('span', {}, 'owner ', ownerId === '' ? 'nobody' : h('bdi', {}, ownerId)),
      h('span', { class: 'id' }, h('bdi', {}, id)),
      copyButton(id),
    ),
    h(
      'p',
      { class: 'facts' },
      link('events', { session: id, owner: ownerId }, 'Events'),
      link('queues', { session: id, owner: ownerId }, 'Queues'),
      link('approvals', { session: id, owner: ownerId, status: 'all' }, 'Approvals'),
    ),
    Object.keys(metadata).length > 0 && jsonDetails('Metadata', metadata),
    forkTree({ id, owner: ownerId }, parentId !== null),
  )
}

/**
 * Makes the buttons that go to a place of the conversation.
 * @param {SessionItem} session
 * @param {MessageWindow} messages
 */
function places({ lastSeq }, messages) {
  const seq = h('input', { type: 'number', name: 'seq', min: 1, max: Math.max(1, lastSeq), required: true, size: 8 })
  return h(
    'form',
    {
      class: 'bar places',
      'aria-label': 'Place in the conversation',
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault()
        messages.show({ after: Number(seq.value) - 1 })
      },
    },
    button('First', () => {
      messages.show({})
      scrollTo(0, 0)
    }),
    button('Last', () => messages.show({ order: 'desc' })),
    h('label', {}, 'Message number ', seq),
    h('button', {}, 'Go'),
    h('span', { class: 'muted' }, `of ${plain(lastSeq)}`),
    h('span', { class: 'muted keys' }, 'Keys: j next, k previous, / search'),
  )
}

/**
 * @param {MessageItem} message
 * @param {number | undefined} size
 * @param {string} owner
 */
function messageRow(message, size, owner) {
  const { id, seq, role, createdAt } = message
  const raw = button('JSON', async () => {
    const shown = row.querySelector(':scope > pre')
    raw.setAttribute('aria-expanded', String(shown === null))
    if (shown !== null) shown.remove()
    else row.append(await rawOf(message, size, owner).catch((error) => failure(error, () => raw.click())))
  })
  raw.className = 'quiet'
  raw.setAttribute('aria-expanded', 'false')
  const row = h(
    'li',
    { class: `message ${KNOWN_ROLES.has(role) ? role : 'other'}`, tabindex: -1, 'data-id': id, 'data-seq': seq },
    h(
      'div',
      { class: 'head' },
      h('strong', { dir: 'auto' }, role),
      h('span', { class: 'muted' }, `#${plain(seq)}`),
      time(createdAt),
      copyButton(id),
      raw,
    ),
    contentOf(message, size, owner),
  )
  return row
}

const KNOWN_ROLES = new Set(['user', 'assistant', 'system', 'tool'])

/**
 * @param {KeyboardEvent} event
 * @param {HTMLElement} list
 */
function moveFocus(event, list) {
  const { key, target, ctrlKey, metaKey, altKey } = event
  if ((key !== 'j' && key !== 'k') || ctrlKey || metaKey || altKey) return
  if (target instanceof HTMLElement && target.closest('input, textarea, select')) return
  const focused = document.activeElement?.closest('.message')
  const first = [...list.children].find((row) => row.getBoundingClientRect().bottom > 80)
  const next = key === 'j' ? focused?.nextElementSibling : focused?.previousElementSibling
  const goal = focused ? next : first
  if (!(goal instanceof HTMLElement)) return
  goal.focus({ preventScroll: true })
  goal.scrollIntoView({ block: 'nearest' })
}
