import { execFile } from 'node:child_process'
import { readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { transform } from 'esbuild'
import { beforeAll, expect, it } from 'vitest'
import { blocks, root } from '../docs/pages.ts'
import { freshDirectory } from '../setup/databases.ts'
import { unpackInto } from '../setup/packed.ts'

/** A directory in which the packed package and the frameworks are installed, and nothing of this repository is found. */
let project = ''

beforeAll(async () => {
  project = freshDirectory()
  const modules = join(project, 'node_modules')
  await unpackInto(join(modules, 'holdfast'))
  const folder = join(root, 'test/adapters/node_modules')
  for (const name of readdirSync(folder)) {
    if (!name.startsWith('.') && name !== 'better-sqlite3') symlinkSync(join(folder, name), join(modules, name))
  }
  for (const name of ['drizzle-orm', 'better-sqlite3', 'bindings', 'file-uri-to-path']) {
    rmSync(join(modules, name), { force: true })
    symlinkSync(join(root, 'node_modules', name), join(modules, name))
  }
  writeFileSync(join(project, 'package.json'), '{"type": "module"}')
})

async function run(code: string): Promise<string> {
  writeFileSync(join(project, 'program.js'), (await transform(code, { loader: 'ts', target: 'node20' })).code)
  const options = { cwd: project, timeout: 60_000 }
  const args = ['--preserve-symlinks', 'program.js']
  return (await promisify(execFile)(process.execPath, args, options)).stdout.trim()
}

const [first = '', prune = '', items = '', byMeaning = ''] = blocks('docs/langgraph.md', 'ts').map(({ code }) => code)

it('the first program of docs/langgraph.md remembers what it said, run by run', async () => {
  expect(await run(first)).toBe('I remember 1 lines.')
  expect(await run(first)).toBe('I remember 3 lines.')
})

it('the other programs run', async () => {
  expect(await run(prune)).toBe('0')
  expect(await run(items)).toBe("[ 'ann' ]\n[ [ 'users', 'ann' ], [ 'users', 'bob' ] ]")
  expect(await run(byMeaning)).toMatch(/^a 0\.\d+$/)
})

const [chat = '', route = ''] = blocks('docs/ai-sdk.md', 'ts').map(({ code }) => code)

it('the first program of docs/ai-sdk.md goes on with its chat', async () => {
  expect([await run(chat), await run(chat)]).toEqual(['1', '2'])
})

it('the route of docs/ai-sdk.md takes whatever useChat sends', async () => {
  writeFileSync(
    join(project, 'model.js'),
    `import { MockLanguageModelV4, simulateReadableStream } from 'ai/test'
     const usage = { inputTokens: { total: 1 }, outputTokens: { total: 1 } }
     let answers = 0
     export const model = new MockLanguageModelV4({
       doStream: async () => ({ stream: simulateReadableStream({ chunks: [
         { type: 'text-start', id: 't' },
         { type: 'text-delta', id: 't', delta: 'Answer ' + ++answers },
         { type: 'text-end', id: 't' },
         { type: 'finish', finishReason: { unified: 'stop' }, usage },
       ] }) }),
     })`,
  )
  // AbstractChat is what useChat works with.
  const client = `
    import { AbstractChat, DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls } from 'ai'
    class State {
      status = 'ready'
      constructor(messages) { this.messages = messages }
      pushMessage = (message) => { this.messages = [...this.messages, message] }
      popMessage = () => { this.messages = this.messages.slice(0, -1) }
      replaceMessage = (at, message) => { this.messages = this.messages.map((old, i) => i === at ? message : old) }
      snapshot = (value) => structuredClone(value)
    }
    class Client extends AbstractChat {
      constructor(id, messages) {
        const transport = new DefaultChatTransport({
          fetch: (_, init) => POST(new Request('http://localhost/', init)),
          prepareSendMessagesRequest: ({ id, messages, trigger }) => ({ body: { id, message: messages.at(-1), trigger } }),
        })
        const sendAutomaticallyWhen = lastAssistantMessageIsCompleteWithToolCalls
        super({ id, transport, state: new State(messages), onError: console.log, sendAutomaticallyWhen })
      }
    }
    const pause = () => new Promise((resolve) => setTimeout(resolve, 5))
    const say = async (client, id) => {
      while (await chats.activeStream(id)) await pause()
      const [stored, seen] = [await chats.load(id), client.messages].map((all) =>
        all.map(({ parts }) => parts.flatMap(({ text, output }) => text ?? output ?? []).join(' ')).join(', '))
      console.log(stored, stored === seen)
    }
    const question = { id: 'q', role: 'user', parts: [{ type: 'text', text: 'Why?' }] }
    const call = { type: 'tool-where', toolCallId: 'c', state: 'input-available', input: {} }
`
  const requests = `
    const chat = new Client('chat', [])
    await chat.sendMessage({ text: 'When?' })
    await chat.regenerate()
    await say(chat, 'chat')
    await chat.sendMessage({ text: 'Where?' })
    await chat.sendMessage({ text: 'Whence?', messageId: chat.messages[2].id })
    await say(chat, 'chat')
    await chat.regenerate({ messageId: chat.messages[1].id })
    await say(chat, 'chat')
    await chats.save('dead', [question])
    const dead = new Client('dead', await chats.load('dead'))
    await dead.regenerate()
    await say(dead, 'dead')
    await chats.save('tool', [question, { id: 'a', role: 'assistant', parts: [call] }])
    const tool = new Client('tool', await chats.load('tool'))
    await tool.addToolOutput({ tool: 'where', toolCallId: 'c', output: 'here' })
    while ((await chats.load('tool'))[1].parts.length < 2) await pause()
    await say(tool, 'tool')
    const body = JSON.stringify({ id: 'dead', message: question, trigger: 'regenerate-message' })
    const response = await POST(new Request('http://localhost/', { method: 'POST', body }))
    await storage.messages.append('dead', { role: 'user', content: 'Of another program' })
    await response.text().catch(({ code }) => console.log(code))
    console.log((await chats.load('dead')).length, await chats.activeStream('dead'))
    await storage.close()`
  expect((await run(client + route + requests)).split('\n')).toEqual([
    'When?, Answer 2 true',
    'When?, Answer 2, Whence?, Answer 4 true',
    'When?, Answer 5 true',
    'Why?, Answer 6 true',
    'Why?, here Answer 7 true',
    'VERSION_CONFLICT',
    '3 undefined',
  ])
})

it('the program of docs/openai-agents.md goes on with its session', async () => {
  const [program = ''] = blocks('docs/openai-agents.md', 'ts').map(({ code }) => code)
  expect([await run(program), await run(program)]).toEqual(['1', '2'])
})

it('the program of docs/claude-agent.md appends a line once, and goes on with its session', async () => {
  const [program = ''] = blocks('docs/claude-agent.md', 'ts').map(({ code }) => code)
  expect([await run(program), await run(program)]).toEqual(['1\n0', '1\n0'])
})

it('the programs of docs/mastra.md go on with their thread, recall, and compose a store', async () => {
  const [program = '', recall = '', composed = ''] = blocks('docs/mastra.md', 'ts').map(({ code }) => code)
  expect([await run(program), await run(program)]).toEqual(['1', '2'])
  expect(await run(recall)).toBe('march')
  expect(await run(composed)).toBe('true')
})

it('the program of docs/keyv.md finds what it has stored', async () => {
  const [program = ''] = blocks('docs/keyv.md', 'ts').map(({ code }) => code)
  expect([await run(program), await run(program)]).toEqual(['undefined', '{ degrees: 7 }'])
})

it('the programs of docs/observability.md run: a listener, spans, and a logger', async () => {
  const [listener = '', spans = '', logger = ''] = blocks('docs/observability.md', 'ts').map(({ code }) => code)
  expect(await run(listener)).toMatch(/^messages.append 1 [\d.]+$/)
  expect(await run(spans)).toMatch(/name: 'messages.append'/)
  expect(await run(logger)).toBe('')
})
