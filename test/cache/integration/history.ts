import type { Script } from '../../setup/processes.ts'
import type { History, Message, Trial } from './programs/instance.ts'

export interface Verdict {
  reads: number
  writes: number
  /** Reads that returned an older version than was acknowledged before they started. */
  stale: number
  /** The greatest age of a stale read, in milliseconds: how long before its start the replacement was acknowledged. */
  oldest: number
  /** All warnings of the processes since their start. */
  warnings: string[]
}

let trials = 0

/** Runs the same trial in all processes at once and judges their history. Each row has one writer. */
export async function tryOut(
  instances: Script<Message>[],
  {
    rows = 12,
    writes = 0,
    pauseMillis = 10,
    maxMillis = 3_600_000,
    ...trial
  }: Partial<Trial> & Pick<Trial, 'variant' | 'reads'>,
): Promise<Verdict> {
  const prefix = `trial-${process.pid}-${trials++}:`
  const results = await Promise.all(
    instances.map((instance, i) => {
      const own = Array.from({ length: rows }, (_, row) => row).filter((row) => row % instances.length === i)
      instance.send({ do: 'trial', prefix, rows, own, writes, pauseMillis, maxMillis, ...trial })
      return historyOf(instance)
    }),
  )
  const warnings = results.flatMap((result) => result.warnings)
  return { ...judge(results.flatMap(({ histories }) => histories)), warnings }
}

async function historyOf(instance: Script<Message>): Promise<{ histories: History[]; warnings: string[] }> {
  const histories: History[] = []
  for (;;) {
    const message = await instance.next(({ is }) => is === 'history', 600_000)
    if (message.is !== 'history') throw new Error('not reached')
    histories.push(message.history)
    if (message.over) return { histories, warnings: message.warnings }
  }
}

function judge(histories: History[]): Omit<Verdict, 'warnings'> {
  /** When each version of each row was acknowledged. The index is the version, which the row's one writer counts up. */
  const acknowledged = new Map<number, number[]>()
  let writes = 0
  for (const [row, version, at] of histories.flatMap(({ writes }) => [...triples(writes)])) {
    const times = acknowledged.get(row) ?? []
    acknowledged.set(row, times)
    times[version] = at
    writes++
  }
  const verdict = { reads: 0, writes, stale: 0, oldest: 0 }
  for (const history of histories) {
    for (const [row, version, begun] of triples(history.reads)) {
      const replaced = acknowledged.get(row)?.[version + 1] ?? Number.POSITIVE_INFINITY
      verdict.reads++
      if (replaced >= begun) continue
      verdict.stale++
      verdict.oldest = Math.max(verdict.oldest, begun - replaced)
    }
  }
  return verdict
}

function* triples(flat: number[]): Generator<[number, number, number]> {
  for (let i = 0; i + 2 < flat.length; i += 3) yield [Number(flat[i]), Number(flat[i + 1]), Number(flat[i + 2])]
}
