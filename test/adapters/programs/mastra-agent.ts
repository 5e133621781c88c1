/** An agent of Mastra with a memory and a tool answers one question. Its model is that of examples/mastra. */
import { Agent } from '@mastra/core/agent'
import { Mastra } from '@mastra/core/mastra'
import { createTool } from '@mastra/core/tools'
import { Memory } from '@mastra/memory'
import { openStorage } from 'holdfast'
import { mastraStorage } from 'holdfast/mastra'
import * as z from 'zod'
import { model } from '../../../examples/mastra/model.ts'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'

const [config = '', question = ''] = process.argv.slice(2)

await using storage = await openStorage(JSON.parse(config), quiet)
const weather = createTool({
  id: 'weather',
  description: 'Says how the weather is',
  inputSchema: z.object({ city: z.string() }),
  execute: async () => ({ sky: 'cloudy', at: new Date(0) }),
})
const agent = new Agent({
  id: 'guide',
  name: 'guide',
  instructions: 'Answer.',
  model,
  tools: { weather },
  memory: new Memory({ options: { lastMessages: 10, workingMemory: { enabled: true } } }),
})
const mastra = new Mastra({ agents: { guide: agent }, storage: mastraStorage(storage), logger: false })
const { text } = await mastra.getAgent('guide').generate(question, { memory: { thread: 'trip', resource: 'ada' } })
say({ text })
