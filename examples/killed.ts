import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** Runs the program `agent.ts` of a folder on a new database, kills it once it prints `last`, and starts it again. */
export async function killAndRestart(folder: string, last: string): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'agent-'))
  const run = async (end?: string) => {
    const args = ['--import', 'tsx', join(folder, 'agent.ts'), join(directory, 'agent.db')]
    const agent = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    for await (const line of createInterface({ input: agent.stdout })) {
      console.log(line)
      if (line === end) agent.kill('SIGKILL')
    }
  }
  await run(last)
  console.log('killed; starts again')
  await run()
  rmSync(directory, { recursive: true })
}
