import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'

/** A cache in front of rows, in one process: what is under test. */
export interface RowReader {
  read(table: string, id: string, load: () => Promise<Versioned | undefined>): Promise<Versioned | undefined>
  /** Called after the commit and awaited before the write counts as acknowledged. */
  written(table: string, row: Versioned): Promise<void>
}

export interface Versioned {
  id: string
  version: number
}

export interface Trial {
  /** One a process. */
  processes: RowReader[]
  rows: number
  /** Whether to end. */
  enough: (outcome: Outcome) => boolean
  /** Takes something away from the cache, such as by an eviction. Called again and again. */
  disturb?: () => Promise<unknown>
  /** Whether reads count as stale now; one does if this is so from its begin to its end. Default always. */
  counts?: () => boolean
}

export interface Outcome {
  reads: number
  writes: number
  /** Reads that returned less than what had been acknowledged before they began. */
  stale: number
}

/** Rows that are read and written with delays: a read sees one instant between its begin and its end. */
class Rows {
  readonly #rows = new Map<string, Versioned>()

  async read(id: string): Promise<Versioned | undefined> {
    await delay()
    const snapshot = this.#rows.get(id)
    await delay()
    return snapshot && { ...snapshot }
  }

  async write(row: Versioned): Promise<void> {
    await delay()
    this.#rows.set(row.id, row)
    await delay()
  }
}

/** As unsteady as a network: often at once, sometimes long. */
async function delay(): Promise<void> {
  const chance = Math.random()
  if (chance < 0.5) await turn()
  else await sleep(chance < 0.9 ? 1 : 5)
}

/** One writer a row, readers in every process; counts the reads that returned what an acknowledged write had replaced. */
export async function measureStaleness({
  processes,
  rows,
  enough,
  disturb,
  counts = () => true,
}: Trial): Promise<Outcome> {
  const database = new Rows()
  const acknowledged = new Map<string, number>()
  const outcome = { reads: 0, writes: 0, stale: 0 }
  const goesOn = () => !enough(outcome)

  const write = async (id: string, process: RowReader) => {
    for (let version = 1; goesOn(); version++) {
      await database.write({ id, version })
      await process.written('rows', { id, version })
      acknowledged.set(id, version)
      outcome.writes++
      await sleep(Math.random() * 10)
    }
  }
  const read = async (process: RowReader) => {
    while (goesOn()) {
      const id = `row${Math.floor(Math.random() * rows)}`
      const floor = acknowledged.get(id) ?? 0
      const counted = counts()
      const row = await process.read('rows', id, () => database.read(id))
      outcome.reads++
      if (counted && counts() && (row?.version ?? 0) < floor) outcome.stale++
      // Not only promises: the other processes and the timers want their turn.
      if (outcome.reads % 20 === 0) await turn()
    }
  }
  const interfere = async (disturb: () => Promise<unknown>) => {
    while (goesOn()) {
      await disturb()
      await sleep(2)
    }
  }

  await Promise.all([
    ...Array.from({ length: rows }, (_, i) => write(`row${i}`, at(processes, i))),
    ...processes.flatMap((process) => Array.from({ length: 16 }, () => read(process))),
    ...(disturb ? [interfere(disturb)] : []),
  ])
  return outcome
}

function at<T>(list: T[], index: number): T {
  const item = list[index % list.length]
  if (item === undefined) throw new Error('The list is empty')
  return item
}
