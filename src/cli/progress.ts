import { countText } from './text.ts'

/** How often a terminal's line is rewritten. */
const REWRITE_MILLIS = 100
/** How often a line is written if nobody sees it rewritten. */
const LINE_MILLIS = 10_000

/** Where progress is written to. */
export interface ProgressStream {
  write(text: string): unknown
  readonly isTTY?: boolean
  readonly columns?: number
}

/**
 * Says how far a long command is: on a terminal in one line that is rewritten, with the rate and, if the total is known, the
 * time left; elsewhere in a line every ten seconds.
 */
export class Progress {
  readonly #stream: ProgressStream
  readonly #unit: string
  #begun = performance.now()
  #what: string | undefined
  #written = 0
  #isLineOpen = false

  constructor(stream: ProgressStream, unit: string) {
    this.#stream = stream
    this.#unit = unit
    this.#written = stream.isTTY ? this.#begun - REWRITE_MILLIS : this.#begun
  }

  /** Notes that `done` of `total` are done. Writes no more often than somebody can read. */
  update(done: number, total?: number, what?: string): void {
    const now = performance.now()
    if (what !== this.#what) {
      // The rate of one table says nothing about the next.
      this.#begun = now
      this.#what = what
    }
    if (now - this.#written < (this.#stream.isTTY ? REWRITE_MILLIS : LINE_MILLIS)) return
    this.#written = now
    const line = progressLine({ done, total, what, unit: this.#unit, seconds: (now - this.#begun) / 1000 })
    if (!this.#stream.isTTY) {
      this.#stream.write(`${line}\n`)
      return
    }
    this.#stream.write(`\r\u001b[K${line.slice(0, (this.#stream.columns || 80) - 1)}`)
    this.#isLineOpen = true
  }

  /** Removes the line from a terminal. */
  end(): void {
    if (this.#isLineOpen) this.#stream.write('\r\u001b[K')
    this.#isLineOpen = false
  }
}

interface State {
  done: number
  total?: number | undefined
  what?: string | undefined
  unit: string
  seconds: number
}

/** Returns a line such as `messages: 12,345 of 100,000 rows · 32,100/s · 3 s left`. */
export function progressLine({ done, total, what, unit, seconds }: State): string {
  const rate = seconds > 0 ? done / seconds : 0
  const parts = [`${countText(done)}${total === undefined ? '' : ` of ${countText(total)}`} ${unit}`]
  if (rate >= 1) parts.push(`${countText(rate)}/s`)
  if (total !== undefined && rate > 0 && done < total) parts.push(`${durationText((total - done) / rate)} left`)
  return `${what === undefined ? '' : `${what}: `}${parts.join(' · ')}`
}

function durationText(seconds: number): string {
  if (seconds < 100) return `${Math.ceil(seconds)} s`
  if (seconds < 100 * 60) return `${Math.ceil(seconds / 60)} min`
  return `${Math.ceil(seconds / 3600)} h`
}
