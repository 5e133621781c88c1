import { randomUUID } from 'node:crypto'
import { AIMessage, HumanMessage } from '@langchain/core/messages'
import { Annotation, DeltaChannel, END, START, StateGraph } from '@langchain/langgraph'
import {
  type BaseCheckpointSaver,
  type Checkpoint,
  emptyCheckpoint,
  MemorySaver,
  uuid6,
} from '@langchain/langgraph-checkpoint'
import { openStorage, type Storage } from 'holdfast'
import { HoldfastSaver } from 'holdfast/langgraph'
import * as vitest from 'vitest'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startLink, tripsOf } from '../database/link.ts'
import { eachDatabase } from '../repositories/databases.ts'
import { freshPostgres } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { quiet } from '../setup/silent.ts'
import { durable } from './durable.ts'

Object.assign(globalThis, vitest) // the suite takes describe, it and expect from there
const { deltaChannelHistoryTests, validate } = await import('@langchain/langgraph-checkpoint-validation')

const metadata = { source: 'loop' as const, step: 0, parents: {} }

function checkpointOf(n: number, values: Record<string, unknown>, versions: Record<string, number>): Checkpoint {
  return { ...emptyCheckpoint(), id: uuid6(n), channel_values: values, channel_versions: versions }
}

/** A graph that counts to `steps`, one step at a time. */
function counter(checkpointer: BaseCheckpointSaver, steps: number) {
  const State = Annotation.Root({ done: Annotation<number[]>({ reducer: (a, b) => a.concat(b), default: () => [] }) })
  return new StateGraph(State)
    .addNode('step', ({ done }) => ({ done: [done.length] }))
    .addEdge(START, 'step')
    .addConditionalEdges('step', ({ done }) => (done.length < steps ? 'step' : END))
    .compile({ checkpointer })
}

