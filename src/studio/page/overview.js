/** @import { View, SessionItem, ListPage } from './items.d.ts' */
import { get } from './api.js'
import { attempt, button, failure, h, link, state } from './elements.js'
import { bytes, duration, many, percent, plain } from './formats.js'
import { plot } from './plot.js'
import { sessionRow } from './sessions.js'

const SAMPLES = 60
const SAMPLE_MILLIS = 5000
const COUNTING_MILLIS = 2000
const MOST_COUNTING_MILLIS = 30_000

/** @param {View} view */
export async function overview({ owner, signal }) {
  /** @type {Promise<any> | undefined} */
  let waiting
  const stats = () => {
    waiting ??= get('stats', {}, signal).finally(() => {
      waiting = undefined
    })
    return waiting
  }
  return h(
    'div',
    {},
    h('h1', {}, 'Overview'),
    part('Health', () => get('health', {}, signal), health),
    part('Last active sessions', () => get('sessions', { limit: 5, owner }, signal), recent),
    part(
      'Activity',
      () => countedDays(owner, signal),
      (counted) => counted,
    ),
    part('Size', stats, sizes),
    part('Cache', stats, (counted) => cache(counted.cache, signal)),
  )
}

/**
 * Makes a part of the page that is read by itself, so that what takes long holds nothing else up.
 * @template Value
 * @param {string} title
 * @param {() => Promise<Value>} load
 * @param {(value: Value) => Node} show
 */
function part(title, load, show) {
  const body = h('div', { class: 'body' }, state('Loading…'))
  attempt(body, async () => body.replaceChildren(show(await load())))
  return h('section', {}, h('h2', {}, title), body)
}

/** @typedef {{ ok: boolean, type: string, latencyMs: number, error?: string }} Layer */

/** @param {Record<'database' | 'cache' | 'blobStore', Layer>} layers */
function health({ database, cache: cached, blobStore }) {
  /** @type {[string, Layer][]} */
  const named = [
    ['Database', database],
    ['Cache', cached],
    ['Blob store', blobStore],
  ]
  return h(
    'ul',
    { class: 'cards' },
    ...named.map(([name, { ok, type, latencyMs, error }]) =>
      h(
        'li',
        { class: ok ? 'card' : 'card failed' },
        h('span', { class: 'muted' }, name),
        h('strong', {}, ok ? 'Answers' : 'Does not answer'),
        h('span', {}, `${type}, ${duration(latencyMs)}`),
        error !== undefined && h('span', {}, error),
      ),
    ),
  )
}

/** @param {ListPage<SessionItem>} page */
function recent({ items }) {
  if (items.length === 0) return state('There are no sessions yet. A program makes one with its first message.')
  return h(
    'div',
    {},
    h('ul', { class: 'rows' }, ...items.map((session) => h('li', {}, sessionRow(session)))),
    h('p', {}, link('sessions', {}, 'All sessions')),
  )
}

/** @typedef {{ days: { day: string, messages: number }[], complete: boolean, missingThrough?: string }} CountedDays */

/**
 * @param {CountedDays} counted
 * @param {number} counting In milliseconds.
 * @param {(more: HTMLElement) => Promise<void>} countOn
 */
function activity({ days, complete, missingThrough }, counting, countOn) {
  const shown = plot({
    title: 'Messages by the day of their creation, last 30 days, UTC',
    unit: 'messages',
    kind: 'bars',
    columns: ['Day', 'Messages'],
    points: days.map(({ day, messages }) => ({ label: day, value: messages })),
    text: (value) => many(value, 'message'),
  })
  if (complete) return shown
  const more = h('div', { class: 'pages' })
  more.append(
    h('span', {}, `Counted for ${duration(counting)}. The days up to ${missingThrough} may lack messages.`),
    button('Count on', () => countOn(more)),
  )
  shown.append(more)
  return shown
}

/**
 * @param {string} owner
 * @param {AbortSignal} signal
 */
