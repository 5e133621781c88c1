import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Agent } from '@mastra/core/agent'
import { Mastra } from '@mastra/core/mastra'
import { createTool } from '@mastra/core/tools'
import { LocalFilesystem, Workspace } from '@mastra/core/workspace'
import { Memory } from '@mastra/memory'
import { mastraStorage } from 'holdfast/mastra'
import { expect, it } from 'vitest'
import { eachDatabase } from '../repositories/databases.ts'
import { freshDirectory } from '../setup/databases.ts'

const usage = { inputTokens: 1, outputTokens: 1, totalTokens: 2 }

/** Makes a model that calls one tool, and answers once the tool has said something. */
function callingOnce(toolName: string, input: object) {
  return {
    specificationVersion: 'v2',
    provider: 'none',
    modelId: 'function',
    supportedUrls: {},
    async doGenerate({ prompt }: { prompt: { role: string }[] }) {
      const isTold = prompt.at(-1)?.role === 'tool'
      const call = { type: 'tool-call', toolCallId: 'c1', toolName, input: JSON.stringify(input) }
      const content = [isTold ? { type: 'text', text: 'Done.' } : call]
      return { content, finishReason: isTold ? 'stop' : 'tool-calls', usage, warnings: [] }
    },
  } as never // the agent's type asks for all of a model
}

eachDatabase((open) => {
  it('an agent with a workspace answers, and what it has read stays with the thread', async () => {
    await using storage = await open()
    const basePath = await freshDirectory()
    await writeFile(join(basePath, 'trip.md'), 'The train leaves at 9:04')
    const workspace = new Workspace({ filesystem: new LocalFilesystem({ basePath }) })
    const model = callingOnce('mastra_workspace_read_file', { path: 'trip.md' })
    const agent = new Agent({
      id: 'guide',
      name: 'guide',
      instructions: 'Read.',
      model,
      memory: new Memory(),
      workspace,
    })
    const mastra = new Mastra({ agents: { guide: agent }, storage: mastraStorage(storage), logger: false })
    const [thread, resource] = [randomUUID(), randomUUID()]
    const { text } = await mastra.getAgent('guide').generate('When?', { memory: { thread, resource } })
    expect(text).toBe('Done.')
    const states = storage.kv.namespace('mastra', 'states', thread)
    const [reads] = (await states.entries()).items
    expect(JSON.stringify(reads?.value)).toContain('trip.md')
    await (await mastraStorage(storage).getStore('memory'))?.deleteThread({ threadId: thread })
    expect((await states.keys()).items).toEqual([])
  })

  it('an answer is saved whatever a tool has returned, as JSON.stringify has it', async () => {
    await using storage = await open()
    const price = new (class Price {
      cents = 4900
      toJSON = () => ({ euros: this.cents / 100, paid: undefined })
    })()
    const listed = [1, undefined, Number.NaN, Symbol('no'), () => 1]
    const failure = Object.assign(new Error('late'), { minutes: Number.POSITIVE_INFINITY })
    const result = {
      price,
      listed,
      failure,
      seats: new Map([['1A', true]]),
      retry: () => true,
      never: new Date(Number.NaN),
    }
    const timetable = createTool({ id: 'timetable', description: 'Says when', execute: async () => result })
    const model = callingOnce('timetable', {})
    const agent = new Agent({
      id: 'guide',
      name: 'guide',
      instructions: '',
      model,
      tools: { timetable },
      memory: new Memory(),
    })
    const mastra = new Mastra({ agents: { guide: agent }, storage: mastraStorage(storage), logger: false })
    const [thread, resource] = [randomUUID(), randomUUID()]
    const { text } = await mastra.getAgent('guide').generate('When?', { memory: { thread, resource } })
    expect(text).toBe('Done.')
    const memory = await mastraStorage(storage).getStore('memory')
    const { messages } = (await memory?.listMessages({ threadId: thread })) ?? {}
    const [call] = messages?.at(-1)?.content.parts ?? []
    expect(call).toHaveProperty('toolInvocation.result', JSON.parse(JSON.stringify(result)))
    const metadata = { price, listed }
    const now = new Date()
    await memory?.saveThread({ thread: { id: thread, resourceId: resource, metadata, createdAt: now, updatedAt: now } })
    const { metadata: stored } = (await memory?.getThreadById({ threadId: thread })) ?? {}
    expect(stored).toEqual(JSON.parse(JSON.stringify(metadata)))
  })

  it('the state of a thread is replaced and removed, by one owner alone', async () => {
    await using storage = await open()
    const [scope, other] = [storage.scope({ ownerId: randomUUID() }), storage.scope({ ownerId: randomUUID() })]
    const state = await mastraStorage(scope).getStore('threadState')
    const task = { threadId: 'trip', type: 'task' }
    const value = [{ id: '1', content: 'Book \0 \ud800', status: 'pending' }]
    expect(await state?.getState(task)).toBeUndefined()
    await state?.setState({ ...task, value: [] })
    await state?.setState({ ...task, value })
    expect(await state?.getState(task)).toEqual(value)
    expect(await state?.getState({ ...task, type: 'goal' })).toBeUndefined()
    expect(await (await mastraStorage(other).getStore('threadState'))?.getState(task)).toBeUndefined()
    await state?.deleteState(task)
    await state?.deleteState(task)
    expect(await state?.getState(task)).toBeUndefined()
    await state?.setState({ ...task, value }) // before its thread is saved
    const memory = await mastraStorage(scope).getStore('memory')
    const now = new Date()
    await memory?.saveThread({ thread: { id: 'trip', resourceId: 'ada', createdAt: now, updatedAt: now } })
    await memory?.deleteThread({ threadId: 'trip' })
    expect(await state?.getState(task)).toBeUndefined()
    await state?.setState({ ...task, value })
    await state?.dangerouslyClearAll()
    expect((await scope.kv.keys()).items).toEqual([])
  })

  it("Mastra's workers start, and a workflow that would be lost with the process is refused", async () => {
    await using storage = await open()
    const mastra = new Mastra({ storage: mastraStorage(storage), logger: false })
    await mastra.startWorkers()
    const schema = { type: 'object', properties: {} }
    const workflow = {
      id: 'w',
      inputSchema: schema,
      outputSchema: schema,
      graph: [{ type: 'sleep', id: 'nap', duration: 1 }],
    }
    await expect(mastra.addDynamicWorkflow(workflow as never)).rejects.toThrow(
      /no domain workflowDefinitions for Mastra: combine/,
    )
    await mastra.shutdown()
  })
})
