/** When told to go, competes with other processes for the same items, then says which it got. */
import { once } from 'node:events'
import { openStorage } from 'holdfast'
import { say } from '../../setup/say.ts'
import { silent } from '../../setup/silent.ts'

const [config = '', name = '', count = ''] = process.argv.slice(2)
const rounds = Array.from({ length: Number(count) }, (_, i) => i)
const logger = { ...silent, error: console.error }
await using storage = await openStorage(JSON.parse(config), { maintenance: false, logger })
const { toolExecutions, approvals, toolPreferences, queues, memories, workspaces } = storage
say({ ready: true })
await once(process.stdin, 'data')

const started: string[] = []
async function start(): Promise<void> {
  for (const i of rounds) {
    const identity = { runId: 'run', turnId: `${i}`, modelStepId: 'step', toolCallId: 'call' }
    const { status, record } = await toolExecutions.start({ identity, toolName: 'tool', input: name })
    if (status === 'started') started.push(record.executionId)
  }
}

const decided: { id: string; status: string; decision: string }[] = []
async function respond(): Promise<void> {
  for (const i of rounds) {
    const { status, response } = await approvals.respond({ id: `approval ${i}`, decision: name })
    decided.push({ id: response.id, status, decision: response.decision })
  }
}

const taken: string[][] = []
async function queue(): Promise<void> {
  for (const i of rounds) {
    await queues.push('session', 'steer', { id: `${name} ${i}` })
    if (i % 3 === 0) taken.push((await queues.takeAll('session', 'steer')).map(({ id }) => id))
  }
}

async function change(): Promise<void> {
  for (const i of rounds) {
    await toolPreferences.allow(`${name} ${i}`, 'session')
    await memories.update((await memories.list({ limit: 1 })).items[0]?.id ?? '', { metadata: { [`${name} ${i}`]: i } })
    await workspaces.setCurrent((await workspaces.save({ path: `/${name}` })).id)
  }
}

await Promise.all([start(), respond(), queue(), change()])
say({ started, decided, taken })
process.stdin.destroy()
