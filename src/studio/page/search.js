/** @import { View, HitItem } from './items.d.ts' */
import { get } from './api.js'
import { address, h, link, state } from './elements.js'
import { short, time } from './formats.js'
import { pagedList } from './paged-list.js'

/**
 * Makes the field in which a search is typed.
 * @param {{ session?: string, owner?: string, q?: string, in?: string, order?: string }} given
 * @param {boolean} [isWhole] True if what is searched can be chosen.
 */
export function searchForm(given, isWhole = false) {
  const query = h('input', {
    type: 'search',
    name: 'q',
    value: given.q ?? '',
    required: true,
    placeholder: 'Words or a "phrase"',
    title: 'Words, "phrases", prefix*, -without',
  })
  const place = select('in', { messages: 'messages', sessions: 'sessions', memories: 'memories' }, given.in)
  const order = select('order', { newest: 'newest first', relevance: 'best first' }, given.order)
  const label = `Search ${given.session !== undefined ? 'this session' : isWhole ? '' : (given.in ?? '')} `
  return h(
    'form',
    {
      class: 'bar',
      role: 'search',
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault()
        const where =
          given.session === undefined
            ? { in: place.value, order: order.value }
            : { session: given.session, owner: given.owner }
        location.hash = address('search', { q: query.value, ...where })
      },
    },
    h('label', {}, label, query),
    isWhole && h('label', {}, 'in ', place),
    isWhole && h('label', {}, 'order ', order),
    h('button', {}, 'Search'),
  )
}

/**
 * @param {string} name
 * @param {Record<string, string>} options
 * @param {string | undefined} chosen
 */
export function select(name, options, chosen) {
  return h(
    'select',
    { name },
    ...Object.entries(options).map(([value, label]) => h('option', { value, selected: value === chosen }, label)),
  )
}

/** @param {View} view */
export async function search({ given, owner, about, signal }) {
  const [q, session] = [given.get('q') ?? undefined, given.get('session') ?? undefined]
  const place = given.get('in') ?? 'messages'
  const order = place === 'sessions' ? undefined : (given.get('order') ?? undefined)
  const heading = h('h1', {}, 'Search')
  if (!about.search)
    return h(
      'div',
      {},
      heading,
      state('The search is off. Switch it on in the configuration: database.options.search.'),
    )
  const note = h('div', {})
  const results =
    q &&
    pagedList({
      label: 'Results',
      load: async (cursor) => {
        const page = await get('search', { q, in: place, session, order, cursor, owner }, signal)
        note.replaceChildren(
          ...(page.incomplete ? [state('The index is not complete yet: texts may be missing.')] : []),
        )
        return page
      },
      row: hitRow,
      empty: 'Nothing was found. A word is found whole: end it with * for its beginning.',
    })
  return h(
    'div',
    {},
    heading,
    searchForm({ q, in: place, order, session, owner }, session === undefined),
    note,
    results,
  )
}

/** @param {HitItem} hit */
function hitRow({ id, sessionId, ownerId, title, seq, role, at, text, highlights }) {
  const name = short(title || sessionId || id)
  const place =
    sessionId === undefined
      ? link('memories', { id }, name)
      : link('session', { id: sessionId, owner: ownerId, message: id }, h('bdi', {}, name))
  return h(
    'div',
    {},
    h('div', { class: 'title' }, place),
    h('p', { class: 'text', dir: 'auto' }, ...marked(text, highlights)),
    h('p', { class: 'facts' }, role && h('span', {}, role), seq && h('span', {}, `#${seq}`), time(at)),
  )
}

/**
 * @param {string} text
 * @param {[number, number][]} highlights
 */
function marked(text, highlights) {
  let at = 0
  const pieces = highlights.flatMap(([start, end]) => {
    const before = text.slice(at, start)
    at = end
    return [before, h('mark', {}, text.slice(start, end))]
  })
  return [...pieces, text.slice(at)]
}
