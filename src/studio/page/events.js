/** @import { View, EventItem, ListPage } from './items.d.ts' */
import { follow, get } from './api.js'
import { cutNote } from './cut.js'
import { address, failure, h, jsonDetails, link, state } from './elements.js'
import { inSession, ofOwner, short, time } from './formats.js'

/** How many events are in the document. */
const MOST = 40

/** @param {View} view */
export async function events({ given, owner, signal }) {
  const filters = Object.fromEntries(['session', 'run', 'type'].map((name) => [name, given.get(name) ?? undefined]))
  const rows = h('ul', { class: 'rows', 'aria-label': 'Events, the newest first' })
  const note = h('div', { role: 'status' }, state('Loading…'))
  const following = h('input', { type: 'checkbox', checked: true })
  /** @type {Set<number>} */
  const seen = new Set()
  /**
   * @param {ListPage<EventItem>} page
   * @param {string | undefined} cursor The place that the page follows, from which an event that was cut is found again.
   */
  const show = ({ items, shortened = {} }, cursor) => {
    for (const [i, event] of items.entries()) {
      if (seen.has(event.seq)) continue
      seen.add(event.seq)
      const whole = () => get('event', { ...filters, owner, cursor, seq: event.seq }, signal)
      rows.prepend(h('li', {}, eventRow(event), cutNote(shortened[i], whole)))
      if (rows.childElementCount > MOST) rows.lastElementChild?.remove()
    }
  }
  /** @type {AbortController | undefined} */
  let current
  const start = async () => {
    const ending = new AbortController()
    current = ending
    signal.addEventListener('abort', () => ending.abort(), { signal: ending.signal })
    try {
      const query = { ...filters, owner }
      const { items, nextCursor, shortened } = await get(
        'events',
        { ...query, order: 'desc', limit: MOST + 1 }, // the last one has the cursor that the others follow
        ending.signal,
      )
      const last = items.length - 1
      const sizes = Object.fromEntries(Object.entries(shortened ?? {}).map(([i, size]) => [last - Number(i), size]))
      show({ items: items.toReversed(), shortened: sizes }, nextCursor)
      note.replaceChildren(
        state(
          items.length === 0
            ? 'There are no events here. New ones appear by themselves.'
            : 'New events appear by themselves.',
        ),
      )
      let cursor = nextCursor
      for await (const page of follow({ ...query, cursor }, ending.signal)) {
        if (page.items.some(({ seq }) => !seen.has(seq)))
          note.replaceChildren(state('New events appear by themselves.'))
        show(page, cursor)
        cursor = page.nextCursor
      }
    } catch (error) {
      if (!ending.signal.aborted) note.replaceChildren(failure(error, start))
    }
  }
  following.addEventListener('change', () => {
    current?.abort()
    if (following.checked) start()
    else note.replaceChildren(state('New events are not shown.'))
  })
  start()
  return h(
    'div',
    {},
    h('h1', {}, 'Events'),
    h(
      'form',
      {
        class: 'bar',
        onsubmit: (/** @type {SubmitEvent} */ event) => {
          event.preventDefault()
          const kept = [...given].filter(([name]) => name === 'owner')
          const fields = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget))
          location.hash = address(
            'events',
            Object.fromEntries([...fields, ...kept].map(([name, value]) => [name, String(value)])),
          )
        },
      },
      ...[
        ['type', 'Type'],
        ['session', 'Session'],
        ['run', 'Run'],
      ].map(([name = '', label = '']) => h('label', {}, `${label} `, h('input', { name, value: filters[name] ?? '' }))),
      h('button', {}, 'Show'),
      h('label', { class: 'check' }, following, ' Follow'),
    ),
    note,
    rows,
  )
}

/** @param {EventItem} event */
function eventRow({ type, sessionId, ownerId, runId, payload, occurredAt, seq }) {
  return h(
    'div',
    {},
    h(
      'p',
      { class: 'facts' },
      h('strong', {}, h('bdi', {}, type)),
      time(occurredAt),
      sessionId !== null && inSession({ sessionId, ownerId }, 40),
      runId !== null && h('span', {}, 'run ', link('events', { run: runId }, h('bdi', {}, short(runId, 40)))),
      ofOwner(ownerId),
      h('span', { class: 'muted' }, `#${seq}`),
    ),
    payload !== null && jsonDetails('Payload', payload),
  )
}
