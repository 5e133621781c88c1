import { cpus } from 'node:os'
import type { Lab } from './lab.ts'
import { meets, type Result, type Row, type Target } from './row.ts'

const NAME_WIDTH = 54
const COLUMN_WIDTH = 12

/** Runs the rows one after another and prints each as soon as it is known; what they measured, in their order. */
export async function runRows(rows: readonly Row[], lab: Lab, print: (line: string) => void = console.log) {
  print(`Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? 'a processor without a name'}`)
  print('Times are ours over the other: the raw driver, or the same call where there is little. * misses its target.')
  print(line('', ['ratio ', 'target', 'ours us', 'other us'], 'others over the other'))
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

function lineOf({ name, target }: Row, result: Result): string {
  const { value, unit, micros, others = {} } = result
  const cells = [
    `${value.toFixed(2)}${unit}${meets(result, target) ? ' ' : '*'}`,
    targetText(target, unit),
    micros?.ours.toFixed(1) ?? '',
    micros?.baseline.toFixed(1) ?? '',
  ]
  const beside = Object.entries(others).map(([way, ratio]) => `${way} ${ratio.toFixed(2)}`)
  return line(name, cells, beside.join(', '))
}

function targetText({ atMost, atLeast }: Target, unit: string): string {
  if (atMost !== undefined) return `<= ${Number(atMost.toFixed(2))}${unit}`
  return atLeast === undefined ? '' : `>= ${atLeast}${unit}`
}

function line(name: string, cells: string[], rest: string): string {
  return `${name.padEnd(NAME_WIDTH)}${cells.map((cell) => cell.padStart(COLUMN_WIDTH)).join('')}  ${rest}`.trimEnd()
}

/** One line on a terminal, taken back by the next. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text.slice(0, (process.stderr.columns || 80) - 1)}`)
}
