import { setTimeout } from 'node:timers/promises'
import { openStorage, type Storage, type StorageConfig, type TakenItem } from 'holdfast'
import { expect, test } from 'vitest'
import { sharedDatabases } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'

interface Said {
  ready?: true
  finished?: true
  queue?: string
  items?: { id: string; attempt: number }[]
  askedAt?: number
  takenAt?: number
}

const LEASE_SECONDS = 2
const names = ['q1', 'q2']
const patience = rounds(10, 60) * 60_000 // processes start slowly on a busy machine

function startTaker(config: StorageConfig, way: 'take' | 'takeAll' = 'take', env: Record<string, string> = {}) {
  const args = [JSON.stringify(config), way, String(LEASE_SECONDS), ...names]
  return runScript<Said>('test/repositories/programs/take.ts', args, { env })
}

type Taker = ReturnType<typeof startTaker>

/** Returns the ids of the items that were done in a queue, in this order, some of them more than once. */
async function doneIn({ events }: Storage, queue: string): Promise<string[]> {
  const { items } = await events.list({ runId: queue, limit: 1000 })
  return items.map(({ payload }) => String(payload))
}

test.each(sharedDatabases)(
  'on %s, take() has every item done, in order, although its takers are killed at random times',
  async (_, configure) => {
    const config = { database: await configure() }
    await using storage = await openStorage(config, quiet)
    const all = Array.from({ length: 4 }, () => startTaker(config))
    const alive = [...all]
    await Promise.all(alive.map((taker) => taker.next(({ ready }) => ready === true, patience)))

    const ids: string[] = []
    for (let kill = 0; kill < rounds(4, 100); kill++) {
      const before = new Map(alive.map((taker) => [taker, taker.messages.length]))
      for (let i = 0; i < 5; i++) {
        const id = String(ids.length)
        ids.push(id)
        for (const queue of names) await storage.queues.push('session', queue, { id })
      }
      const hasTaken = (taker: Taker) =>
        taker.messages.slice(before.get(taker)).some(({ items }) => items !== undefined)
      await expect.poll(() => alive.some(hasTaken), { timeout: patience, interval: 5 }).toBe(true)
      const victim = alive.findIndex(hasTaken)
      await setTimeout(Math.random() * 200)
      await alive[victim]?.kill()
      alive[victim] = startTaker(config)
      all.push(alive[victim])
    }
    for (const taker of alive) taker.send('stop')
    for (const taker of alive) await taker.next(({ finished }) => finished === true, patience)

    const said = all.flatMap(({ messages }) => messages)
    for (const queue of names) {
      expect([...new Set(await doneIn(storage, queue))]).toEqual(ids) // each at least once, and the first time in order
      expect(await storage.queues.list('session', queue)).toEqual({ items: [] })
      expectLeasesToHold(said, queue)
    }
  },
  patience,
)

/** Expects that no item was taken again before its lease ended, nor long after. */
function expectLeasesToHold(said: Said[], queue: string): void {
  const takes = said
    .filter((each) => each.queue === queue)
    .flatMap(({ items = [], askedAt = 0, takenAt = 0 }) => items.map((item) => ({ ...item, askedAt, takenAt })))
  for (const { id, attempt, askedAt, takenAt } of takes) {
    const next = takes.find((take) => take.id === id && take.attempt === attempt + 1)
    if (next === undefined) continue
    expect(next.takenAt - askedAt).toBeGreaterThanOrEqual(LEASE_SECONDS * 1000)
    expect(next.askedAt - takenAt).toBeLessThan(LEASE_SECONDS * 1000 + 60_000)
  }
}

test.each(sharedDatabases)(
  'on %s, what a killed taker had taken comes back after its lease with take(), and is lost with takeAll()',
  async (_, configure) => {
    const config = { database: await configure() }
    await using storage = await openStorage(config, quiet)
    const { queues } = storage
    const killAfterTaking = async (way: 'take' | 'takeAll') => {
      for (const id of ['a', 'b', 'c']) await queues.push('session', 'q1', { id })
      const taker = startTaker(config, way, { STALL: '1' })
      await taker.next(({ items }) => items?.length === 3, patience)
      await taker.kill()
    }

    await killAfterTaking('takeAll')
    expect(await doneIn(storage, 'q1')).toEqual([])
    expect(await queues.list('session', 'q1')).toEqual({ items: [] })

    await killAfterTaking('take')
    const takeAgain = () => queues.take('session', 'q1', { leaseSeconds: LEASE_SECONDS, limit: 10 })
    const come: TakenItem[] = []
    await expect.poll(async () => come.push(...(await takeAgain())), { timeout: patience, interval: 20 }).toBe(3)
    expect(come).toMatchObject(['a', 'b', 'c'].map((id) => ({ item: { id }, attempt: 2 })))
  },
  patience,
)

test.each(sharedDatabases)('on %s, a lease does not end while its taker still waits for it', async (_, configure) => {
  await using storage = await openStorage({ database: await configure() }, quiet)
  const { queues } = storage
  await queues.push('session', 'q1', { id: 'a' })
  /** Makes a call that waits for the queue longer than its lease lasts. */
  const late = async <Result>(call: () => Promise<Result>) => {
    let resolve = () => {}
    const locked = new Promise<void>((done) => {
      resolve = done
    })
    const holding = storage.transaction(async (tx) => {
      await tx.queues.push('session', 'q1', { id: 'b' })
      resolve()
      await setTimeout(1200)
    })
    await locked
    const result = await call()
    await holding
    return result
  }
  const taken = await late(() => queues.take('session', 'q1', { leaseSeconds: 1 }))
  expect(taken).toMatchObject([{ item: { id: 'a' }, attempt: 1 }])
  expect(await queues.take('session', 'q1', { leaseSeconds: 1 })).toEqual([])
  const receipts = taken.map(({ receipt }) => receipt)
  expect(await late(() => queues.extend(receipts, { leaseSeconds: 1 }))).toEqual({ held: receipts, lost: [] })
  expect(await queues.take('session', 'q1', { leaseSeconds: 1 })).toEqual([])
})
