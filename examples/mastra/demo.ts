import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

// Starts the agent, kills it while it answers the second question, and starts it again.

const directory = mkdtempSync(join(tmpdir(), 'mastra-'))
const file = join(directory, 'agent.db')

/** Runs the agent and prints what it says. Kills it once it says `last`. */
async function run(last?: string): Promise<void> {
  const agent = spawn(process.execPath, ['--import', 'tsx', join(import.meta.dirname, 'agent.ts'), file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  for await (const line of createInterface({ input: agent.stdout })) {
    console.log(line)
    if (line === last) agent.kill('SIGKILL')
  }
}

await run('user: And tomorrow?')
console.log('killed; starts again')
await run()
rmSync(directory, { recursive: true })
