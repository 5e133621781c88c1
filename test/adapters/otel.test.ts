import { join } from 'node:path'
import { context, type Span, SpanKind, SpanStatusCode } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base'
import { openStorage, type Storage } from 'holdfast'
import { type InstrumentOptions, instrument } from 'holdfast/otel'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { pageText } from '../docs/pages.ts'
import { blobCalls, cacheCalls, MARK, repositoryCalls, storageCalls } from '../observability/every-call.ts'
import { freshDirectory, freshPostgres, redisPrefix, redisUrl } from '../setup/databases.ts'
import { collectGarbage } from '../setup/garbage.ts'
import { quiet, silent } from '../setup/silent.ts'

const spans = new InMemorySpanExporter()
const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] })
const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })
const meterProvider = new MeterProvider({ readers: [reader] })
const tracer = tracerProvider.getTracer('the program')

beforeAll(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
})
afterAll(async () => {
  context.disable()
  await Promise.all([meterProvider.shutdown(), tracerProvider.shutdown()])
})

let end = () => {}
afterEach(() => {
  end()
  spans.reset()
})

function begin(options: InstrumentOptions = {}): void {
  end = instrument({ tracerProvider, meterProvider, ...options })
}

/** Returns the finished spans of a name. */
const named = (name: string) => spans.getFinishedSpans().filter((span) => span.name === name)

/** Runs `work` in a span of the program, and returns the span. */
async function inSpan(name: string, work: () => Promise<unknown>): Promise<Span> {
  return tracer.startActiveSpan(name, async (span) => {
    await work().catch(() => {})
    span.end()
    return span
  })
}

const parentOf = (span: ReadableSpan | undefined) => span?.parentSpanContext?.spanId

const sqlite = async (): Promise<Storage> => {
  const directory = freshDirectory()
  const database = { type: 'sqlite', path: join(directory, 'agent.db'), options: { search: true } } as const
  return openStorage({ database, blobStore: { type: 'local', storePath: join(directory, 'blobs') } }, quiet)
}

const postgres = async (): Promise<Storage> =>
  openStorage(
    {
      database: { type: 'postgres', url: await freshPostgres(), options: { search: true } },
      cache: { type: 'redis', url: redisUrl(), options: { keyPrefix: redisPrefix() } },
    },
    quiet,
  )

