/** @import { ListPage, QueueItem, View, QueueSummaryItem } from './items.d.ts' */
import { get } from './api.js'
import { cutNote } from './cut.js'
import { h, jsonBlock, link, ofSession } from './elements.js'
import { inSession, many, ofOwner } from './formats.js'
import { pagedList } from './paged-list.js'

/** @param {View} view */
export async function queues({ given, owner, signal }) {
  const session = given.get('session') ?? undefined
  return h(
    'div',
    {},
    h('h1', {}, 'Queues'),
    session !== undefined && ofSession({ id: session, owner }, link('queues', {}, 'all queues')),
    pagedList({
      label: 'Queues',
      load: (cursor) => get('queues', { session, cursor, owner }, signal),
      row: (queue) => queueRow(queue, signal),
      empty: 'There are no queues here.',
    }),
  )
}

/**
 * @param {QueueSummaryItem} summary
 * @param {AbortSignal} signal
 */
function queueRow({ sessionId, ownerId, queue, length }, signal) {
  const items = h('div', {})
  /** @type {Record<string, string | number | undefined>} */
  let query = {}
  /** @param {QueueItem} item */
  const whole = async ({ id }) => {
    const { items } = /** @type {ListPage<QueueItem>} */ (await get('queue/items', { ...query, whole: 1 }))
    return items.find((item) => item.id === id) ?? 'It was taken meanwhile.'
  }
  const unfolded = h('details', {}, h('summary', {}, many(length, 'item')), items)
  unfolded.addEventListener(
    'toggle',
    () =>
      items.replaceChildren(
        pagedList({
          label: `Items of ${queue}`,
          load: (cursor) => {
            query = { session: sessionId, queue, cursor, limit: 10, owner: ownerId }
            return get('queue/items', query, signal)
          },
          row: (item, size) =>
            h(
              'div',
              {},
              jsonBlock(item),
              cutNote(size, () => whole(item)),
            ),
          empty: 'The queue is empty.',
        }),
      ),
    { once: true },
  )
  return h(
    'div',
    {},
    h('div', { class: 'title' }, h('bdi', {}, queue)),
    h('p', { class: 'facts' }, inSession({ sessionId, ownerId }), ofOwner(ownerId)),
    unfolded,
  )
}
