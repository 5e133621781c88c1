/** Does the work of a row once. `i` counts the calls of one way. */
export type Call = (i: number) => unknown

/** One way to do a row's work. */
export interface Way {
  /** Runs before the calls of a sample. Not timed. */
  prepare?(): void
  call: Call
  /** Cleans up after the calls of a sample. Not timed. */
  tidy?(): Promise<void>
}

/** Ways to do the same work. `ours` is compared with `baseline`. */
export interface Ways {
  ours: Way
  baseline: Way
  others?: Record<string, Way>
  close(): Promise<void>
}

export interface Effort {
  /** Number of samples of each way. In every round the ways run in random order. */
  rounds: number
  /** Duration of a sample. Short, so that other load on the machine slows all ways alike. */
  sampleMillis: number
  warmupMillis: number
}

export interface Measured {
  /** Microseconds per call: the median of the samples. */
  ours: number
  baseline: number
  others: Record<string, number>
  /** Medians of the ratios within each round. */
  ratio: number
  otherRatios: Record<string, number>
}

/** Measures all ways side by side, with `inFlight` calls at once. */
export async function compare(ways: Ways, inFlight: number, effort: Effort): Promise<Measured> {
  const entries = Object.entries({ ours: ways.ours, baseline: ways.baseline, ...ways.others })
  const runners = []
  for (const [name, way] of entries) runners.push(await warmUp(name, way, inFlight, effort))
  for (let round = 0; round < effort.rounds; round++) {
    for (const runner of shuffled(runners)) await runner.sample()
  }
  const samples = Object.fromEntries(runners.map(({ name, micros }) => [name, micros]))
  const { ours = [], baseline = [], ...others } = samples
  return {
    ours: median(ours),
    baseline: median(baseline),
    others: mapValues(others, median),
    ratio: medianRatio(ours, baseline),
    otherRatios: mapValues(others, (micros) => medianRatio(micros, baseline)),
  }
}

async function warmUp(name: string, way: Way, inFlight: number, { sampleMillis, warmupMillis }: Effort) {
  let next = 0
  const timed = async (calls: number): Promise<number> => {
    const end = next + calls
    way.prepare?.()
    const begun = performance.now()
    const one = async () => {
      while (next < end) await way.call(next++)
    }
    if (inFlight === 1) await one()
    else await Promise.all(Array.from({ length: inFlight }, one))
    const micros = ((performance.now() - begun) * 1000) / calls
    await way.tidy?.()
    return micros
  }

  let calls = inFlight
  let micros = await timed(calls)
  for (const deadline = performance.now() + warmupMillis; performance.now() < deadline; ) {
    calls = Math.max(inFlight, Math.min(calls * 2, Math.round((sampleMillis * 1000) / micros)))
    micros = await timed(calls)
  }
  const samples: number[] = []
  return { name, micros: samples, sample: async () => void samples.push(await timed(calls)) }
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)
}

function medianRatio(micros: readonly number[], baseline: readonly number[]): number {
  return median(micros.map((value, round) => value / (baseline[round] ?? Number.NaN)))
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? Number(sorted[middle]) : (Number(sorted[middle - 1]) + Number(sorted[middle])) / 2
}

function mapValues<T, R>(record: Record<string, T>, map: (value: T) => R): Record<string, R> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]))
}
