import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import type { Storage } from 'holdfast'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { freshDatabase } from '../database/dialects.ts'
import { rounds } from '../setup/rounds.ts'
import { eachDatabase } from './databases.ts'
import { timesAsLong, watchedDatabase } from './plans.ts'
import { ModelledQueue, step } from './queue-model.ts'

describe.each(['sqlite', 'postgres'] as const)('%s', (dialect) => {
  it('push() to a queue of many items takes as long as to an empty queue', async () => {
    const database = await watchedDatabase(dialect)
    onTestFinished(() => database.close())
    const { queues } = database.repositories
    const many = rounds(5000, 100_000)
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
    expect(await queues.take('s', 'q', { leaseSeconds: 1, limit: 2 })).toHaveLength(2) // also the last position of all
    expect(await queues.takeAll('s', 'q')).toHaveLength(2)
    for (const position of [1, 2, 3]) {
      expect(await queues.push('s', 'q', { id: `${position}` })).toEqual({ position })
    }
  })
})

eachDatabase((open) => {
  const clock = { millis: Date.now() }
  let storage: Storage
  let run = 0
  beforeAll(async () => {
    storage = await open({ now: () => new Date(clock.millis) })
  })
  afterAll(() => storage.close())

  it('all calls behave like an array of items with leases in any sequence', () =>
    fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const queue = new ModelledQueue(storage.queues, `model ${run++}`, clock)
        for (const each of steps) await queue.take(each)
      }),
      { numRuns: rounds(60, 2000) },
    ))
})