describe('spans', () => {
  it('a call is a CLIENT span under the span of the caller', async () => {
    await using storage = await sqlite()
    begin()
    const message = { role: 'user', content: 'Hello' }
    const caller = await inSpan('request', () => storage.messages.append('chat', [message, message]))
    const [span, ...others] = named('messages.append')
    expect(others).toEqual([])
    expect(span).toMatchObject({ kind: SpanKind.CLIENT, status: { code: SpanStatusCode.UNSET } })
    expect(parentOf(span)).toBe(caller.spanContext().spanId)
    expect(span?.attributes).toEqual({
      'db.system.name': 'sqlite',
      'db.namespace': 'agent.db',
      'db.collection.name': 'messages',
      'db.operation.name': 'append',
      'db.operation.batch.size': 2,
      'holdfast.rows': 2,
    })
    expect(spans.getFinishedSpans().map(({ name }) => name)).toEqual(['messages.append', 'request'])
  })

  it('a turn of an agent is the calls that it makes, each under the span of the turn', async () => {
    await using storage = await postgres()
    begin()
    const { toolExecutions, approvals } = storage
    const turn = await inSpan('turn', async () => {
      await storage.messages.append('chat', { role: 'user', content: 'Delete the file, please.' })
      await storage.messages.latest('chat', 20)
      await storage.memories.list()
      await approvals.request({ id: 'a1', sessionId: 'chat', type: 'tool', request: { path: 'x' } })
      await approvals.respond({ id: 'a1', decision: 'approved' })
      const identity = { runId: 'r1', turnId: 't1', modelStepId: 's1', toolCallId: 'c1' }
      const { record } = await toolExecutions.start({ identity, toolName: 'delete', input: { path: 'x' } })
      await toolExecutions.complete(record.executionId, { deleted: 1 })
      await storage.events.append([{ type: 'turn.ended', sessionId: 'chat', runId: 'r1' }])
      await storage.transaction(async (tx) => {
        await tx.messages.append('chat', { role: 'assistant', content: 'Done.' })
        await tx.kv.set('last', { turn: 1 })
      })
    })
    const inTurn = spans.getFinishedSpans().filter(({ name }) => name !== 'turn')
    const { spanId, traceId } = turn.spanContext()
    const transaction = inTurn.find(({ name }) => name === 'transaction')?.spanContext().spanId
    const [first, second] = [spanId, transaction]
    expect(inTurn.map((span) => [span.name, span.kind, span.spanContext().traceId, parentOf(span)])).toEqual(
      [
        ['messages.append', first],
        ['messages.latest', first],
        ['memories.list', first],
        ['approvals.request', first],
        ['approvals.respond', first],
        ['toolExecutions.start', first],
        ['toolExecutions.complete', first],
        ['events.append', first],
        ['messages.append', second],
        ['kv.set', second],
        ['transaction', first],
      ].map(([name, parent]) => [name, SpanKind.CLIENT, traceId, parent]),
    )
    expect(new Set(inTurn.map(({ attributes }) => attributes['db.system.name']))).toEqual(new Set(['postgresql']))
  })

  it('a call that fails has the code of the error, and not its message', async () => {
    await using storage = await postgres()
    begin({ statements: true })
    await storage.sessions.update('secret', { title: 'x' }).catch(() => {})
    const [span] = named('sessions.update')
    expect(span).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { 'db.system.name': 'postgresql', 'error.type': 'NOT_FOUND' },
      events: [],
    })
    expect(span?.status.message).toBeUndefined()
    const message = { id: 'm1', role: 'user', content: 'x' }
    await storage.messages.append('chat', message)
    await storage.messages.append('chat', [message], { operationId: 'o1' }) // a batch of two statements
    const refused = named('INSERT sessions').filter(({ status }) => status.code === SpanStatusCode.ERROR)
    expect(refused).toMatchObject([
      {
        attributes: {
          'error.type': 'ALREADY_EXISTS',
          'db.response.status_code': '23505',
          'db.operation.batch.size': 3,
        },
      },
    ])
  })

  it('the calls of a transaction are in its span, and in a span that its body has begun', async () => {
    await using storage = await sqlite()
    begin()
    let inner: Span | undefined
    const caller = await inSpan('request', () =>
      storage.transaction(async (tx) => {
        await tx.kv.set('a', 1)
        inner = await inSpan('step', () => tx.kv.get('a'))
      }),
    )
    const [transaction] = named('transaction')
    expect(parentOf(transaction)).toBe(caller.spanContext().spanId)
    expect(parentOf(named('kv.set')[0])).toBe(transaction?.spanContext().spanId)
    expect(parentOf(named('kv.get')[0])).toBe(inner?.spanContext().spanId)
  })

  it('with statements: true a call has its statements, its reads of Redis and the steps of its blob in it', async () => {
    await using storage = await postgres()
    begin({ statements: true })
    await storage.kv.set('a', 1)
    spans.reset()
    await storage.kv.get('a')
    const [operation] = named('kv.get')
    const [read] = named('cache.read')
    const [select] = named('SELECT kv')
    expect(operation?.attributes).toMatchObject({ 'holdfast.cache.result': 'miss' })
    expect(read).toMatchObject({
      kind: SpanKind.CLIENT,
      attributes: { 'db.system.name': 'redis', 'db.collection.name': 'kv' },
    })
    expect([parentOf(read), parentOf(select)]).toEqual([operation?.spanContext().spanId, read?.spanContext().spanId])
    expect(select?.attributes).toMatchObject({ 'db.query.text': expect.stringContaining('$1') })
    await storage.blobs.put(Buffer.from('hello'))
    expect(parentOf(named('blob.stage')[0])).toBe(named('blobs.put')[0]?.spanContext().spanId)
    await storage.cache.get('a')
    expect(named('cache.get')[0]?.attributes).toMatchObject({ 'db.system.name': 'redis', 'db.operation.name': 'get' })
  })

  it('the function that ends it ends the spans under way, and no span follows', async () => {
    await using storage = await sqlite()
    begin()
    await storage.transaction(async () => end())
    await storage.kv.get('a')
    expect(spans.getFinishedSpans().map(({ name }) => name)).toEqual(['transaction'])
  })

  it('an iteration and a stream that the program drops halfway end their spans when they are garbage', async () => {
    await using storage = await openStorage({}, quiet)
    const message = { role: 'user', content: 'Hello' }
    await storage.messages.append('chat', [message, message])
    const { uri } = await storage.blobs.put(Buffer.alloc(1_000_000))
    begin({ statements: true })
    await (async () => {
      await storage.messages.iterate('chat')[Symbol.asyncIterator]().next()
      ;(await storage.blobs.stream(uri)).read(0)
    })()
    await vi.waitFor(() => {
      collectGarbage()
      expect([...named('messages.iterate'), ...named('blob.open')]).toMatchObject([
        { status: { code: SpanStatusCode.UNSET }, attributes: { 'holdfast.rows': 1 } },
        { status: { code: SpanStatusCode.UNSET } },
      ])
    }, 20_000)
  })

  it('what works in the background is in no span of the request that has opened the storage', async () => {
    begin()
    const { setInterval: start } = globalThis
    const timers = vi.spyOn(globalThis, 'setInterval').mockImplementation((run) => start(run, 50)) // instead of a minute
    let opened: Promise<Storage> | undefined
    const database = { type: 'sqlite', path: join(freshDirectory(), 'agent.db') } as const
    const request = await inSpan('request', async () => {
      opened = openStorage({ database }, { logger: silent })
      await opened
    })
    timers.mockRestore()
    await using _ = await (opened ?? expect.fail())
    await vi.waitFor(() => expect(named('maintenance.expired-keys')).not.toEqual([]), 20_000)
    for (const step of named('maintenance.expired-keys')) {
      expect(step.spanContext().traceId).not.toBe(request.spanContext().traceId)
    }
  })

  it('rejects an option that it does not know', () => {
    const wrong = { statement: true } as InstrumentOptions // what a program in JavaScript may write
    expect(() => instrument(wrong)).toThrow(/options.statement is unknown/)
    expect(() => instrument({ statements: 1 } as never)).toThrow(/options.statements must be true or false/)
  })
})

