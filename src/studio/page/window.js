/** @import { MessageItem, ListPage } from './items.d.ts' */
import { failure, h, state } from './elements.js'

const PAGE = 20
/** How many elements the messages may take. What is far from the screen is removed, and read again when it comes near. */
const MOST_ELEMENTS = 340

/** The messages around the part of a conversation that is on the screen, whatever its length. */
export class MessageWindow {
  /**
   * @param {{
   *   load: (given: Record<string, string | number | undefined>) => Promise<ListPage<MessageItem>>,
   *   around: (id: string) => Promise<ListPage<MessageItem>>,
   *   row: (message: MessageItem, size: number | undefined) => HTMLElement,
   *   signal: AbortSignal,
   * }} options
   */
  constructor({ load, around, row, signal }) {
    this.load = load
    this.around = around
    this.row = row
    this.list = h('ol', { class: 'messages', 'aria-label': 'Messages' })
    this.above = h('div', { class: 'edge' })
    this.below = h('div', { class: 'edge' })
    this.element = h('div', {}, this.above, this.list, this.below)
    /** The seqs of the messages that are shown. @type {number[]} */
    this.seqs = []
    this.isAtStart = true
    this.isAtEnd = true
    this.isBusy = false
    this.hasFailed = false
    /** Counts the places that were gone to: what was read for an earlier one is dropped. */
    this.visits = 0
    this.isGoing = false
    this.observer = new IntersectionObserver(() => this.fill(), { rootMargin: '600px' })
    signal.addEventListener('abort', () => this.observer.disconnect())
    // The observer tells of changes from frame to frame: an edge that left and came back between two frames is none.
    addEventListener('scroll', () => this.fill(), { signal, passive: true })
  }

  /**
   * Shows the messages from a place on: `{ after }`, `{ order: 'desc' }` for the last, or `{ id }`.
   * @param {{ after?: number, order?: 'desc', id?: string }} place
   */
  async show(place) {
    this.observer.disconnect()
    const visit = ++this.visits
    this.isGoing = true
    this.hasFailed = false
    this.below.replaceChildren(state('Loading…'))
    try {
      const { id, ...given } = place
      const page = id === undefined ? await this.load({ ...given, limit: PAGE }) : await this.around(id)
      if (visit !== this.visits) return
      this.list.replaceChildren()
      this.seqs = []
      const isLast = given.order === 'desc'
      this.isAtStart = isLast ? page.nextCursor === undefined : id === undefined && !given.after
      this.isAtEnd = isLast || (id === undefined && page.nextCursor === undefined)
      this.add(page, isLast ? 'reversed' : 'below')
      this.below.replaceChildren()
      if (this.seqs.length === 0) this.below.replaceChildren(state('There are no messages here.'))
      const shown = isLast ? this.list.lastElementChild : this.list.firstElementChild
      const target = id === undefined ? shown : this.rowOf(id)
      if (target instanceof HTMLElement && (id !== undefined || given.after || isLast)) {
        target.scrollIntoView({ block: isLast ? 'end' : 'center' })
        target.focus({ preventScroll: true })
        if (id !== undefined) target.classList.add('found')
      }
    } catch (error) {
      if (visit === this.visits) this.below.replaceChildren(failure(error, () => this.show(place)))
      return
    }
    this.isGoing = false
    this.observer.observe(this.above)
    this.observer.observe(this.below)
  }

  /** @param {string} id */
  rowOf(id) {
    return [...this.list.children].find((row) => row instanceof HTMLElement && row.dataset.id === id)
  }

  /**
   * @param {ListPage<MessageItem>} page
   * @param {'above' | 'below' | 'reversed'} place
   */
  add({ items, shortened = {} }, place) {
    const rows = items.map((message, i) => this.row(message, shortened[i]))
    const seqs = items.map(({ seq }) => seq)
    if (place !== 'below') {
      rows.reverse()
      seqs.reverse()
    }
    if (place === 'above') {
      this.list.prepend(...rows)
      this.seqs.unshift(...seqs)
    } else {
      this.list.append(...rows)
      this.seqs.push(...seqs)
    }
  }

  /** Reads what comes near the screen, and removes what is far from it, one page after the other. */
  async fill() {
    if (this.isBusy || this.hasFailed) return
    this.isBusy = true
    try {
      for (;;) {
        if (this.isGoing) break
        if (!this.isAtEnd && isNear(this.below)) await this.more('below')
        else if (!this.isAtStart && isNear(this.above)) await this.more('above')
        else break
      }
    } catch (error) {
      this.hasFailed = true // scrolling would ask again and again
      const retry = () => {
        this.hasFailed = false
        this.fill()
      }
      this.below.replaceChildren(failure(error, retry))
    } finally {
      this.isBusy = false
    }
  }

  /** @param {'above' | 'below'} side */
  async more(side) {
    const isAbove = side === 'above'
    const edge = isAbove ? { before: this.seqs[0], order: 'desc' } : { after: this.seqs.at(-1) }
    const { visits } = this
    const page = await this.load({ ...edge, limit: PAGE })
    if (visits !== this.visits) return
    if (page.nextCursor === undefined) this[isAbove ? 'isAtStart' : 'isAtEnd'] = true
    this.below.replaceChildren()
    // What is on the screen stays where it is.
    const anchor = [...this.list.children].find((row) => row.getBoundingClientRect().bottom > 0)
    const before = anchor?.getBoundingClientRect().top ?? 0
    this.add(page, side)
    this.trim(isAbove ? 'below' : 'above')
    const after = anchor?.getBoundingClientRect().top ?? 0
    if (after !== before) window.scrollBy(0, after - before)
  }

  /** @param {'above' | 'below'} side */
  trim(side) {
    const isAbove = side === 'above'
    const elements = this.list.getElementsByTagName('*')
    while (elements.length > MOST_ELEMENTS && this.list.childElementCount > 1) {
      const row = isAbove ? this.list.firstElementChild : this.list.lastElementChild
      const { top, bottom } = row?.getBoundingClientRect() ?? { top: 0, bottom: 0 }
      if (row === null || (isAbove ? bottom > -innerHeight : top < 2 * innerHeight)) break
      if (row.contains(document.activeElement)) break
      row.remove()
      if (isAbove) {
        this.seqs.shift()
        this.isAtStart = false
      } else {
        this.seqs.pop()
        this.isAtEnd = false
      }
    }
  }
}

/** @param {Element} edge */
function isNear(edge) {
  const { top, bottom } = edge.getBoundingClientRect()
  return bottom > -600 && top < innerHeight + 600 && edge.isConnected
}
