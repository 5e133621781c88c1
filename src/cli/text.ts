/**
 * Returns a text as a terminal may show it: stored texts come from anybody, and control characters could move the cursor,
 * write the clipboard or turn the direction of the line. Line feeds and tabs stay.
 */
export function printable(text: string): string {
  return text.replace(UNSAFE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`)
}

const UNSAFE = /[^\P{Cc}\n\t]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu

/** Returns a text in one line, and in at most `width` characters. */
export function inLine(text: string, width = 60): string {
  const line = printable(text.replace(/\s+/g, ' ').trim())
  const characters = [...line]
  return characters.length <= width ? line : `${characters.slice(0, width - 1).join('')}…`
}

/** Lays rows out in columns, two spaces apart. The last column is not padded. */
export function inColumns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, [...cell].length)
  }
  const pad = (cell: string, i: number, { length }: readonly string[]) =>
    i === length - 1 ? cell : cell + ' '.repeat((widths[i] ?? 0) - [...cell].length)
  return rows
    .map((row) =>
      row
        .map((cell, i) => pad(cell, i, row))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Breaks sentences into lines of at most `width` characters. */
export function wrapped(text: string, width = 80, indent = ''): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > width - indent.length) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line].join(`\n${indent}`)
}

/** Returns a size such as `1.2 MiB`. */
export function bytesText(bytes: number): string {
  const units = ['', 'KiB', 'MiB', 'GiB', 'TiB']
  let size = bytes
  let unit = 0
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024
    unit++
  }
  return unit === 0 ? manyText(size, 'byte') : `${size.toFixed(1)} ${units[unit]}`
}

/** Returns a number with its thousands apart, such as `12,345`. */
export function countText(count: number): string {
  return Math.round(count).toLocaleString('en-US')
}

/** Returns a number of things, such as `1 row` and `2 rows`. */
export function manyText(count: number, one: string, many = `${one}s`): string {
  return `${countText(count)} ${count === 1 ? one : many}`
}

/** Returns a time to the second in UTC. */
export function timeText(date: Date): string {
  return date
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, 'Z')
}

/** Returns a table of counts in one line, such as `kv 2, sessions 1`. */
export function countsText(counts: Readonly<Record<string, number>>): string {
  const given = Object.entries(counts).filter(([, rows]) => rows > 0)
  return given.length === 0 ? 'none' : given.map(([name, rows]) => `${name} ${countText(rows)}`).join(', ')
}
