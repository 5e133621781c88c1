import { compare, type Effort, type Ways } from './harness.ts'
import type { Lab } from './lab.ts'

/** What a row must show: a bound, in the row's unit. */
export interface Target {
  atMost?: number
  atLeast?: number
}

export interface Result {
  value: number
  /** Behind the value in the table. */
  unit: string
  /** Microseconds a call, for orientation. */
  micros?: { ours: number; baseline: number }
  /** The other ways' ratios to the baseline, by their names. */
  others?: Record<string, number>
}

/** One line of the table. */
export interface Row {
  /** The database, then the work; the filter is looked for in it. */
  name: string
  target: Target
  run(lab: Lab): Promise<Result>
}

interface Comparison {
  name: string
  target: Target
  /** How many calls run at once. Default 1. */
  inFlight?: number
  /** Less than usual, for calls that take long. */
  effort?: Partial<Effort>
  open(lab: Lab): Promise<Ways>
}

/** A row whose value is the time of ours as a multiple of the baseline's or, with `atLeast`, how many times faster it is. */
export function comparison({ name, target, inFlight = 1, effort = {}, open }: Comparison): Row {
  return {
    name,
    target,
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
