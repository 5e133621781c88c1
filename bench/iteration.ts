import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Lab } from './lab.ts'
import type { Row } from './row.ts'
import { dialects } from './seeded.ts'

/** Peak memory that reading a whole conversation adds to a process, garbage included; beside it, without garbage. */
export const iterationRows: Row[] = Object.entries(dialects).map(([dialect, seeded]) => ({
  name: `${dialect}, messages.iterate, memory`,
  target: { atMost: 50 },
  run: async (lab: Lab) => {
    const config = await seeded(lab, { messages: lab.options.messages, sessions: 100 })
    const measure = async (...flags: string[]) => {
      const program = ['--import', 'tsx', 'bench/programs/iterate.ts', lab.options.subject.url, JSON.stringify(config)]
      const { stdout } = await promisify(execFile)(process.execPath, [...flags, ...program])
      const { messages, mebibytes } = JSON.parse(stdout) as { messages: number; mebibytes: number } // what it prints
      if (messages < lab.options.messages) throw new Error(`The iteration returned only ${messages} messages`)
      return mebibytes
    }
    return { value: await measure(), unit: ' MiB', others: { held: await measure('--expose-gc') } }
  },
}))
