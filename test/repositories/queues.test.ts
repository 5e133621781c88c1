import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import type { QueueItem, Queues, Storage } from 'holdfast'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { freshDatabase } from '../database/dialects.ts'
import { rounds } from '../setup/rounds.ts'
import { eachDatabase } from './databases.ts'
import { timesAsLong, watchedDatabase } from './plans.ts'

type Step = { do: 'push' | 'remove'; id: string; n: number } | { do: 'takeAll' | 'clear' }

const id = fc.constantFrom('a', 'b', 'c', 'd')
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('push'), id, n: fc.nat(9) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('remove'), id, n: fc.constant(0) }) },
  fc.record({ do: fc.constantFrom('takeAll', 'clear') }),
)

/** Takes a step on the queue and on its model, and compares the results. Returns the new model. */
async function take(each: Step, queues: Queues, session: string, model: QueueItem[]): Promise<QueueItem[]> {
  switch (each.do) {
    case 'push': {
      const { position } = await queues.push(session, 'q', { id: each.id, n: each.n })
      const known = model.findIndex(({ id }) => id === each.id)
      expect(position).toBe(1 + (known < 0 ? model.length : known))
      return known < 0 ? [...model, { id: each.id, n: each.n }] : model
    }
    case 'remove': {
      const left = model.filter(({ id }) => id !== each.id)
      expect(await queues.remove(session, 'q', each.id)).toBe(left.length < model.length)
      return left
    }
    case 'takeAll':
      expect(await queues.takeAll(session, 'q')).toEqual(model)
      return []
    case 'clear':
      expect(await queues.clear(session, 'q')).toBe(model.length)
      return []
  }
}

describe.each(['sqlite', 'postgres'] as const)('%s', (dialect) => {
  it('push() to a queue of many items takes as long as to an empty queue', async () => {
    const database = await watchedDatabase(dialect)
    onTestFinished(() => database.close())
    const { queues } = database.repositories
    const many = rounds(20_000, 100_000)
    for (let i = 0; i < many; i += 1000) {
      await Promise.all(Array.from({ length: 1000 }, (_, j) => queues.push('s', 'long', { id: `${i + j}` })))
    }
    await database.analyze()
    const pushTo = (queue: string) => async () => {
      const id = randomUUID()
      await queues.push('s', queue, { id })
      await queues.remove('s', queue, id) // so that the other queue stays empty
    }
    expect(await timesAsLong(pushTo('long'), pushTo('short'))).toBeLessThan(1.3)
    expect(await queues.push('s', 'long', { id: 'last' })).toEqual({ position: many + 1 })
  }, 120_000)

  it('takeAll() restarts the positions of a queue before they exceed 32 bits', async () => {
    const database = await freshDatabase(dialect)
    await using storage = await database.open({ maintenance: false })
    const { queues } = storage
    await queues.push('s', 'q', { id: 'a' })
    await database.query(`update queues set last_position = ${2 ** 31 - 2}, gaps = ${2 ** 31 - 3}`)
    expect(await queues.push('s', 'q', { id: 'b' })).toEqual({ position: 2 })
    expect(await queues.takeAll('s', 'q')).toHaveLength(2)
    for (const position of [1, 2, 3]) {
      expect(await queues.push('s', 'q', { id: `${position}` })).toEqual({ position })
    }
  })
})

eachDatabase((open) => {
  let storage: Storage
  let run = 0
  beforeAll(async () => {
    storage = await open()
  })
  afterAll(() => storage.close())

  it('push(), remove(), takeAll() and clear() behave like an array in any sequence', () =>
    fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const { queues } = storage
        const session = `model ${run++}`
        let model: QueueItem[] = []
        for (const each of steps) {
          model = await take(each, queues, session, model)
          expect((await queues.list(session, 'q')).items).toEqual(model)
        }
      }),
      { numRuns: rounds(40, 1000) },
    ))
})
