import type { BulkColumn, BulkRow, BulkTable, Cell } from '../database/bulk/table.ts'
import { isStorable } from '../validation/input.ts'
import { EARLIEST, LATEST } from '../validation/instants.ts'

/** What is wrong with a line of an archive. */
export class LineProblem extends Error {}

/** Makes the function that writes a row as a line of JSON, without the end of the line. */
export function lineWriter({ columns }: BulkTable): (row: BulkRow) => string {
  const writers = columns.map(({ name, kind }, i) => ({
    prefix: `${i === 0 ? '{' : ','}${JSON.stringify(name)}:`,
    write: WRITERS[kind],
  }))
  return (row) => {
    let line = ''
    for (let i = 0; i < writers.length; i++) {
      const { prefix, write } = writers[i] as (typeof writers)[number] // i is in range
      const cell = row[i]
      line += prefix + (cell === null || cell === undefined ? 'null' : write(cell))
    }
    return `${line}}`
  }
}

type Value = Exclude<Cell, null>

const WRITERS: Record<BulkColumn['kind'], (cell: Value) => string> = {
  text: (cell) => JSON.stringify(cell),
  number: String,
  boolean: String,
  instant: String,
  // As it is stored, so that the order of keys stays. A line break can only be white space between two values.
  json: (cell) => (/[\r\n]/.test(String(cell)) ? String(cell).replaceAll(/[\r\n]/g, ' ') : String(cell)),
  bytes: (cell) => {
    const { buffer, byteOffset, byteLength } = cell as Uint8Array // by its kind
    return `"${Buffer.from(buffer, byteOffset, byteLength).toString('base64')}"`
  },
}

/** Makes the function that reads a line. It throws a LineProblem if the line is no row of the table. */
export function lineReader({ columns }: BulkTable): (line: string) => BulkRow {
  const known = new Set(columns.map(({ name }) => name))
  return (line) => {
    const values = objectOf(line)
    const row: BulkRow = []
    for (const column of columns) row.push(cellOf(column, values[column.name]))
    for (const name of Object.keys(values)) {
      if (!known.has(name)) throw new LineProblem(`"${name}" is no column of the table`)
    }
    return row
  }
}

/** Returns the cell of a column: the value, or the default of a column that an archive of an older version lacks. */
function cellOf({ name, kind, column }: BulkColumn, value: unknown): Cell {
  if (value !== null && value !== undefined) {
    const cell = READERS[kind](value)
    if (cell === undefined) throw new LineProblem(`"${name}" must be ${EXPECTED[kind]}`)
    return cell
  }
  const fallback = value === undefined ? defaultOf(column) : null
  if (fallback === null && column.notNull) throw new LineProblem(`"${name}" is missing`)
  return fallback
}

function objectOf(line: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    throw new LineProblem('the line is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new LineProblem('the line is not a JSON object')
  }
  return value as Record<string, unknown> // an object, and no array
}

function defaultOf({ default: value }: BulkColumn['column']): Cell {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null
}

const EXPECTED: Record<BulkColumn['kind'], string> = {
  text: 'text, well-formed and without NUL',
  number: 'an integer',
  boolean: 'true or false',
  instant: 'milliseconds since 1970, in the years 1 to 9999',
  json: 'JSON',
  bytes: 'base64',
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Read a value, which is not null. They return undefined if it is of another kind. */
const READERS: Record<BulkColumn['kind'], (value: unknown) => Cell | undefined> = {
  text: (value) => (typeof value === 'string' && isStorable(value) ? value : undefined),
  number: (value) => (Number.isSafeInteger(value) ? (value as number) : undefined),
  boolean: (value) => (typeof value === 'boolean' ? value : undefined),
  instant: (value) =>
    Number.isSafeInteger(value) && Number(value) >= EARLIEST.getTime() && Number(value) <= LATEST.getTime()
      ? Number(value)
      : undefined,
  json: (value) => JSON.stringify(value),
  bytes: (value) => (typeof value === 'string' && BASE64.test(value) ? Buffer.from(value, 'base64') : undefined),
}
