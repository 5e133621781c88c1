import { Agent } from '@mastra/core/agent'
import { Mastra } from '@mastra/core/mastra'
import { createTool } from '@mastra/core/tools'
import { Memory } from '@mastra/memory'
import { openStorage } from 'holdfast'
import { HoldfastMemory, mastraStorage } from 'holdfast/mastra'
import * as z from 'zod'
import { model } from './model.ts'

// An agent of Mastra without a network. It answers three questions. Started again, it goes on with the first one without an answer.

const [path = 'agent.db', pauseMillis = '300'] = process.argv.slice(2)
const questions = ['How is the weather?', 'And tomorrow?', 'Shall I take an umbrella?']

await using storage = await openStorage({ database: { type: 'sqlite', path } })
const weather = createTool({
  id: 'weather',
  description: 'Says how the weather is in a city',
  inputSchema: z.object({ city: z.string() }),
  async execute({ city }) {
    console.log(`tool: looks at the sky over ${city}`)
    await new Promise((resolve) => setTimeout(resolve, Number(pauseMillis))) // it takes its time, so that one can kill it
    return { sky: 'cloudy' }
  },
})
const guide = new Agent({
  id: 'guide',
  name: 'guide',
  instructions: 'Answer in one sentence.',
  model,
  tools: { weather },
  memory: new Memory({ options: { lastMessages: 20 } }),
})
const mastra = new Mastra({ agents: { guide }, storage: mastraStorage(storage), logger: false })

const { messages } = await new HoldfastMemory(storage).listMessages({ threadId: 'trip', perPage: false })
const answers = messages.filter(({ role }) => role === 'assistant').length
for (const question of questions.slice(answers)) {
  console.log(`user: ${question}`)
  const { text } = await mastra.getAgent('guide').generate(question, { memory: { thread: 'trip', resource: 'ada' } })
  console.log(`guide: ${text}`)
}
