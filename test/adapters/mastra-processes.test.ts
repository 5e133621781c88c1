import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { openStorage, type StorageConfig } from 'holdfast'
import { HoldfastMemory } from 'holdfast/mastra'
import { expect, it } from 'vitest'
import { runScript } from '../setup/processes.ts'
import { quiet } from '../setup/silent.ts'
import { durable } from './durable.ts'

const start = (config: StorageConfig, name: string, turns: number) =>
  runScript('test/adapters/programs/mastra-turns.ts', [JSON.stringify(config), name, `${turns}`])

it.each(Object.entries(durable))(
  'two processes on %s lose nothing, and one that is killed goes on',
  async (_, configure) => {
    const config = await configure()
    await using storage = await openStorage(config, quiet)
    const memory = new HoldfastMemory(storage)
    const now = new Date()
    await memory.saveThread({ thread: { id: 'race', resourceId: 'both', createdAt: now, updatedAt: now } })
    const [one, two] = [start(config, 'one', 10), start(config, 'two', 1000)]
    await two.next((message) => (message as { turn: number }).turn === 5)
    await two.kill()
    expect(await one.exit).toMatchObject({ code: 0 })
    const again = start(config, 'two', 8) // the turns that are stored are stored again
    expect(await again.exit).toMatchObject({ code: 0 })

    const expected = [...Array(10).keys()].map((i) => `one ${i}`).concat([...Array(8).keys()].map((i) => `two ${i}`))
    const { messages } = await memory.listMessages({ threadId: 'race', resourceId: 'both', perPage: false })
    const found = messages.map(({ id }) => id)
    expect(new Set(found).size).toBe(found.length)
    expect(found).toEqual(expect.arrayContaining(expected.flatMap((turn) => [`${turn} q`, `${turn} a`])))
    expect(found.filter((id) => id.endsWith('q')).length).toBe(found.length / 2) // a turn is stored as a whole
    const metadata = Object.fromEntries(expected.map((turn) => [turn, true]))
    expect(await memory.getThreadById({ threadId: 'race' })).toMatchObject({ metadata })
    expect(await memory.getResourceById({ resourceId: 'both' })).toMatchObject({ metadata })
  },
)

it.each(Object.entries(durable))(
  'an agent of Mastra on %s remembers in a new process what it was asked, answered and told by a tool',
  async (_, configure) => {
    const config = await configure()
    const ask = async (question: string) => {
      const program = runScript('test/adapters/programs/mastra-agent.ts', [JSON.stringify(config), question])
      const answer = await program.next()
      await program.kill() // at once: what was answered is stored
      return answer
    }
    expect(await ask('How is the weather?')).toEqual({ text: 'The sky is cloudy. You have asked 1 questions.' })
    expect(await ask('And now?')).toEqual({ text: 'The sky is cloudy. You have asked 2 questions.' })
    await using storage = await openStorage(config, quiet)
    const memory = new HoldfastMemory(storage)
    const { messages } = await memory.listMessages({ threadId: 'trip', resourceId: 'ada', perPage: false })
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant'])
    expect(JSON.stringify(messages[1]?.content.parts)).toContain('cloudy')
    expect((await memory.listThreads({ filter: { resourceId: 'ada' } })).total).toBe(1)
  },
)

it('the agent of examples/mastra is killed while it answers, and goes on', async () => {
  const demo = join(import.meta.dirname, '../../examples/mastra/demo.ts')
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', demo], { timeout: 120_000 })
  const [before = '', after = ''] = stdout.split('killed; starts again\n')
  expect(before).toMatch(/asked 1 questions\.\nuser: And tomorrow\?\n/)
  expect(before).not.toContain('asked 2 questions')
  expect(after).toMatch(
    /^user: And tomorrow\?\n.*\n.*asked 2 questions\.\nuser: .*umbrella\?\n.*\n.*asked 3 questions\.\n$/,
  )
})
