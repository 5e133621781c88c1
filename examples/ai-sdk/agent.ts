import { convertToModelMessages, generateId, streamText, toUIMessageStream, type UIMessage } from 'ai'
import { MockLanguageModelV4, simulateReadableStream } from 'ai/test'
import { openStorage } from 'holdfast'
import { chatStore } from 'holdfast/ai-sdk'

// An agent of the AI SDK without a network: it answers four questions, turn by turn. Started again, it goes on where it was.

const [path = 'agent.db', chatId = 'trip', pauseMillis = '300'] = process.argv.slice(2)
const questions = ['How do I get to Bergen?', 'And from there to Flåm?', 'Where do I sleep?', 'How do I get home?']
const answers = ['By train, at 8:25.', 'By ferry, at 8:00.', 'At the Fretheim.', 'By train, by way of Voss.']

/** Stands for a model of a provider. It takes its time, so that one can kill it. */
const model = new MockLanguageModelV4({
  doStream: async ({ prompt }) => {
    const turn = prompt.filter(({ role }) => role === 'user').length - 1
    const usage = {
      inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
      outputTokens: { total: 1, text: 1, reasoning: 0 },
    }
    return {
      stream: simulateReadableStream({
        initialDelayInMs: Number(pauseMillis),
        chunkDelayInMs: null,
        chunks: [
          { type: 'stream-start', warnings: [] },
          { type: 'text-start', id: 'text' },
          { type: 'text-delta', id: 'text', delta: answers[turn] ?? 'I do not know.' },
          { type: 'text-end', id: 'text' },
          { type: 'finish', finishReason: { unified: 'stop', raw: 'stop' }, usage },
        ],
      }),
    }
  },
})

await using storage = await openStorage({ database: { type: 'sqlite', path } })
const chats = chatStore(storage)

/** Answers the last message of a chat. */
async function respond(messages: UIMessage[]): Promise<void> {
  const result = streamText({ model, messages: await convertToModelMessages(messages) })
  const stream = toUIMessageStream({
    stream: result.stream,
    originalMessages: messages,
    generateMessageId: generateId,
    onEnd: ({ messages: all }) => chats.save(chatId, all, { base: messages }),
  })
  for await (const chunk of stream) if (chunk.type === 'text-delta') console.log(`agent: ${chunk.delta}`)
}

for (;;) {
  let messages = await chats.load(chatId)
  if (messages.at(-1)?.role !== 'user') {
    const question = questions[messages.length / 2]
    if (question === undefined) break
    const asked = { id: generateId(), role: 'user' as const, parts: [{ type: 'text' as const, text: question }] }
    await chats.save(chatId, [...messages, asked], { base: messages })
    messages = [...messages, asked]
    console.log(`user: ${question}`)
  }
  // A question without an answer is one that a process has died over.
  await respond(messages)
}
console.log(`saved: ${(await chats.load(chatId)).length} messages`)
