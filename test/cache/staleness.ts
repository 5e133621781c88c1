import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'

/** The cache of one process, in front of rows: what is under test. */
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
  /** One cache for each process. */
  processes: RowReader[]
  rows: number
  /** Returns true when the trial may end. */
  enough: (outcome: Outcome) => boolean
  /** Removes something from the cache, such as by an eviction. Called again and again. */
  disturb?: () => Promise<unknown>
  /** Returns true while reads may count as stale. A read counts if this holds at its start and at its end. Default: always. */
  counts?: () => boolean
}

export interface Outcome {
  reads: number
  writes: number
  /** Reads that returned an older version than was acknowledged before they started. */
  stale: number
}

/** Rows that are read and written with delays. A read sees the row at one instant between its start and its end. */
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

/** Waits like a network: often not at all, sometimes long. */
async function delay(): Promise<void> {
  const chance = Math.random()
  if (chance < 0.5) await turn()
  else await sleep(chance < 0.9 ? 1 : 5)
}

/**
 * Runs one writer for each row and readers in every process. Counts the reads that returned a row which an acknowledged
 * write had replaced.
 */
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
  const continues = () => !enough(outcome)

  const write = async (id: string, process: RowReader) => {
    for (let version = 1; continues(); version++) {
      await database.write({ id, version })
      await process.written('rows', { id, version })
      acknowledged.set(id, version)
      outcome.writes++
      await sleep(Math.random() * 10)
    }
  }
  const read = async (process: RowReader) => {
    while (continues()) {
      const id = `row${Math.floor(Math.random() * rows)}`
      const floor = acknowledged.get(id) ?? 0
      const counted = counts()
      const row = await process.read('rows', id, () => database.read(id))
      outcome.reads++
      if (counted && counts() && (row?.version ?? 0) < floor) outcome.stale++
      // Yields to the timers and to the other processes: promises alone would starve them.
      if (outcome.reads % 20 === 0) await turn()
    }
  }
  const interfere = async (disturb: () => Promise<unknown>) => {
    while (continues()) {
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
