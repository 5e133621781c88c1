import { compare, type Effort, type Ways } from './harness.ts'
import type { Lab } from './lab.ts'

/** The bound that a row's value must meet, in the row's unit. */
export interface Target {
  atMost?: number
  atLeast?: number
}

export interface Result {
  value: number
  /** Printed behind the value in the table. */
  unit: string
  /** Microseconds per call, for orientation. */
  micros?: { ours: number; baseline: number }
  /** Ratios of the other ways to the baseline, by name. */
  others?: Record<string, number>
}

/** One line of the table. */
export interface Row {
  /** The database, then the work. The command line filters by it. */
  name: string
  target: Target
  /** Given if the row compares with other packages: why one of them may be faster. Empty if none may be. */
  peers?: string | undefined
  /** The package that the baseline is. Undefined if the baseline is hand-written, or of ours. */
  against?: string | undefined
  run(lab: Lab): Promise<Result>
}

interface Comparison {
  name: string
  target: Target
  peers?: string
  against?: string
  /** Number of calls at once. Default 1. */
  inFlight?: number
  /** Lower limits of the effort, for slow calls. */
  effort?: Partial<Effort>
  open(lab: Lab): Promise<Ways>
}

/**
 * Returns a row that compares ways to do the same work. Its value is our time as a multiple of the baseline's or, if
 * the target has `atLeast`, the baseline's time as a multiple of ours.
 */
export function comparison({ name, target, peers, against, inFlight = 1, effort = {}, open }: Comparison): Row {
  return {
    name,
    target,
    peers,
    against,
    async run(lab) {
      const ways = await open(lab)
      try {
        const { ours, baseline, ratio, otherRatios } = await compare(ways, inFlight, least(lab.options.effort, effort))
        const faster = target.atLeast !== undefined
        const inverted = Object.fromEntries(Object.entries(otherRatios).map(([way, value]) => [way, 1 / value]))
        return {
          value: faster ? 1 / ratio : ratio,
          unit: 'x',
          micros: { ours, baseline },
          others: faster ? inverted : otherRatios,
        }
      } finally {
        await ways.close()
      }
    },
  }
}

function least({ rounds, sampleMillis, warmupMillis }: Effort, less: Partial<Effort>): Effort {
  return {
    rounds: Math.min(rounds, less.rounds ?? rounds),
    sampleMillis: Math.min(sampleMillis, less.sampleMillis ?? sampleMillis),
    warmupMillis: Math.min(warmupMillis, less.warmupMillis ?? warmupMillis),
  }
}

export function meets({ value }: Result, { atMost = Number.POSITIVE_INFINITY, atLeast = 0 }: Target): boolean {
  return value <= atMost && value >= atLeast
}
