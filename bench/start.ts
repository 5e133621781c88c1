import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { StorageConfig } from 'holdfast'
import { median } from './harness.ts'
import type { Lab } from './lab.ts'
import type { Row } from './row.ts'

/** What the start of a process costs: import, open a database that is up to date, read once, close. */
interface StartCost {
  /** Milliseconds over Node alone. */
  millis: number
  /** Peak memory over Node alone. */
  mebibytes: number
}

interface Database {
  name: string
  atMostMillis: number
  config(lab: Lab): Promise<StorageConfig>
}

const DATABASES: readonly Database[] = [
  {
    name: 'SQLite',
    atMostMillis: 60,
    config: async (lab) => ({ database: { type: 'sqlite', path: lab.file() } }),
  },
  {
    name: 'PostgreSQL',
    atMostMillis: 70,
    config: async (lab) => ({ database: { type: 'postgres', url: await lab.postgresUrl() } }),
  },
]

/** Rows that start processes: a row inside of this process would hide what loading the modules costs. */
export const startRows: Row[] = DATABASES.flatMap(({ name, atMostMillis, config }) => {
  const cost = (lab: Lab) => lab.once(`start on ${name}`, async () => startCost(lab, await config(lab)))
  return [
    {
      name: `${name}, start of a process, over Node alone`,
      target: { atMost: atMostMillis },
      run: async (lab) => ({ value: (await cost(lab)).millis, unit: ' ms' }),
    },
    {
      name: `${name}, start of a process, memory over Node alone`,
      target: { atMost: 35 },
      run: async (lab) => ({ value: (await cost(lab)).mebibytes, unit: ' MiB' }),
    },
  ]
})

/** Starts processes with the storage and without it in turns. Returns the medians of the differences. */
async function startCost(lab: Lab, config: StorageConfig): Promise<StartCost> {
  const { subject, effort } = lab.options
  await (await lab.open(config)).close() // creates the tables
  const program = [subject.url, JSON.stringify(config)]
  const sources = subject.url.endsWith('.ts')
  await start(program, sources) // the files are in the cache of the system from here on
  const rounds: StartCost[] = []
  for (let round = 0; round < effort.rounds; round++) {
    const bare = await start([], sources)
    const ours = await start(program, sources)
    rounds.push({ millis: ours.millis - bare.millis, mebibytes: ours.mebibytes - bare.mebibytes })
  }
  return {
    millis: median(rounds.map(({ millis }) => millis)),
    mebibytes: median(rounds.map(({ mebibytes }) => mebibytes)),
  }
}

async function start(args: string[], sources: boolean): Promise<{ millis: number; mebibytes: number }> {
  const begun = performance.now()
  const file = join(import.meta.dirname, 'programs/start.mjs')
  // The test of the bench measures the sources. Both ways pay for tsx then.
  const flags = sources ? ['--import', 'tsx'] : []
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, file, ...args])
  return { millis: performance.now() - begun, mebibytes: Number(stdout) }
}
