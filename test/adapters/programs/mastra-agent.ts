/** An agent of Mastra with a memory and a tool answers one question. Its model is a function: no request leaves the machine. */
import { Agent } from '@mastra/core/agent'
import { Mastra } from '@mastra/core/mastra'
import { createTool } from '@mastra/core/tools'
import { Memory } from '@mastra/memory'
import { openStorage } from 'holdfast'
import { mastraStorage } from 'holdfast/mastra'
import * as z from 'zod'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'

const [config = '', question = ''] = process.argv.slice(2)
const usage = { inputTokens: 1, outputTokens: 1, totalTokens: 2 }

/** The part of a prompt that the model looks at. */
type Prompt = { role: string; content: unknown }[]

/** Asks the tool once, then says how many messages of the user it has seen and what the tool said. */
function answer(prompt: Prompt) {
  const last = prompt.at(-1)
  if (last?.role !== 'tool')
    return [{ type: 'tool-call', toolCallId: `call-${prompt.length}`, toolName: 'weather', input: '{"city":"Oslo"}' }]
  const questions = prompt.filter(({ role }) => role === 'user').length
  return [
    { type: 'text', text: `${questions} questions; ${/cloudy/.test(JSON.stringify(last)) ? 'cloudy' : 'nothing'}` },
  ]
}

const model = {
  specificationVersion: 'v2' as const,
  provider: 'none',
  modelId: 'function',
  supportedUrls: {},
  async doGenerate({ prompt }: { prompt: Prompt }) {
    const content = answer(prompt)
    return { content, finishReason: content[0]?.type === 'text' ? 'stop' : 'tool-calls', usage, warnings: [] }
  },
  async doStream() {
    throw new Error('not reached')
  },
}

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
  model: model as never, // only what this agent asks of a model
  tools: { weather },
  memory: new Memory({ options: { lastMessages: 10, workingMemory: { enabled: true } } }),
})
const mastra = new Mastra({ agents: { guide: agent }, storage: mastraStorage(storage), logger: false })
const { text } = await mastra.getAgent('guide').generate(question, { memory: { thread: 'trip', resource: 'ada' } })
say({ text })
