/** The part of a prompt that the model looks at. */
type Prompt = { role: string; content: unknown }[]

const usage = { inputTokens: 1, outputTokens: 1, totalTokens: 2 }

/** Asks for the weather once, then says how many questions it has seen and what the tool said. */
function answer(prompt: Prompt) {
  const last = prompt.at(-1)
  if (last?.role !== 'tool')
    return [{ type: 'tool-call', toolCallId: `call-${prompt.length}`, toolName: 'weather', input: '{"city":"Oslo"}' }]
  const questions = prompt.filter(({ role }) => role === 'user').length
  const sky = /cloudy/.test(JSON.stringify(last)) ? 'cloudy' : 'not known'
  return [{ type: 'text', text: `The sky is ${sky}. You have asked ${questions} questions.` }]
}

/** A model that is a function, as far as an agent of Mastra asks anything of it: no request leaves the machine. */
export const model = {
  specificationVersion: 'v2' as const,
  provider: 'none',
  modelId: 'function',
  supportedUrls: {},
  async doGenerate({ prompt }: { prompt: Prompt }) {
    const content = answer(prompt)
    return { content, finishReason: content[0]?.type === 'text' ? 'stop' : 'tool-calls', usage, warnings: [] }
  },
  async doStream() {
    throw new Error('This example does not stream')
  },
} as never // the agent's type asks for all of a model
