import { cpus } from 'node:os'
import type { Lab } from './lab.ts'
import { meets, type Result, type Row, type Target } from './row.ts'

const NAME_WIDTH = 54
const COLUMN_WIDTH = 12

/** Runs the rows one after another and prints each result at once. Returns the results in the order of the rows. */
export async function runRows(rows: readonly Row[], lab: Lab, print: (line: string) => void = console.log) {
  print(`Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? 'a processor without a name'}`)
  print(
    'A ratio is our time over the baseline: the raw driver, the same call on little data, or the package named. * misses its target.',
  )
  print(line('', ['ratio ', 'target', 'ours us', 'base us'], 'others over the baseline'))
  const results: { row: Row; result: Result }[] = []
  for (const [i, row] of rows.entries()) {
    progress(`${i + 1} of ${rows.length}: ${row.name}`)
    const result = await row.run(lab)
    progress('')
    results.push({ row, result })
    print(lineOf(row, result))
  }
  const met = results.filter(({ row, result }) => meets(result, row.target)).length
  print(`${met} of ${results.length} meet their target`)
  return results
}

/** The packages among the other ways of a row. */
const PEERS = new Set(['drizzle', 'prepared', 'kysely', 'bentocache', 'cacache'])

/** Prints how much faster we are than each package, and where we are not first, why. */
export function printPeers(
  results: readonly { row: Row; result: Result }[],
  print: (line: string) => void = console.log,
) {
  print('')
  print('The time of each package over ours; below 1 it is faster.')
  const behind: string[] = []
  for (const { row, result } of results) {
    const measured = Object.entries(result.others ?? {}).filter(([way]) => PEERS.has(way))
    if (row.against !== undefined) measured.unshift([row.against, 1])
    const peers = measured.map(([way, ratio]) => ({
      way,
      over: row.target.atLeast === undefined ? ratio / result.value : result.value / ratio,
    }))
    if (peers.length === 0) continue
    print(`${row.name.padEnd(NAME_WIDTH)}${peers.map(({ way, over }) => `${way} ${over.toFixed(2)}`).join(', ')}`)
    const faster = peers.filter(({ over }) => over < 1).map(({ way }) => way)
    if (faster.length > 0)
      behind.push(`${row.name}: ${faster.join(' and ')} may be, because ${row.peers || 'of a defect'}`)
  }
  print(
    behind.length === 0
      ? 'No package is faster in any row.'
      : `Faster than ours:\n${behind.map((text) => `  ${text}`).join('\n')}`,
  )
}

function lineOf({ name, target, against }: Row, result: Result): string {
  const { value, unit, micros, others = {} } = result
  const cells = [
    `${value.toFixed(2)}${unit}${meets(result, target) ? ' ' : '*'}`,
    targetText(target, unit),
    micros?.ours.toFixed(1) ?? '',
    micros?.baseline.toFixed(1) ?? '',
  ]
  const beside = Object.entries(others).map(([way, ratio]) => `${way} ${ratio.toFixed(2)}`)
  if (against !== undefined) beside.unshift(`against ${against}`)
  return line(name, cells, beside.join(', '))
}

function targetText({ atMost, atLeast }: Target, unit: string): string {
  if (atMost !== undefined) return `<= ${Number(atMost.toFixed(2))}${unit}`
  return atLeast === undefined ? '' : `>= ${atLeast}${unit}`
}

function line(name: string, cells: string[], rest: string): string {
  return `${name.padEnd(NAME_WIDTH)}${cells.map((cell) => cell.padStart(COLUMN_WIDTH)).join('')}  ${rest}`.trimEnd()
}

/** Replaces the progress line on a terminal. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text.slice(0, (process.stderr.columns || 80) - 1)}`)
}
