/** @import { ForkItem } from './items.d.ts' */
import { get } from './api.js'
import { attempt, button, failure, h, link, state } from './elements.js'
import { many, short } from './formats.js'

/** @typedef {{ nodes: ForkItem[], hasOrigin: boolean }} Forks */

/**
 * Makes the tree of forks that a session belongs to. It is read when it is unfolded.
 * @param {{ id: string, owner: string }} session
 * @param {boolean} isFork
 */
export function forkTree({ id, owner }, isFork) {
  const place = h('div', { class: 'tree-box' }, state('Loading…'))
  let isRead = false
  const read = async () => {
    if (isRead) return
    isRead = true
    try {
      /** @type {Forks} */
      const { nodes, hasOrigin } = await get('session/forks', { id, owner })
      const known = new Set(nodes.map((node) => node.id))
      const roots = nodes.filter(({ parentId }) => parentId === null || !known.has(parentId))
      const [root] = roots
      place.replaceChildren(
        nodes.length === 1 && root?.parentId === null
          ? state('Nothing was forked from this session.')
          : branches(roots, nodes, { current: id, owner, isOriginKnown: hasOrigin }),
      )
      if (hasOrigin && root?.parentId) {
        place.prepend(h('p', {}, link('session', { id: root.parentId, owner }, 'Earlier origins')))
      }
    } catch (error) {
      isRead = false
      place.replaceChildren(failure(error, read))
    }
  }
  const tree = h('details', { class: 'forks', ontoggle: read }, h('summary', {}, isFork ? 'A fork' : 'Forks'), place)
  tree.open = isFork
  return tree
}

/** @typedef {{ current: string, owner: string, isOriginKnown: boolean }} Place */
/** @type {(siblings: ForkItem[], nodes: ForkItem[], place: Place) => HTMLElement} */
const branches = (siblings, nodes, place) =>
  h('ul', { class: 'tree' }, ...siblings.map((node) => branch(node, nodes, place)))

/** @type {(node: ForkItem, nodes: ForkItem[], place: Place) => HTMLElement} */
function branch(node, nodes, place) {
  const children = nodes.filter(({ parentId }) => parentId === node.id)
  const name = h('bdi', {}, short(node.title || node.id))
  const isLost = !place.isOriginKnown && node.parentId !== null && !nodes.some(({ id }) => id === node.parentId)
  const below = branches(children, nodes, place)
  if (node.more !== undefined) below.append(moreOf(node, node.more, place))
  return h(
    'li',
    {},
    node.id === place.current
      ? h('strong', { 'aria-current': 'true' }, name)
      : link('session', { id: node.id, owner: place.owner }, name),
    h('span', { class: 'muted' }, ` ${many(node.messageCount, 'message')}${isLost ? ', its origin is gone' : ''}`),
    below.childElementCount > 0 && below,
  )
}

/** @type {(node: ForkItem, cursor: string, place: Place) => HTMLElement} */
function moreOf(node, cursor, place) {
  const item = h('li', {})
  const read = async () => {
    /** @type {Forks} */
    const { nodes } = await get('session/more-forks', { id: node.id, owner: place.owner, cursor })
    const [again, ...forks] = nodes
    const children = forks.filter(({ parentId }) => parentId === node.id)
    const shown = children.filter(({ id }) => id !== place.current)
    const next = again?.more === undefined ? [] : [moreOf(node, again.more, place)]
    item.replaceWith(...shown.map((fork) => branch(fork, nodes, place)), ...next)
  }
  item.append(button(cursor === '' ? 'Show forks' : 'More forks', () => attempt(item, read), { class: 'quiet' }))
  return item
}
