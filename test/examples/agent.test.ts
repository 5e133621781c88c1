import { execFile, spawn } from 'node:child_process'
import { copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { openStorageFromFile, type Storage, toolExecutionId } from 'holdfast'
import { expect, onTestFinished, test } from 'vitest'
import type { ToolCall } from '../../examples/agent/agent.ts'
import { bundleProgram } from '../setup/bundle-program.ts'
import { freshDirectory } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { adopt } from '../setup/temporary.ts'

const example = join(import.meta.dirname, '../../examples/agent')

/** Opens a new conversation, whose user steers the agent once and approves all requests. */
async function conversation(program = join(example, 'main.ts')) {
  const directory = freshDirectory()
  const config = join(directory, 'agent.yml')
  const outbox = join(directory, 'data', 'outbox.jsonl')
  await copyFile(join(example, 'agent.yml'), config)
  const storage = await openStorageFromFile(config)
  onTestFinished(() => storage.close())
  let steered = false

  /** Runs the agent until it ends, or until `killWhen` returns true for a line. Returns its lines. */
  async function run(killWhen: (line: string, count: number) => unknown = () => false): Promise<string[]> {
    const agent = spawn(process.execPath, [bundleProgram(program), 'run', '--config', config], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    adopt(agent)
    const ended = new Promise((resolve) => agent.once('close', resolve))
    const lines: string[] = []
    for await (const line of createInterface({ input: agent.stdout })) {
      lines.push(line)
      if (await killWhen(line, lines.length)) agent.kill('SIGKILL')
      if (line === 'thinks' && !steered) {
        steered = true
        await storage.queues.push('trip', 'steer', { id: 'window', text: 'A window seat, please.' })
      }
      const { items } = line.startsWith('asks')
        ? await storage.approvals.listPending({ sessionId: 'trip' })
        : { items: [] }
      for (const { id } of items) await storage.approvals.respond({ id, decision: 'approved' })
    }
    await ended
    return lines
  }

  return { storage, outbox, run }
}

/** Returns the mails that the agent has sent. */
async function mails(outbox: string): Promise<{ executionId: string; seat?: string }[]> {
  const lines = (await readFile(outbox, 'utf8')).trimEnd().split('\n')
  return lines.map((line) => JSON.parse(line))
}

/** Expects that nothing is lost or stored twice, and that every tool call was executed once. */
async function expectWhole(storage: Storage, outbox: string): Promise<void> {
  const { items: messages } = await storage.messages.list('trip', { limit: 1000 })
  expect(messages.filter(({ role }) => role === 'user').map(({ id }) => id)).toEqual(['request', 'window'])
  expect(String(messages.at(-1)?.content)).toMatch(/^You have window seat 1\dA, and the ticket is in your mail\.$/)

  const steps = messages.filter(({ role }) => role === 'assistant')
  expect(steps.map(({ id }) => id)).toEqual(steps.map((_, i) => `run-1-step-${i + 1}`))
  const calls = steps.flatMap(({ id, content }) => {
    const parts = Array.isArray(content) ? content : []
    return parts.map((part) => ({ ...(part as ToolCall), stepId: id })) // as the agent stored them
  })
  const results = messages.filter(({ role }) => role === 'tool')
  expect(results.map(({ metadata }) => metadata.answers)).toEqual(calls.map(({ id }) => id))
  expect(messages).toHaveLength(2 + steps.length + results.length)

  const executions = calls.map(({ id, stepId }) =>
    toolExecutionId({ runId: 'run-1', turnId: '1', modelStepId: stepId, toolCallId: id }),
  )
  for (const [i, executionId] of executions.entries()) {
    const { status, output } = (await storage.toolExecutions.get(executionId)) ?? {}
    expect([status, results[i]?.content]).toEqual([
      'completed',
      [{ type: 'tool-result', tool: calls[i]?.tool, output }],
    ])
  }
  const idsOf = (tool: string) => executions.filter((_, i) => calls[i]?.tool === tool)
  const seats = await storage.toolState.get('reserve_seat', '9:04 to Oslo')
  expect(seats).toHaveLength(idsOf('reserve_seat').length)
  expect((await mails(outbox)).map(({ executionId }) => executionId)).toEqual(idsOf('mail_ticket'))
  expect((await storage.events.list({ runId: 'run-1', type: 'tool.answered' })).items).toHaveLength(calls.length)
  expect(await storage.queues.list('trip', 'steer')).toEqual({ items: [] })
  expect(await storage.approvals.listPending({ sessionId: 'trip' })).toEqual({ items: [] })
}

test('the demo prints how the agent is steered, asks, is killed, resumes and acts once', async () => {
  const demo = await promisify(execFile)(process.execPath, ['--import', 'tsx', join(example, 'demo.ts')])
  const story = [
    /agent {2}thinks\nuser {3}A window seat, please\.\nagent {2}wants to reserve_seat/,
    /takes note of what the user said meanwhile\nagent {2}thinks\nagent {2}wants to reserve_seat/,
    /asks whether it may mail_ticket\nuser {3}Yes, it may\.\nagent {2}begins to mail_ticket\n +kill -9/,
    /kill -9.*\nagent {2}was interrupted: goes on to mail_ticket/,
    /\n9 {2}assistant {2}You have window seat 11A, and the ticket is in your mail\.\n\nMails sent: 1\n$/,
  ]
  for (const part of story) expect(demo.stdout).toMatch(part)
  expect(demo.stderr).toBe('')
})

test('the agent does everything once, and nothing when it runs again', async () => {
  const { storage, outbox, run } = await conversation()
  expect((await run()).at(-1)).toMatch(/^answers: /)
  await expectWhole(storage, outbox)
  expect(await run()).toEqual([])
  await expectWhole(storage, outbox)
})

test('the agent loses and repeats nothing when it is killed at every line that it prints for the first time', async () => {
  const { storage, outbox, run } = await conversation()
  const said = new Set<string>()
  let kills = 0
  do {
    kills = said.size
    await run((line) => said.size < said.add(line).size)
  } while (said.size > kills)
  expect(kills).toBeGreaterThan(10)
  await expectWhole(storage, outbox)
}, 120_000)

test(
  'the agent loses and repeats nothing when it is killed at random moments',
  async () => {
    for (let round = 0; round < rounds(1, 40); round++) {
      const { storage, outbox, run } = await conversation()
      for (let kills = 0; kills < 4; kills++) {
        const last = 1 + Math.floor(Math.random() * 4)
        const moment = Math.random() * 30
        await run(async (_, count) => count === last && (await sleep(moment, true)))
      }
      await run()
      await expectWhole(storage, outbox)
    }
  },
  rounds(60_000, 1_800_000),
)

test.each([
  ['one mail', 'examples/agent/main.ts', 1],
  ['two mails without a check of the execution id', 'test/examples/programs/forgetful-agent.ts', 2],
] as const)('the agent sends %s when it is killed between the mail and its record', async (_, program, sent) => {
  const { outbox, run } = await conversation(join(import.meta.dirname, '../..', program))
  await run(async (line) => {
    if (line !== 'begins to mail_ticket') return false
    while (!(await readFile(outbox, 'utf8').catch(() => '')).endsWith('\n')) await sleep(2) // the file exists before its mail
    return true
  })
  expect(await run()).toContain('was interrupted: goes on to mail_ticket')
  expect(await mails(outbox)).toHaveLength(sent)
})
