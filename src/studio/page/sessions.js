/** @import { View, SessionItem } from './items.d.ts' */
import { get } from './api.js'
import { address, copyButton, h, link } from './elements.js'
import { many, short, time } from './formats.js'
import { pagedList } from './paged-list.js'
import { searchForm, select } from './search.js'

/** @param {View} view */
export async function sessions({ given, owner, about, signal }) {
  const orderBy = given.get('orderBy') ?? 'lastActiveAt'
  const order = select('orderBy', { lastActiveAt: 'last active first', createdAt: 'last created first' }, orderBy)
  order.addEventListener('change', () => {
    location.hash = address('sessions', { orderBy: order.value })
  })
  return h(
    'div',
    {},
    h('h1', {}, 'Sessions'),
    about.search && searchForm({ in: 'sessions' }),
    h('div', { class: 'bar' }, h('label', {}, 'Order ', order)),
    pagedList({
      label: 'Sessions',
      load: (cursor) => get('sessions', { orderBy, cursor, owner }, signal),
      row: sessionRow,
      empty:
        owner === ''
          ? 'There are no sessions yet. A program makes one with its first message.'
          : 'This owner has no sessions.',
    }),
  )
}

/** @param {SessionItem} session */
export function sessionRow({ id, title, ownerId, messageCount, lastActiveAt, parentId }) {
  return h(
    'div',
    {},
    h('div', { class: 'title' }, link('session', { id, owner: ownerId }, h('bdi', {}, short(title || id)))),
    h(
      'p',
      { class: 'facts' },
      h('span', {}, many(messageCount, 'message')),
      h('span', {}, 'active ', time(lastActiveAt)),
      ownerId !== '' && h('span', {}, 'owner ', h('bdi', {}, short(ownerId, 40))),
      parentId !== null && h('span', { class: 'badge' }, 'fork'),
      h('span', { class: 'id' }, h('bdi', {}, id)),
      copyButton(id),
    ),
  )
}
