import { AsyncLocalStorage } from 'node:async_hooks'
import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel'
import {
  type Attributes,
  type Context,
  context,
  type MeterProvider,
  metrics,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TracerProvider,
  trace,
} from '@opentelemetry/api'
import { StorageError } from '../errors.ts'
import type {
  BlobMessage,
  CacheMessage,
  MaintenanceMessage,
  OperationMessage,
  StatementMessage,
  TracedMessage,
  TransactionMessage,
} from '../observability/channels.ts'
import { defined, SYSTEMS, sourceAttributes } from './otel-attributes.ts'
import { observeCounters } from './otel-counters.ts'

/** Options of `instrument`. */
export interface InstrumentOptions {
  /** Makes the spans. Default: the global one of `@opentelemetry/api`. */
  tracerProvider?: TracerProvider | undefined
  /** Makes the metrics. Default: the global one of `@opentelemetry/api`. */
  meterProvider?: MeterProvider | undefined
  /**
   * Whether what a call consists of has spans as well: statements with their SQL, reads of a Redis cache, and steps on the
   * bytes of blobs. The SQL has placeholders for all values. Default false.
   */
  statements?: boolean | undefined
}

const SCOPE = 'holdfast'

/** Seconds. The boundaries that the semantic conventions advise. */
const DURATION_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]

/** What a span says at its start. */
interface Description {
  name: string
  kind: SpanKind
  attributes: Attributes
}

/** A span of ours that is under way, and the context that the caller had. */
interface Running {
  span: Span
  caller: Context
}

/**
 * Makes spans and metrics of every storage of the process, those that are opened later included, with the providers of
 * OpenTelemetry. Call it once, after the SDK was started. Returns the function that ends it.
 *
 * @throws {INVALID_INPUT} when an option is not valid
 *
 * @example
 * ```ts
 * import { instrument } from 'holdfast/otel'
 * const end = instrument({ statements: true })
 * await storage.kv.get('theme') // a span `kv.get`, and in it a span `SELECT kv`
 * end()
 * ```
 */
export function instrument(options: InstrumentOptions = {}): () => void {
  const { tracerProvider, meterProvider, statements } = valid(options)
  const tracer = (tracerProvider ?? trace).getTracer(SCOPE)
  const meter = (meterProvider ?? metrics).getMeter(SCOPE)
  const duration = meter.createHistogram('db.client.operation.duration', {
    description: 'Duration of database client operations.',
    unit: 's',
    advice: { explicitBucketBoundaries: DURATION_BUCKETS },
  })
  /** Knows our innermost span, so that a statement is in its operation: only the SDK can change its own context. */
  const innermost = new AsyncLocalStorage<Running>()
  const running = new Map<TracedMessage, Running>()
  const ends: (() => void)[] = []

  const start = (message: TracedMessage, { name, kind, attributes }: Description): Running => {
    const caller = context.active()
    const outer = innermost.getStore()
    // The caller's own span, if it has begun one since, is nearer than ours.
    const isNearest = outer !== undefined && trace.getSpan(outer.caller) === trace.getSpan(caller)
    const parent = isNearest ? trace.setSpan(caller, outer.span) : caller
    const begun = { span: tracer.startSpan(name, { kind, attributes }, parent), caller }
    running.set(message, begun)
    return begun
  }
  const finish = (message: TracedMessage, attributes: Attributes) => {
    const { span } = running.get(message) ?? {}
    running.delete(message)
    span?.setAttributes({ ...attributes, ...failureOf(message) })
    if (message.error !== undefined) span?.setStatus({ code: SpanStatusCode.ERROR }) // a message of ours may name ids
    span?.end()
  }
  const follow = <Message extends TracedMessage>(
    channelName: string,
    describe: (message: Message) => Description,
    atEnd: (message: Message) => Attributes = () => ({}),
  ) => {
    const channel: TracingChannel<unknown, Message> = tracingChannel(channelName)
    // The types of Node want one type for what a store keeps and what is published.
    const begin = channel.start as unknown as BindableChannel<Message>
    const onEnd = (message: unknown) => finish(message as Message, atEnd(message as Message)) // the channel's own messages
    begin.bindStore(innermost, (message) => start(message, describe(message)))
    channel.asyncEnd.subscribe(onEnd)
    ends.push(() => {
      begin.unbindStore(innermost)
      channel.asyncEnd.unsubscribe(onEnd)
    })
  }

  follow<OperationMessage>('holdfast:operation', describeOperation, (message) => {
    const { latencyMs = 0, cache, rows, bytes } = message
    duration.record(latencyMs / 1000, { ...dimensionsOf(message), ...failureOf(message) })
    return defined({ 'holdfast.cache.result': cache, 'holdfast.rows': rows, 'holdfast.bytes': bytes })
  })
  follow<TransactionMessage>('holdfast:transaction', describeTransaction)
  follow<MaintenanceMessage>('holdfast:maintenance', describeStep, ({ removed }) =>
    defined({ 'holdfast.rows': removed }),
  )
  if (statements) {
    follow<StatementMessage>('holdfast:statement', describeStatement, ({ rows }) => defined({ 'holdfast.rows': rows }))
    follow<CacheMessage>('holdfast:cache', describeCacheAccess, ({ result }) =>
      defined({ 'holdfast.cache.result': result }),
    )
    follow<BlobMessage>('holdfast:blob', describeBlobStep, ({ bytes }) => defined({ 'holdfast.bytes': bytes }))
  }
  ends.push(observeCounters(meter))
  return () => {
    for (const end of ends.splice(0)) end()
    for (const { span } of running.values()) span.end() // nobody would end those that are under way
    running.clear()
    innermost.disable()
  }
}

