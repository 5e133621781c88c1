/** The part of `process.stderr` that a progress line needs. */
export interface ProgressOutput {
  isTTY?: boolean
  columns?: number
  write(text: string): unknown
}

/**
 * Shows the progress of a long job. On a terminal, `update` rewrites one line, at most 10 times a second; in a log it
 * writes a new line every 5 seconds. `clear` removes the terminal's line, so that something else can be printed.
 */
export function progressLine(output: ProgressOutput, now: () => number = Date.now) {
  const interval = output.isTTY ? 100 : 5000
  let last = output.isTTY ? 0 : now()
  let shown = false

  return {
    update(text: () => string): void {
      if (now() - last < interval) return
      last = now()
      shown = true
      // Cut to the width of the terminal: a line that wraps could not be erased.
      output.write(output.isTTY ? `\r\x1b[K${text().slice(0, (output.columns || 80) - 1)}` : `${text()}\n`)
    },
    clear(): void {
      if (shown && output.isTTY) output.write('\r\x1b[K')
      shown = false
    },
  }
}