/** Collects the metrics. Returns their data points by name. */
async function collected(): Promise<
  Map<string, { unit: string; points: readonly { attributes: object; value: unknown }[] }>
> {
  exporter.reset()
  await reader.forceFlush()
  const all = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
  return new Map(
    all.map(({ descriptor, dataPoints }) => [descriptor.name, { unit: descriptor.unit, points: dataPoints }]),
  )
}

it('metrics have the duration of the calls, and the counters of the process', async () => {
  await using storage = await sqlite()
  await using other = await postgres()
  begin()
  await Promise.all([storage.kv.set('a', 1), storage.kv.set('b', 1)])
  await storage.kv.get('a')
  await storage.kv.get('a')
  await storage.sessions.update('none', { title: 'x' }).catch(() => {})
  const { uri } = await storage.blobs.put(Buffer.from('hello'))
  await storage.blobs.text(uri)
  await other.kv.get('a')
  const metrics = await collected()
  const source = { 'db.system.name': 'sqlite', 'db.namespace': 'agent.db' }
  const durations = metrics.get('db.client.operation.duration')
  expect(durations?.unit).toBe('s')
  const operation = { ...source, 'db.collection.name': 'kv', 'db.operation.name': 'get' }
  expect(durations?.points).toContainEqual(
    expect.objectContaining({ attributes: operation, value: expect.objectContaining({ count: expect.any(Number) }) }),
  )
  expect(durations?.points).toContainEqual(
    expect.objectContaining({ attributes: expect.objectContaining({ 'error.type': 'NOT_FOUND' }) }),
  )
  // The counters are those of the process: other tests have counted as well.
  const value = (name: string, attributes: object) =>
    Number(
      metrics.get(name)?.points.find((point) => JSON.stringify(point.attributes) === JSON.stringify(attributes))?.value,
    )
  expect(value('holdfast.cache.requests', { ...source, 'holdfast.cache.result': 'hit' })).toBeGreaterThanOrEqual(1)
  expect(value('holdfast.cache.requests', { ...source, 'holdfast.cache.result': 'miss' })).toBeGreaterThanOrEqual(1)
  expect(value('holdfast.write_queue.wait', source)).toBeGreaterThan(0)
  expect(value('holdfast.blob.bytes', { ...source, 'holdfast.blob.direction': 'write' })).toBeGreaterThanOrEqual(5)
  expect(value('holdfast.blob.bytes', { ...source, 'holdfast.blob.direction': 'read' })).toBeGreaterThanOrEqual(5)
  expect(metrics.get('holdfast.pool.pending')?.points).toContainEqual(expect.objectContaining({ value: 0 }))
})

it('no span and no metric has a part of an argument, and docs/observability.md has every attribute and metric', async () => {
  begin({ statements: true })
  const attributes = new Set<string>()
  for (const open of [sqlite, postgres]) {
    await using storage = await open()
    const calls = { ...repositoryCalls, ...blobCalls, ...cacheCalls, ...storageCalls }
    for (const call of Object.values(calls)) await (async () => call(storage as never))().catch(() => {})
  }
  const finished = spans.getFinishedSpans()
  const texts = finished.map(({ name, attributes, events, status, links }) => ({
    name,
    attributes,
    events,
    status,
    links,
  }))
  expect(finished.length).toBeGreaterThan(500)
  expect(JSON.stringify(texts)).not.toContain(MARK)
  const metrics = await collected()
  expect(JSON.stringify([...metrics])).not.toContain(MARK)

  for (const span of finished) for (const name of Object.keys(span.attributes)) attributes.add(name)
  for (const { points } of metrics.values())
    for (const point of points) for (const name of Object.keys(point.attributes)) attributes.add(name)
  const page = pageText('docs/observability.md')
  const rows = (pattern: RegExp) => Array.from(page.matchAll(pattern), ([, name]) => name).sort()
  expect(rows(/^\| `((?:db|error|holdfast)\.[\w.]+)` \| (?:span|metric)/gm)).toEqual([...attributes].sort())
  const emitted = Array.from(metrics, ([name, { unit }]) => `${name} ${unit}`).sort()
  const table = Array.from(
    page.matchAll(/^\| `([\w.]+)` \| `([^`]+)` \|/gm),
    ([, name, unit]) => `${name} ${unit}`,
  ).sort()
  expect(table).toEqual(emitted)
})