eachDatabase((open) => {
  let storage: Storage
  beforeAll(async () => {
    storage = await open()
  })
  afterAll(() => storage.close())

  /** The suite lists all threads, so each of its groups gets an owner. */
  const createCheckpointer = () => new HoldfastSaver(storage.scope({ ownerId: randomUUID() }))

  describe("LangGraph's own suite", () => {
    const initializer = { checkpointerName: 'holdfast', createCheckpointer }
    validate(initializer)
    deltaChannelHistoryTests(initializer)
  })

  it('putWrites() stores all writes of a task or none, also more than 1000, and in a transaction of the program', async () => {
    const scope = storage.scope({ ownerId: randomUUID() })
    const checkpoint = checkpointOf(1, {}, {})
    const config = await new HoldfastSaver(scope).put({ configurable: { thread_id: 't' } }, checkpoint, metadata, {})
    const writes = Array.from({ length: 1500 }, (_, i): [string, number] => ['c', i])
    const invalid = writes.with(1200, ['c'.repeat(300), 1200])
    const stored = async () => (await new HoldfastSaver(scope).getTuple(config))?.pendingWrites?.length
    await expect(new HoldfastSaver(scope).putWrites(config, invalid, 'task')).rejects.toThrow(/channel/)
    expect(await stored()).toBe(0)
    await new HoldfastSaver(scope).putWrites(config, writes, 'task')
    expect(await stored()).toBe(1500)
    await scope.transaction((tx) => new HoldfastSaver(tx).putWrites(config, writes, 'other'))
    expect(await stored()).toBe(3000)
  })

  it('returns every value as MemorySaver does', async () => {
    const values = {
      messages: [
        new HumanMessage({ id: 'a', content: 'lc "lc" \u0000\ud800' }),
        new AIMessage({ id: 'b', content: [] }),
      ],
      map: new Map<unknown, unknown>([['a', new Set([1])]]),
      pattern: /a/g,
      error: new Error('no'),
      date: new Date(0),
      nothing: undefined,
      none: null,
      count: 0,
      isDone: false,
      nested: { nothing: undefined, list: [null, { lc: 3 }], text: '"lc"' },
      inside: { bytes: new Uint8Array([1]) },
    }
    const versions = Object.fromEntries(Object.keys(values).map((channel) => [channel, 1]))
    const rich = { ...metadata, writes: { step: { messages: values.messages, map: values.map } } }
    const checkpoint = checkpointOf(0, { ...values, loose: { no: 'version' } }, versions)
    const tuples = []
    for (const saver of [new MemorySaver(), createCheckpointer()]) {
      const config = await saver.put({ configurable: { thread_id: 't' } }, checkpoint, rich, versions)
      await saver.putWrites(config, Object.entries(values), 'task', 'path')
      tuples.push(await saver.getTuple(config))
    }
    expect(tuples[1]).toEqual(tuples[0])
    expect(tuples[1]?.checkpoint.channel_values.messages).toEqual(values.messages)
    // MemorySaver cannot read these.
    const saver = createCheckpointer()
    const bytes = new Uint8Array([0, 1, 255])
    const config = await saver.put(
      { configurable: { thread_id: 't' } },
      checkpointOf(0, { bytes }, { bytes: 1 }),
      metadata,
      {
        bytes: 1,
      },
    )
    await saver.putWrites(config, [['bytes', bytes]], 'task')
    const tuple = await saver.getTuple(config)
    expect([tuple?.checkpoint.channel_values, tuple?.pendingWrites]).toEqual([{ bytes }, [['task', 'bytes', bytes]]])
  })

  it('keeps the values of two branches apart', async () => {
    const saver = createCheckpointer()
    const start = await saver.put(
      { configurable: { thread_id: 't' } },
      checkpointOf(0, { a: 'start' }, { a: 1 }),
      metadata,
      { a: 1 },
    )
    const branch = async (n: number, version: number) =>
      saver.put(start, checkpointOf(n, { a: `branch ${n}` }, { a: version }), metadata, { a: version })
    const [left, right] = [await branch(1, saver.getNextVersion(1)), await branch(2, saver.getNextVersion(1))]
    expect((await saver.get(left))?.channel_values).toEqual({ a: 'branch 1' })
    expect((await saver.get(right))?.channel_values).toEqual({ a: 'branch 2' })
    // With the integers of other savers both branches have version 2, and one value would be lost.
    const plain = (n: number) => branch(n, Object.getPrototypeOf(HoldfastSaver.prototype).getNextVersion(1))
    await plain(3)
    await expect(plain(4)).rejects.toMatchObject({ code: 'INVALID_STATE' })
  })

  it('reads the history of a channel from the last of its values, also a small one', async () => {
    const saver = createCheckpointer()
    let config: Parameters<HoldfastSaver['put']>[0] = { configurable: { thread_id: 't' } }
    for (const [n, value] of [
      [0, 5],
      [1, 'a longer text'],
      [2, undefined],
    ] as const) {
      const values = value === undefined ? {} : { count: value, other: null }
      config = await saver.put(config, checkpointOf(n, values, { count: n, other: n }), metadata, {
        count: n,
        other: n,
      })
      await saver.putWrites(config, [['count', n]], 'task')
      if (n === 0) continue
      const { count } = await saver.getDeltaChannelHistory({ config, channels: ['count'] })
      expect(count).toEqual({ seed: n === 1 ? 5 : 'a longer text', writes: [['task', 'count', n - 1]] })
    }
  })

  it('runs a graph, forks it, and returns its history', async () => {
    const saver = createCheckpointer()
    const graph = counter(saver, 4)
    const config = { configurable: { thread_id: 't' } }
    expect(await graph.invoke({ done: [] }, config)).toEqual({ done: [0, 1, 2, 3] })
    const history = await all(graph.getStateHistory(config))
    expect(history.map(({ values }) => values.done.length)).toEqual([4, 3, 2, 1, 0, 0])
    const earlier = history.find(({ values }) => values.done.length === 2)
    const fork = await graph.updateState(earlier?.config ?? {}, { done: [9] })
    expect(await graph.invoke(null, fork)).toEqual({ done: [0, 1, 9, 3] })
    expect((await graph.getState(history[0]?.config ?? {})).values).toEqual({ done: [0, 1, 2, 3] })
    const filtered = saver.list(config, { filter: { source: 'update' } })
    expect((await all(filtered)).length).toBe(1)
  })

  it('prune() bounds a thread, and it goes on', async () => {
    const saver = createCheckpointer()
    const config = { configurable: { thread_id: 't' }, recursionLimit: 100 }
    await counter(saver, 40).invoke({ done: [] }, config)
    const before = await all(saver.list(config))
    expect(await saver.prune('t', { keepLast: 5 })).toBe(before.length - 5)
    const kept = await all(saver.list(config))
    expect(kept).toEqual(before.slice(0, 5))
    expect(await counter(saver, 42).invoke({ done: [-1] }, config)).toMatchObject({ done: { length: 42 } })
    await saver.deleteThread('t')
    expect(await saver.getTuple(config)).toBeUndefined()
  })

  it('prune() keeps what a delta channel is made of', async () => {
    const saver = createCheckpointer()
    const State = Annotation.Root({
      done: () => new DeltaChannel<number[], number[]>(addAll, { snapshotFrequency: 8 }),
    })
    const graph = (steps: number) =>
      new StateGraph(State)
        .addNode('step', ({ done }) => ({ done: [done.length] }))
        .addEdge(START, 'step')
        .addConditionalEdges('step', ({ done }) => (done.length < steps ? 'step' : END))
        .compile({ checkpointer: saver })
    const config = { configurable: { thread_id: 't' }, recursionLimit: 100 }
    const whole = Array.from({ length: 21 }, (_, i) => i)
    expect(await graph(21).invoke({ done: [] }, config)).toEqual({ done: whole })
    expect(await saver.prune('t', { keepLast: 2 })).toBeGreaterThan(5)
    expect((await graph(21).getState(config)).values).toEqual({ done: whole })
  })
})

