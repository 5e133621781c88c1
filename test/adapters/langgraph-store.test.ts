import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { Annotation, type LangGraphRunnableConfig, START, StateGraph } from '@langchain/langgraph'
import { type BaseStore, InMemoryStore, type Operation, type OperationResults } from '@langchain/langgraph-checkpoint'
import fc from 'fast-check'
import { openStorage, type Storage } from 'holdfast'
import { HoldfastStore } from 'holdfast/langgraph'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startLink, tripsOf } from '../database/link.ts'
import { eachDatabase } from '../repositories/databases.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'

const label = fc.constantFrom('a', 'b', 'a-', 'ä', '東')
const namespace = fc.array(label, { minLength: 1, maxLength: 3 })
const key = fc.constantFrom('k', 'k2', 'x.y', 'c/d', '\u0001')
const scalar = fc.constantFrom<unknown>(0, 1, 2.5, 'open', 'done', true, null)
const value = fc.record({ n: fc.integer({ min: 0, max: 5 }), s: scalar }, { requiredKeys: [] })
const number = fc.integer({ min: 0, max: 5 })
const filter = fc.oneof(
  fc.record({ s: scalar }),
  fc.record({ n: number, s: fc.record({ $ne: scalar }) }),
  fc.record({ n: fc.record({ $gte: number, $lt: number }) }),
  fc.record({ n: fc.record({ $gt: number }) }),
  fc.record({ n: fc.record({ $lte: number }), s: fc.record({ $in: fc.array(scalar) }) }),
  fc.record({ s: fc.record({ $nin: fc.array(scalar) }) }),
  fc.constant({}),
)
const path = fc.array(fc.oneof(label, fc.constant('*')), { minLength: 1, maxLength: 2 })
const matchType = fc.constantFrom('prefix' as const, 'suffix' as const)
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ namespace, key, value: fc.oneof(value, fc.constant(null)) }) },
  fc.record({ namespace, key }),
  fc.record({ namespacePrefix: fc.array(label, { maxLength: 2 }), filter, limit: fc.constantFrom(0, 100) }),
  fc.record({
    matchConditions: fc.array(fc.record({ matchType, path }), { maxLength: 2 }),
    maxDepth: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
    limit: fc.constantFrom(0, 100),
    offset: fc.constant(0),
  }),
)

/** Returns results without times and without the order, which differs from store to store. */
function comparable(results: readonly unknown[]): unknown[] {
  const plain = JSON.parse(
    JSON.stringify(results, (name, value) => (/^(createdAt|updatedAt|score)$/.test(name) ? undefined : value)),
  )
  return plain.map((result: unknown) =>
    Array.isArray(result) ? result.map((item) => JSON.stringify(item, sortedKeys(item))).sort() : (result ?? null),
  )
}

function sortedKeys(item: object): string[] | undefined {
  return Array.isArray(item) ? undefined : ['key', 'n', 'namespace', 's', 'value']
}

/**
 * LangGraph's own store, without the namespaces that have no item any more: it goes on listing them. It returns the items that it
 * keeps, so that a put of the same batch would show in what a read has found.
 */
class Reference extends InMemoryStore {
  override async batch<Op extends readonly Operation[]>(operations: Op) {
    const isPut = (operation: Operation) => 'value' in operation
    const results: unknown[] = []
    for (const operation of operations) {
      results.push(isPut(operation) ? null : structuredClone((await super.batch([operation]))[0]))
    }
    await super.batch(operations.filter(isPut))
    const data: Map<string, Map<string, unknown>> = Reflect.get(this, 'data')
    for (const [name, items] of data) if (items.size === 0) data.delete(name)
    return results as OperationResults<Op> // each is of its operation
  }
}

async function answers(store: BaseStore, batches: Operation[][]): Promise<unknown[]> {
  const all: unknown[] = []
  for (const batch of batches) all.push(...comparable(await store.batch(batch)))
  return all
}

