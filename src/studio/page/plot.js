import { h, svg } from './elements.js'
import { plain } from './formats.js'

const HEIGHT = 140
const LEFT = 48
const TOP = 10
const BOTTOM = 22

/**
 * Makes a plot of a number over time, with a table for those who do not see it.
 * @param {{
 *   title: string,
 *   unit: string,
 *   points: { label: string, value: number, more?: string }[],
 *   kind: 'bars' | 'line',
 *   most?: number,
 *   columns: string[],
 *   text?: (value: number) => string,
 * }} options
 */
export function plot({ title, unit, points, kind, most, columns, text = (value) => `${plain(value)} ${unit}` }) {
  const wide = innerWidth < 760 ? 340 : 680 // so that its texts have the size of others
  const top = most ?? niceMost(Math.max(1, ...points.map(({ value }) => value)))
  const width = (wide - LEFT) / Math.max(1, points.length)
  /** @param {number} value */
  const heightOf = (value) => (value / top) * (HEIGHT - TOP - BOTTOM)
  const ground = HEIGHT - BOTTOM
  const lines = [0, top / 2, top].map((value) =>
    svg(
      'g',
      {},
      svg('line', { class: 'grid', x1: LEFT, x2: wide, y1: ground - heightOf(value), y2: ground - heightOf(value) }),
      svg('text', { x: LEFT - 6, y: ground - heightOf(value) + 4, 'text-anchor': 'end' }, axisText(value, most)),
    ),
  )
  const marks =
    kind === 'bars'
      ? points.map(({ label, value }, i) =>
          svg(
            'rect',
            {
              class: 'mark',
              x: LEFT + i * width + 1,
              y: ground - heightOf(value),
              width: Math.max(1, width - 2),
              height: heightOf(value),
              rx: 1.5,
            },
            svg('title', {}, `${label}: ${text(value)}`),
          ),
        )
      : [
          svg('polyline', {
            class: 'line',
            points: points.map(({ value }, i) => `${LEFT + (i + 0.5) * width},${ground - heightOf(value)}`).join(' '),
          }),
        ]
  const ends = [points.at(0), points.at(-1)].map((point, i) =>
    svg(
      'text',
      { x: i === 0 ? LEFT : wide, y: HEIGHT - 5, 'text-anchor': i === 0 ? 'start' : 'end' },
      point?.label ?? '',
    ),
  )
  const table = h(
    'table',
    {},
    h('thead', {}, h('tr', {}, ...columns.map((column) => h('th', { scope: 'col' }, column)))),
    h(
      'tbody',
      {},
      ...points.map(({ label, value, more }) =>
        h(
          'tr',
          {},
          h('th', { scope: 'row' }, label),
          h('td', {}, text(value)),
          more !== undefined && h('td', {}, more),
        ),
      ),
    ),
  )
  return h(
    'figure',
    { class: 'plot' },
    h('figcaption', {}, title),
    svg(
      'svg',
      { viewBox: `0 0 ${wide} ${HEIGHT}`, role: 'img', 'aria-label': `${title}. The table below has the numbers.` },
      ...lines,
      ...marks,
      ...ends,
    ),
    h('details', {}, h('summary', {}, 'Show as a table'), h('div', { class: 'scroll', tabindex: 0 }, table)),
  )
}

/**
 * Returns a round number that is not less, and whose half is whole.
 * @param {number} value
 */
function niceMost(value) {
  const power = 10 ** Math.floor(Math.log10(value))
  const step = [1, 2, 4, 6, 8, 10].find((candidate) => candidate * power >= value) ?? 10
  return Math.max(2, step * power)
}

/**
 * @param {number} value
 * @param {number | undefined} most
 */
function axisText(value, most) {
  if (most === 1) return `${value * 100} %`
  return value >= 10_000 ? `${plain(value / 1000)} k` : plain(value)
}
