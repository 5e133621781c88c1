// One conversation of an agent: the user says something while the agent thinks, and approves a tool call; then the agent
// is killed right after the tool has acted. A second process continues, and nothing is done or said twice.
//
//   node --import tsx examples/agent/demo.ts

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorageFromFile } from 'holdfast'

const directory = await mkdtemp(join(tmpdir(), 'agent-'))
const config = join(directory, 'agent.yml')
const outbox = join(directory, 'data', 'outbox.jsonl')
await copyFile(join(import.meta.dirname, 'agent.yml'), config)

/** Starts the agent in a process of its own, which prints a line for each thing it does. */
function startAgent() {
  const main = join(import.meta.dirname, 'main.ts')
  const agent = spawn(process.execPath, ['--import', 'tsx', main, 'run', '--config', config], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return { agent, lines: createInterface({ input: agent.stdout }) }
}

// The user is another process on the same database.
await using storage = await openStorageFromFile(config)

let told = false
/** Prints a line of the agent, and reacts to it as the user. */
async function react(line: string): Promise<void> {
  console.log(`agent  ${line}`)
  if (line === 'thinks' && !told) {
    console.log('user   A window seat, please.')
    await storage.queues.push('trip', 'steer', { id: 'window', text: 'A window seat, please.' })
    told = true
  }
  if (line.startsWith('asks')) {
    console.log('user   Yes, it may.')
    const { items } = await storage.approvals.listPending({ sessionId: 'trip' })
    for (const { id } of items) await storage.approvals.respond({ id, decision: 'approved' })
  }
}

const first = startAgent()
for await (const line of first.lines) {
  await react(line)
  if (line === 'begins to mail_ticket') {
    while (!existsSync(outbox)) await sleep(5)
    console.log('       kill -9: the mail is out, and nobody has noted it')
    first.agent.kill('SIGKILL')
  }
}

// On a slow machine the window seat may come after the first mail: then the second agent asks again.
const second = startAgent()
for await (const line of second.lines) await react(line)

console.log('\nThe conversation:')
for await (const { seq, role, content } of storage.messages.iterate('trip')) {
  console.log(`${seq}  ${role.padEnd(9)}  ${typeof content === 'string' ? content : JSON.stringify(content)}`)
}
console.log(`\nMails sent: ${(await readFile(outbox, 'utf8')).trimEnd().split('\n').length}`)
await rm(directory, { recursive: true })
