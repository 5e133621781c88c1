/** @import { ListPage } from './items.d.ts' */
import { button, failure, h, state } from './elements.js'

/**
 * Makes a list that is read a page at a time: what is not shown is not in the document.
 * @template Item
 * @param {{
 *   label: string,
 *   load: (cursor: string | undefined) => Promise<ListPage<Item>>,
 *   row: (item: Item, size: number | undefined) => Node,
 *   empty: string,
 * }} options `size` is given to a row whose item is not whole.
 */
export function pagedList({ label, load, row, empty }) {
  /** @type {(string | undefined)[]} */
  const cursors = [undefined]
  const rows = h('ul', { class: 'rows', 'aria-label': label })
  const below = h('div', { class: 'pages' })
  const list = h('section', { 'aria-label': label }, rows, below)
  const show = async () => {
    list.setAttribute('aria-busy', 'true')
    if (rows.childElementCount === 0) below.replaceChildren(state('Loading…'))
    try {
      const { items, nextCursor, shortened = {} } = await load(cursors.at(-1))
      rows.replaceChildren(...items.map((item, i) => h('li', {}, row(item, shortened[i]))))
      const previous = button('Previous', () => turn(() => cursors.pop()), { disabled: cursors.length === 1 })
      const next = button('Next', () => turn(() => cursors.push(nextCursor)), { disabled: nextCursor === undefined })
      if (items.length === 0 && cursors.length === 1) below.replaceChildren(state(empty))
      else below.replaceChildren(previous, h('span', {}, `Page ${cursors.length}`), next)
      if (cursors.length === 1 && nextCursor === undefined && items.length > 0) below.replaceChildren()
    } catch (error) {
      rows.replaceChildren()
      below.replaceChildren(failure(error, show))
    }
    list.removeAttribute('aria-busy')
  }
  /** @param {() => unknown} change */
  const turn = async (change) => {
    if (list.hasAttribute('aria-busy')) return // the buttons are still those of the page before
    change()
    await show()
    list.scrollIntoView({ block: 'nearest' })
    const enabled = below.querySelector('button:not([disabled])')
    if (enabled instanceof HTMLElement) enabled.focus({ preventScroll: true })
  }
  show()
  return list
}
