/** The naive variant of the example agent: its tool does not check whether it has acted already. */
import { appendFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorageFromFile } from 'holdfast'
import { type Tools, work } from '../../../examples/agent/agent.ts'
import { scriptedModel } from '../../../examples/agent/model.ts'
import { travelTools } from '../../../examples/agent/tools.ts'

const config = process.argv.at(-1) ?? ''
const outbox = join(dirname(config), 'data', 'outbox.jsonl')
const tools: Tools = {
  ...travelTools(outbox),
  mail_ticket: {
    acts: 'outside',
    needsApproval: true,
    async run(executionId, input) {
      await appendFile(outbox, `${JSON.stringify({ executionId })}\n`)
      await sleep(100)
      return input
    },
  },
}

await using storage = await openStorageFromFile(config)
await storage.messages.append('trip', { id: 'request', role: 'user', content: 'A ticket, please.' })
await work({
  storage,
  sessionId: 'trip',
  runId: 'run-1',
  model: scriptedModel,
  tools,
  say: (text) => console.log(text),
})
