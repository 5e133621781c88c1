/**
 * Does the items of queues: `take.ts <config> <take or takeAll> <lease in seconds> <queue>...`. Doing an item appends an
 * event. Once told to stop, ends when all queues are empty. With STALL=1 waits between taking items and doing them.
 */
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { openStorage, type TakenItem } from 'holdfast'
import { say } from '../../setup/say.ts'
import { silent } from '../../setup/silent.ts'

const [config = '', way = 'take', lease = '1', ...names] = process.argv.slice(2)
const logger = { ...silent, error: console.error }
await using storage = await openStorage(JSON.parse(config), { maintenance: false, logger })
const { queues, events } = storage
let told = false
const stop = once(process.stdin, 'data').then(() => {
  told = true
})
say({ ready: true })

async function take(queue: string): Promise<TakenItem[]> {
  if (way === 'take') return queues.take('session', queue, { leaseSeconds: Number(lease), limit: 3 })
  return (await queues.takeAll('session', queue)).map((item) => ({ item, receipt: '', attempt: 1 }))
}

async function work(queue: string): Promise<boolean> {
  const askedAt = Date.now()
  const taken = await take(queue)
  if (taken.length > 0) {
    const items = taken.map(({ item: { id }, attempt }) => ({ id, attempt }))
    say({ queue, items, askedAt, takenAt: Date.now() })
    if (process.env.STALL === '1') await stop
  }
  for (const { item, receipt } of taken) {
    await setTimeout(Math.random() * 100)
    await events.append({ type: 'done', sessionId: 'session', runId: queue, payload: item.id })
    if (receipt !== '') await queues.ack([receipt])
  }
  return (await queues.list('session', queue, { limit: 1 })).items.length === 0
}

for (let done = false; !done; await setTimeout(20)) {
  const empty: boolean[] = []
  for (const name of names.toSorted(() => Math.random() - 0.5)) empty.push(await work(name))
  done = told && empty.every(Boolean)
}
say({ finished: true })
