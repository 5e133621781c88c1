/** @import { ForkItem } from './items.d.ts' */
import { get } from './api.js'
import { failure, h, link, state } from './elements.js'
import { many, short } from './formats.js'

/**
 * Makes the tree of forks that a session belongs to. It is read when it is unfolded.
 * @param {string} id
 * @param {boolean} isFork
 */
export function forkTree(id, isFork) {
  const place = h('div', {}, state('Loading…'))
  let isRead = false
  const read = async () => {
    if (isRead) return
    isRead = true
    try {
      /** @type {{ nodes: ForkItem[], complete: boolean }} */
      const { nodes, complete } = await get('session/forks', { id })
      const known = new Set(nodes.map((node) => node.id))
      const roots = nodes.filter(({ parentId }) => parentId === null || !known.has(parentId))
      place.replaceChildren(
        nodes.length === 1 && roots[0]?.parentId === null
          ? state('Nothing was forked from this session.')
          : branches(roots, nodes, id),
      )
      if (!complete) place.append(state('There are too many sessions to look at all: forks may be missing.'))
    } catch (error) {
      isRead = false
      place.replaceChildren(failure(error, read))
    }
  }
  const tree = h('details', { class: 'forks', ontoggle: read }, h('summary', {}, isFork ? 'A fork' : 'Forks'), place)
  tree.open = isFork
  return tree
}

/**
 * @param {ForkItem[]} siblings
 * @param {ForkItem[]} nodes
 * @param {string} current
 * @returns {HTMLElement}
 */
function branches(siblings, nodes, current) {
  return h(
    'ul',
    { class: 'tree' },
    ...siblings.map((node) => {
      const children = nodes.filter(({ parentId }) => parentId === node.id)
      const name = h('bdi', {}, short(node.title || node.id))
      const isLost = node.parentId !== null && !nodes.some(({ id }) => id === node.parentId)
      return h(
        'li',
        {},
        node.id === current ? h('strong', { 'aria-current': 'true' }, name) : link('session', { id: node.id }, name),
        h('span', { class: 'muted' }, ` ${many(node.messageCount, 'message')}${isLost ? ', its origin is gone' : ''}`),
        children.length > 0 && branches(children, nodes, current),
      )
    }),
  )
}
