// An agent that can be killed at any moment. Start it, kill it, start it again: it continues at the next open step.
//
//   node --import tsx examples/agent/main.ts run            starts or resumes the agent
//   node --import tsx examples/agent/main.ts say "..."      tells the agent something while it works
//   node --import tsx examples/agent/main.ts approve        approves what the agent asks for; `deny` denies it
//   node --import tsx examples/agent/main.ts show           prints the conversation so far
//
// --config FILE uses another configuration than agent.yml beside this file. `run --die-at "has acted: mail_ticket"` kills
// the process (SIGKILL) as soon as it prints that line, the worst moment. Any other line works, too.

import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { openStorageFromFile, type Storage } from 'holdfast'
import { work } from './agent.ts'
import { scriptedModel } from './model.ts'
import { travelTools } from './tools.ts'

const sessionId = 'trip'
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { config: { type: 'string' }, 'die-at': { type: 'string' } },
})
const { config = join(import.meta.dirname, 'agent.yml'), 'die-at': lastWords } = values
const directory = join(dirname(config), 'data')

const commands: Record<string, (storage: Storage, text: string) => Promise<void>> = {
  async run(storage) {
    const request = 'Book me a seat on the 9:04 to Oslo, and mail me the ticket.'
    // Safe to repeat: the message has an id, so later starts append nothing.
    await storage.messages.append(sessionId, { id: 'request', role: 'user', content: request })
    await work({
      storage,
      sessionId,
      runId: 'run-1',
      model: scriptedModel,
      tools: travelTools(join(directory, 'outbox.jsonl')),
      say(text) {
        console.log(text)
        if (text === lastWords) process.kill(process.pid, 'SIGKILL')
      },
    })
  },

  async say(storage, text) {
    await storage.queues.push(sessionId, 'steer', { id: randomUUID(), text })
  },

  approve: (storage) => decide(storage, 'approved'),
  deny: (storage) => decide(storage, 'denied'),

  async show(storage) {
    for await (const { seq, role, content } of storage.messages.iterate(sessionId)) {
      console.log(`${seq}  ${role.padEnd(9)}  ${typeof content === 'string' ? content : JSON.stringify(content)}`)
    }
  },
}

async function decide(storage: Storage, decision: string): Promise<void> {
  const { items } = await storage.approvals.listPending({ sessionId })
  for (const { id } of items) await storage.approvals.respond({ id, decision })
}

const [command = 'run', text = ''] = positionals
const perform = commands[command]
if (perform === undefined) throw new Error(`There is no command ${command}: ${Object.keys(commands).join(', ')}`)
await mkdir(directory, { recursive: true })
await using storage = await openStorageFromFile(config)
await perform(storage, text)