async function countedDays(owner, signal) {
  const given = { owner }
  const place = h('div', {})
  /** @param {HTMLElement} more */
  const countOn = async (more) => {
    more.replaceChildren(state(`Counting for up to ${duration(MOST_COUNTING_MILLIS)}…`))
    try {
      const timeoutMillis = MOST_COUNTING_MILLIS
      place.replaceChildren(activity(await get('days', { ...given, timeoutMillis }, signal), timeoutMillis, countOn))
    } catch (error) {
      more.replaceChildren(failure(error, () => countOn(more)))
    }
  }
  const timeoutMillis = COUNTING_MILLIS
  place.append(activity(await get('days', { ...given, timeoutMillis }, signal), timeoutMillis, countOn))
  return place
}

/**
 * @param {{
 *   database: { rows: Record<string, number>, bytes: number, server: string },
 *   blobs: { count: number, bytes: number, maxTotalSize: number },
 *   search?: { pending: number },
 * }} stats
 */
function sizes({ database, blobs, search }) {
  const rows = Object.entries(database.rows).filter(([, count]) => count > 0)
  return h(
    'div',
    {},
    h(
      'ul',
      { class: 'cards' },
      card('Database', bytes(database.bytes), database.server),
      card('Blobs', bytes(blobs.bytes), `${many(blobs.count, 'blob')}, at most ${bytes(blobs.maxTotalSize)}`),
      search !== undefined &&
        card('Search', search.pending === 0 ? 'Complete' : 'Not complete', `${many(search.pending, 'text')} to index`),
    ),
    rows.length > 0 &&
      h(
        'table',
        {},
        h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Table'), h('th', { scope: 'col' }, 'Rows'))),
        h(
          'tbody',
          {},
          ...rows.map(([name, count]) => h('tr', {}, h('th', { scope: 'row' }, name), h('td', {}, plain(count)))),
        ),
      ),
  )
}

/**
 * @param {string} name
 * @param {string} value
 * @param {string} more
 */
const card = (name, value, more) =>
  h('li', { class: 'card' }, h('span', { class: 'muted' }, name), h('strong', {}, value), h('span', {}, more))

/** @typedef {{ hits: number, negativeHits: number, misses: number, bypasses: number }} Reads What became of reads through the cache. */

/**
 * @param {Reads} first
 * @param {AbortSignal} signal
 */
function cache(first, signal) {
  const body = h('div', {})
  /** @type {{ label: string, value: number, more: string }[]} */
  const points = []
  /** @param {Reads} counts */
  const show = ({ hits, negativeHits, misses, bypasses }) => {
    const answered = hits + negativeHits
    const reads = answered + misses + bypasses
    const label = new Date().toLocaleTimeString('sv-SE')
    points.push({ label, value: reads === 0 ? 0 : answered / reads, more: many(reads, 'read') })
    if (points.length > SAMPLES) points.shift()
    if (body.querySelector('details[open]')) return
    const rate = reads === 0 ? 'No reads yet' : percent(answered / reads)
    body.replaceChildren(
      h('ul', { class: 'cards' }, card('Hit rate', rate, `${many(reads, 'read')} of the process that serves Studio`)),
    )
    if (reads === 0 || points.length < 2) return // a line needs two points
    body.append(
      plot({
        title: 'Hit rate since this page was opened',
        unit: '%',
        kind: 'line',
        most: 1,
        columns: ['Time', 'Hit rate', 'Reads'],
        points,
        text: percent,
      }),
    )
  }
  show(first)
  const sample = async (wait = SAMPLE_MILLIS) => {
    await new Promise((resolve) => setTimeout(resolve, wait))
    if (signal.aborted) return
    const begun = performance.now()
    await get('cache', {}, signal).then(show, () => {})
    sample(Math.max(SAMPLE_MILLIS, 50 * (performance.now() - begun))) // the answer counts all rows as well
  }
  sample()
  return body
}