eachDatabase((open) => {
  let storage: Storage
  beforeAll(async () => {
    storage = await open()
  })
  afterAll(() => storage.close())
  const createStore = () => new HoldfastStore(storage.scope({ ownerId: randomUUID() }))

  it("answers any operations as LangGraph's InMemoryStore does", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(operation, { maxLength: 6 }), { maxLength: 12 }), async (batches) => {
        expect(await answers(createStore(), batches)).toEqual(await answers(new Reference(), batches))
      }),
      { numRuns: rounds(25, 2000) },
    )
  })

  it('keeps the time of creation, and pages through what a filter finds', async () => {
    const store = createStore()
    await store.put(['users', 'ann'], 'tea', { cups: 1 })
    const first = await store.get(['users', 'ann'], 'tea')
    expect(first).toMatchObject({ namespace: ['users', 'ann'], key: 'tea', value: { cups: 1 } })
    await store.put(['users', 'ann'], 'tea', { cups: 2 })
    const second = await store.get(['users', 'ann'], 'tea')
    expect(second).toMatchObject({ value: { cups: 2 }, createdAt: first?.createdAt })
    expect(second?.updatedAt.getTime()).toBeGreaterThanOrEqual(first?.updatedAt.getTime() ?? 0)
    await store.batch(
      Array.from({ length: 1100 }, (_, n) => ({
        namespace: ['n'],
        key: String(n).padStart(4, '0'),
        value: { n, odd: n % 2 },
      })),
    )
    const odd = { filter: { odd: 1 }, limit: 10 }
    const pages = [await store.search(['n'], odd), await store.search(['n'], { ...odd, offset: 540 })]
    expect(pages.map((page) => page.map(({ value }) => value.n))).toEqual([
      [1, 3, 5, 7, 9, 11, 13, 15, 17, 19],
      [1081, 1083, 1085, 1087, 1089, 1091, 1093, 1095, 1097, 1099],
    ])
    expect((await store.search(['n'], { limit: 2000 })).length).toBe(1100)
    expect(await store.search(['n'], { offset: 1095 })).toHaveLength(5)
    await store.delete(['users', 'ann'], 'tea')
    expect(await store.get(['users', 'ann'], 'tea')).toBeNull()
    expect(await store.listNamespaces()).toEqual([['n']])
  })

  it('keeps owners apart, and forgets after ttlSeconds', async () => {
    const [ann, bob] = ['ann', 'bob'].map((name) => storage.scope({ ownerId: `${name}-${randomUUID()}` }))
    if (!ann || !bob) throw new Error('two scopes')
    await new HoldfastStore(ann).put(['notes'], 'k', { of: 'ann' })
    expect(await new HoldfastStore(bob).search([])).toEqual([])
    await new HoldfastStore(bob, { ttlSeconds: 3600 }).put(['notes'], 'k', { of: 'bob' })
    const [entry] = (await bob.kv.find()).items
    expect(entry?.expiresAt?.getTime()).toBeGreaterThan(Date.now() + 3_500_000)
    expect((await new HoldfastStore(ann).get(['notes'], 'k'))?.value).toEqual({ of: 'ann' })
  })

  it('refuses what it cannot store or filter by', async () => {
    const store = createStore()
    await expect(store.put([], 'k', {})).rejects.toThrow('empty')
    await expect(store.put(['a'], 'k', { at: new Date() })).rejects.toMatchObject({ code: 'INVALID_INPUT' })
    const refused = [
      [{ n: { $exists: true } }, 'filter.n: has the unknown operator $exists: the operators are $eq, $ne,'],
      [{ user: undefined }, 'filter.user: must not be undefined: leave the property out'],
      [{ n: { $gt: null } }, 'n.gt: must be a number or text'],
    ] as const
    for (const [filter, message] of refused)
      await expect(store.search(['a'], { filter })).rejects.toMatchObject({
        code: 'INVALID_INPUT',
        message: expect.stringContaining(message),
      })
  })
})

it('a graph remembers across threads and processes', async () => {
  const path = join(freshDirectory(), 'agent.db')
  const State = Annotation.Root({ said: Annotation<string> })
  const run = async (said: string) => {
    await using storage = await openStorage({ database: { type: 'sqlite', path } }, quiet)
    const remember = async ({ said }: typeof State.State, { store }: LangGraphRunnableConfig) => {
      const known = await store?.search(['facts'], { filter: { kind: 'name' } })
      await store?.put(['facts', 'ann'], randomUUID(), { kind: 'name', said })
      return { said: `I know ${known?.length}` }
    }
    const graph = new StateGraph(State).addNode('remember', remember).addEdge(START, 'remember')
    return await graph.compile({ store: new HoldfastStore(storage) }).invoke({ said })
  }
  expect(await run('Ann')).toEqual({ said: 'I know 0' })
  expect(await run('Bob')).toEqual({ said: 'I know 1' })
})

it('every operation takes one round trip', async () => {
  const url = new URL(await freshPostgres())
  const link = await startLink(Number(url.port), { delayMillis: 10 })
  url.port = String(link.port)
  await using storage = await openStorage({ database: { type: 'postgres', url: url.href, maxConnections: 1 } }, quiet)
  const store = new HoldfastStore(storage)
  await store.put(['a', 'b'], 'k', { n: 1 })
  const calls = {
    put: () => store.put(['a'], 'k', { n: 1 }),
    'put of many': () =>
      store.batch(Array.from({ length: 500 }, (_, i) => ({ namespace: ['a'], key: `${i}`, value: { i } }))),
    get: () => store.get(['a', 'b'], 'k'),
    search: () => store.search(['a'], { filter: { n: { $gte: 1 } } }),
    delete: () => store.delete(['a'], 'k'),
    listNamespaces: () => store.listNamespaces({ maxDepth: 1 }),
  }
  const expected = Object.fromEntries(Object.keys(calls).map((name) => [name, 1]))
  expect(await tripsOf(link, calls)).toEqual({ ...expected, get: 0 }) // from the cache
})
