/** Longer lines are skipped: a line is held in memory, a file never is. */
export const MAX_LINE_BYTES = 64 * 1024 * 1024

export interface Line {
  /** Line number, from 1. */
  line: number
  /** The line without its line feed, or undefined if the line is longer than MAX_LINE_BYTES. */
  bytes: Buffer | undefined
}

/**
 * Yields, for each chunk of the file, the lines that end in the chunk. Node's readline does not fit: it also splits at
 * U+2028, which JSON allows inside a string.
 */
export async function* splitLines(file: AsyncIterable<Buffer>): AsyncGenerator<Line[]> {
  let line = 0
  let parts: Buffer[] = []
  let length = 0

  const hold = (part: Buffer) => {
    length += part.length
    if (length <= MAX_LINE_BYTES) parts.push(part)
    else parts = []
  }
  const complete = (): Line => {
    const bytes = length <= MAX_LINE_BYTES ? Buffer.concat(parts) : undefined
    line += 1
    parts = []
    length = 0
    return { line, bytes }
  }

  for await (const piece of file) {
    const lines: Line[] = []
    let start = 0
    for (let end = piece.indexOf('\n'); end >= 0; end = piece.indexOf('\n', start)) {
      hold(piece.subarray(start, end))
      lines.push(complete())
      start = end + 1
    }
    hold(piece.subarray(start))
    if (lines.length > 0) yield lines
  }
  if (length > 0) yield [complete()]
}
