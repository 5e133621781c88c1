/** The part of `process.stderr` that a progress line needs. */
export interface ProgressOutput {
  isTTY?: boolean
  columns?: number
  write(text: string): unknown
}

/**
 * Says how far a long job is: one line that is rewritten on a terminal (10 times a second at most), a new line
 * every 5 seconds in a log. `clear` takes the line away, so that something else can be printed.
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
      // A line that wraps could not be taken back.
      output.write(output.isTTY ? `\r\x1b[K${text().slice(0, (output.columns || 80) - 1)}` : `${text()}\n`)
    },
    clear(): void {
      if (shown && output.isTTY) output.write('\r\x1b[K')
      shown = false
    },
  }
}