function addAll(before: number[], writes: readonly number[][]): number[] {
  return [...before, ...writes.flat()]
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

it('every method takes one round trip', async () => {
  const url = new URL(await freshPostgres())
  const link = await startLink(Number(url.port), { delayMillis: 10 })
  url.port = String(link.port)
  await using storage = await openStorage({ database: { type: 'postgres', url: url.href, maxConnections: 1 } }, quiet)
  const saver = new HoldfastSaver(storage)
  let config = { configurable: { thread_id: 't' } as { thread_id: string; checkpoint_id?: string } }
  let n = 0
  const put = async () => {
    n++
    const checkpoint = checkpointOf(n, { a: n, b: n }, { a: n, b: n })
    config = await saver.put(config, checkpoint, metadata, { a: n, b: n })
  }
  const thread = { configurable: { thread_id: 't' } }
  const calls = {
    put,
    putWrites: () =>
      saver.putWrites(
        config,
        [
          ['a', 1],
          ['b', 2],
        ],
        'task',
      ),
    'getTuple, latest': () => saver.getTuple(thread),
    'getTuple, by id': () => saver.getTuple(config),
    list: () => all(saver.list(thread, { limit: 10 })),
    prune: () => saver.prune('t', { keepLast: 2 }),
    deleteThread: () => saver.deleteThread('t'),
  }
  expect(await tripsOf(link, calls)).toEqual(Object.fromEntries(Object.keys(calls).map((name) => [name, 1])))
})

it.each(Object.entries(durable))('an agent on %s that is killed while it works goes on', async (_, configure) => {
  const config = await configure()
  const start = () => runScript('test/adapters/programs/count.ts', [JSON.stringify(config)])
  const first = start()
  await first.next((message) => message === 3)
  await first.kill()
  const begun = first.messages.at(-1)
  const second = start()
  expect(await second.exit).toMatchObject({ code: 0 })
  expect(second.messages[0]).toBe(begun) // the step that was under way runs again, and none before it
  expect(second.messages.at(-1)).toEqual([0, 1, 2, 3, 4, 5])
})
