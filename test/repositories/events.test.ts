import type { EventInput, Order } from 'holdfast'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { rounds } from '../setup/rounds.ts'
import { timesAsLong, type WatchedDatabase, watchedDatabase } from './plans.ts'

const few = 1000
const many = rounds(30_000, 1_000_000)

/** Returns event `i` of a log: one busy session first, then many small runs. Misleads a planner that assumes equal sizes. */
function event(i: number, total: number): EventInput {
  const [sessionId, runId] = i < total / 2 ? ['busy', 'busy run'] : [`session ${i % 50}`, `run ${i % (total / 50)}`]
  return { type: i % 1000 === 7 ? 'rare' : `type ${i % 5}`, sessionId, runId, payload: { i } }
}

async function fill({ repositories: { events }, analyze }: WatchedDatabase, total: number): Promise<void> {
  for (let start = 0; start < total; start += few) {
    await events.append(Array.from({ length: few }, (_, i) => event(start + i, total)))
  }
  await analyze()
}

describe.each(['sqlite', 'postgres'] as const)('%s', (dialect) => {
  let small: WatchedDatabase
  let large: WatchedDatabase
  beforeAll(async () => {
    small = await watchedDatabase(dialect)
    large = await watchedDatabase(dialect)
    await fill(small, few)
    await fill(large, many)
  }, 600_000)
  afterAll(async () => {
    await Promise.all([small.close(), large.close()])
  })

  const indexed = [
    { filters: { runId: 'busy run' }, index: 'events_run' },
    { filters: { runId: 'busy run', sessionId: 'busy', type: 'rare' }, index: 'events_run' },
    { filters: { sessionId: 'busy' }, index: 'events_session' },
    { filters: { sessionId: 'busy', type: 'type 1' }, index: 'events_session' },
    { filters: { type: 'type 1' }, index: 'events_type' },
  ]
  it.each(indexed)(
    'list($filters) reads the index $index from the position of the cursor',
    async ({ filters, index }) => {
      for (const order of ['asc', 'desc'] satisfies Order[]) {
        const list = (cursor?: string) => large.repositories.events.list({ ...filters, order, limit: 5, cursor })
        const { nextCursor } = await list()
        expect(nextCursor).toBeDefined()
        const [first = ''] = await large.plansOf(() => list())
        const [next = ''] = await large.plansOf(() => list(nextCursor))
        for (const plan of [first, next]) {
          expect(plan).toContain(index)
          expect(plan).not.toMatch(/sort|b-tree|scan events|seq scan|bitmap/i)
        }
        expect(next).toMatch(/seq(>|<)\?|ROW\(\w+, seq\) (>|<)/)
      }
    },
  )

  it('list() reads a page of one run as fast in a large log as in a small log', async () => {
    const page = ({ repositories: { events } }: WatchedDatabase, runId: string) => {
      return async (i: number) => {
        const { items } = await events.list({ runId, limit: 20, order: i % 2 ? 'asc' : 'desc' })
        if (items.length !== 20) throw new Error(`${items.length} events instead of 20`)
      }
    }
    expect(await timesAsLong(page(large, 'busy run'), page(small, 'busy run'))).toBeLessThan(1.3)
    expect(await timesAsLong(page(large, 'run 3'), page(small, 'run 3'))).toBeLessThan(1.3)
  })

  it('list() reads a page deep in a run as fast as the first page', async () => {
    const { events } = large.repositories
    let deep: string | undefined
    for (let i = 0; i < 10; i++) deep = (await events.list({ runId: 'busy run', limit: 1000, cursor: deep })).nextCursor
    const page = (cursor?: string) => () => events.list({ runId: 'busy run', limit: 20, cursor })
    const { nextCursor } = await events.list({ runId: 'busy run', limit: 20 })
    expect(await timesAsLong(page(deep), page(nextCursor))).toBeLessThan(1.3)
  })
})
