import { asOperation, type DatabaseSource, type OperationMessage, operations, traced, withEnd } from './channels.ts'

/** What is observed of the calls of a storage. */
export interface Observer {
  readonly source: DatabaseSource
  /** Receives the message of each call that has taken `millis` or longer. */
  readonly slow?: { readonly millis: number; report(message: OperationMessage): void } | undefined
}

/** What the messages say about the calls of a class. */
export interface Observable {
  readonly repository: string
  readonly tables: readonly string[]
  /** By method, the index of the argument with the items of a batch. */
  readonly batches?: Readonly<Record<string, number>>
  /** Methods that do nothing but return another object of the class. */
  readonly opens?: readonly string[]
}

type Method = (...args: unknown[]) => unknown

/**
 * Returns an object with the public methods of `target`, which it calls. While somebody listens, each call from outside is an
 * operation. The calls that the methods make of each other are not. The class of such objects is made once: a scope
 * and a transaction make fourteen of them.
 */
export function observed<T extends object>(target: T, description: Observable, observer: Observer): T {
  const prototype = Object.getPrototypeOf(target)
  let Facade = facades.get(prototype)
  if (Facade === undefined) {
    Facade = facadeOf(prototype, description)
    facades.set(prototype, Facade)
  }
  return new Facade(target, observer) as T // it has the methods of T, and T has no public fields
}

type Facade = new (target: object, observer: Observer) => object

const facades = new WeakMap<object, Facade>()

function facadeOf(prototype: object, description: Observable): Facade {
  const { repository, tables, batches = {}, opens = [] } = description
  class Observed {
    readonly #target: object
    readonly #observer: Observer

    constructor(target: object, observer: Observer) {
      this.#target = target
      this.#observer = observer
    }

    static {
      for (const [name, method] of methodsOf(prototype)) {
        const isGenerator = Object.getPrototypeOf(method) === asyncGeneratorFunction
        const value = function (this: Observed, ...args: unknown[]): unknown {
          if (opens.includes(name)) {
            return observed(method.apply(this.#target, args) as object, description, this.#observer) // says `opens`
          }
          if (!operations.hasSubscribers && this.#observer.slow === undefined) return method.apply(this.#target, args)
          const batchSize = sizeOf(args[batches[name] ?? args.length])
          const message = {
            repository,
            method: name,
            ...this.#observer.source,
            tables,
            ...(batchSize && { batchSize }),
          }
          return observe(this.#observer, message, () => method.apply(this.#target, args), isGenerator)
        }
        // The copy of an async generator function is recognised as one.
        Object.setPrototypeOf(value, Object.getPrototypeOf(method))
        Object.defineProperty(value, 'name', { value: name })
        Object.defineProperty(Observed.prototype, name, { value, writable: true, configurable: true })
      }
    }
  }
  Object.defineProperty(Observed, 'name', { value: prototype.constructor.name })
  return Observed
}

/** Returns the public methods of a class, those that it inherits included. */
function methodsOf(prototype: object): Map<string, Method> {
  const methods = new Map<string, Method>()
  for (let at = prototype; at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) {
      const method: unknown = Reflect.get(at, name)
      if (name !== 'constructor' && typeof method === 'function' && !methods.has(name)) {
        methods.set(name, method as Method) // any function is called with the arguments that the caller has given
      }
    }
  }
  return methods
}

/** Calls that are no operations: one lasts as long as somebody takes what it yields, and maintenance alone makes the others. */
const UNOBSERVED = new Set(['events.follow', 'sessions.sweepExpired', 'kv.sweepExpired'])

// JavaScript has no global of this name.
const asyncGeneratorFunction: object = Object.getPrototypeOf(async function* () {})

function observe(observer: Observer, message: OperationMessage, work: () => unknown, isGenerator: boolean): unknown {
  if (UNOBSERVED.has(`${message.repository}.${message.method}`)) return work()
  // An async generator function returns an async iterable.
  if (isGenerator) return observedSteps(observer, message, work as () => AsyncIterable<unknown>)
  return observedWork(observer, message, work)
}

async function observedWork(observer: Observer, message: OperationMessage, work: () => unknown): Promise<unknown> {
  const run = operations.hasSubscribers ? () => asOperation(message, work) : work
  try {
    return await traced(operations, message, run, (result) => noteResult(message, result))
  } finally {
    reportSlow(observer, message)
  }
}

/** Yields what an iteration yields. What the caller does between two steps is not part of its latency. */
function observedSteps(
  observer: Observer,
  message: OperationMessage,
  iterate: () => AsyncIterable<unknown>,
): AsyncGenerator<unknown> {
  return withEnd(async function* (ended, end) {
    let latencyMs = 0
    let rows = 0
    const published = traced(operations, message, () => ended).catch(() => {}) // the caller gets the error
    let outcome = Promise.resolve()
    const items = iterate()[Symbol.asyncIterator]()
    try {
      for (;;) {
        const begun = performance.now()
        const next = await items.next().finally(() => {
          latencyMs += performance.now() - begun
        })
        if (!next.done) rows++
        Object.assign(message, { rows, latencyMs })
        if (next.done) return
        yield next.value
      }
    } catch (error) {
      message.latencyMs = latencyMs
      outcome = Promise.reject(error)
      throw error
    } finally {
      end(outcome)
      await published
      reportSlow(observer, message)
      await items.return?.()
    }
  })
}

function reportSlow({ slow }: Observer, message: OperationMessage): void {
  if (slow !== undefined && (message.latencyMs ?? 0) >= slow.millis) slow.report(message)
}

/** Notes how much a result is: the rows of a list, a page or a map, or one row. Other results are no rows. */
function noteResult(message: OperationMessage, result: unknown): void {
  if (result === undefined) message.rows = 0
  if (typeof result !== 'object' || result === null) return
  if (ArrayBuffer.isView(result)) message.bytes = result.byteLength
  else message.rows = sizeOf(result) ?? sizeOf(Reflect.get(result, 'items')) ?? 1
  if (message.repository === 'blobs' && 'size' in result && typeof result.size === 'number') message.bytes = result.size
}

function sizeOf(items: unknown): number | undefined {
  if (Array.isArray(items)) return items.length
  return items instanceof Map ? items.size : undefined
}

/** Runs a call that is no method of a repository. While somebody listens, it is an operation. */
export function observedCall<T>(
  observer: Observer,
  { repository, tables }: Observable,
  method: string,
  work: () => Promise<T>,
): Promise<T> {
  if (!operations.hasSubscribers && observer.slow === undefined) return work()
  const message: OperationMessage = { repository, method, ...observer.source, tables }
  return observedWork(observer, message, work) as Promise<T> // it returns what work returns
}