/** The part of a channel that carries a store. */
interface BindableChannel<Message> {
  bindStore(store: AsyncLocalStorage<Running>, transform: (message: Message) => Running): void
  unbindStore(store: AsyncLocalStorage<Running>): void
}

const OPTIONS = ['tracerProvider', 'meterProvider', 'statements']

function valid(options: InstrumentOptions): InstrumentOptions {
  const problems = Object.keys(options)
    .filter((name) => !OPTIONS.includes(name))
    .map((name) => ({ path: `options.${name}`, message: `is unknown: the options are ${OPTIONS.join(', ')}` }))
  const { statements } = options
  if (statements !== undefined && typeof statements !== 'boolean') {
    problems.push({ path: 'options.statements', message: 'must be true or false' })
  }
  const [first] = problems
  if (first === undefined) return options
  throw new StorageError('INVALID_INPUT', `${first.path} ${first.message}`, { details: { problems } })
}

/** Returns CLIENT for a database or Redis. What stays in the process is no call of a client. */
function kindOf(system: string): SpanKind {
  return system in SYSTEMS ? SpanKind.CLIENT : SpanKind.INTERNAL
}

/** Returns the attributes that an operation has in common with its metric. */
function dimensionsOf({ tables: [table], method, ...source }: OperationMessage): Attributes {
  return { ...sourceAttributes(source), ...defined({ 'db.collection.name': table }), 'db.operation.name': method }
}

function describeOperation(message: OperationMessage): Description {
  const { repository, method, batchSize = 0, database } = message
  const attributes = dimensionsOf(message)
  if (batchSize > 1) attributes['db.operation.batch.size'] = batchSize // the conventions call one item no batch
  return { name: `${repository}.${method}`, kind: kindOf(database), attributes }
}

function describeTransaction(message: TransactionMessage): Description {
  return { name: 'transaction', kind: SpanKind.CLIENT, attributes: sourceAttributes(message) }
}

function describeStep({ step }: MaintenanceMessage): Description {
  return { name: `maintenance.${step}`, kind: SpanKind.INTERNAL, attributes: {} }
}

function describeStatement({ operation, table, sql, statements, ...source }: StatementMessage): Description {
  const attributes = {
    ...sourceAttributes(source),
    ...defined({ 'db.collection.name': table }),
    'db.operation.name': operation,
    'db.query.text': sql,
    ...(statements > 1 && { 'db.operation.batch.size': statements }),
  }
  return { name: table === undefined ? operation : `${operation} ${table}`, kind: SpanKind.CLIENT, attributes }
}

function describeCacheAccess({ store, method, table }: CacheMessage): Description {
  const attributes = {
    ...sourceAttributes({ database: store }),
    'db.operation.name': method,
    'db.collection.name': table,
  }
  return { name: `cache.${method}`, kind: kindOf(store), attributes }
}

function describeBlobStep({ store, method }: BlobMessage): Description {
  return { name: `blob.${method}`, kind: SpanKind.INTERNAL, attributes: { 'holdfast.blob.store': store } }
}

function failureOf({ error }: TracedMessage): Attributes {
  return defined({ 'error.type': error?.code, 'db.response.status_code': error?.statusCode })
}
