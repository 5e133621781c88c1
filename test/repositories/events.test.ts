import { EventEmitter, once } from 'node:events'
import { type EventInput, type ListEventsOptions, type Order, openStorage } from 'holdfast'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, test } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'
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

test('on PostgreSQL a page without `after` passes over an event that commits later, and a page with `after` waits', async () => {
  const url = await freshPostgres()
  await using storage = await openStorage({ database: { type: 'postgres', url } }, quiet)
  const { events } = storage
  const types = async (options: ListEventsOptions) => (await events.list(options)).items.map(({ type }) => type)
  const gates = new EventEmitter()
  const appended = once(gates, 'appended')
  const mayCommit = once(gates, 'commit')
  const slow = storage.transaction(async (tx) => {
    for (let i = 0; i < 3; i++) await tx.events.append({ type: 'slow' })
    gates.emit('appended')
    await mayCommit
  })
  await appended
  const { seq } = await events.append({ type: 'fast' })
  expect(await types({})).toEqual(['fast'])
  expect(await types({ after: 0 })).toEqual([])
  gates.emit('commit')
  await slow
  const { items } = await events.list()
  expect(items.filter((event) => event.seq > seq)).toEqual([]) // what continues from the cursor of 'fast'
  expect(await types({ after: 0 })).toEqual(['slow', 'slow', 'slow', 'fast'])
})

test('a transaction on PostgreSQL holds one lock however many events it appends, and none after a savepoint', async () => {
  const url = await freshPostgres()
  await using storage = await openStorage({ database: { type: 'postgres', url } }, quiet)
  const sql = postgres(url, { max: 1 })
  onTestFinished(() => sql.end())
  const locks = async () => Number((await sql`select count(*) from pg_locks where locktype = 'advisory'`)[0]?.count)
  await storage.transaction(async (tx) => {
    const failing = tx.transaction(async (savepoint) => {
      await savepoint.events.append({ type: 'a' })
      expect(await locks()).toBe(1)
      throw new Error('rolled back')
    })
    await expect(failing).rejects.toThrow('rolled back')
    expect(await locks()).toBe(0)
    for (let i = 0; i < 50; i++) await tx.events.append({ type: 'a' })
    expect(await locks()).toBe(1)
  })
  expect(await locks()).toBe(0)
})
