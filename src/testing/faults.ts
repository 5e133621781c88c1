import { setTimeout as sleep } from 'node:timers/promises'

/** A call of a storage: 'messages.append', 'blobs.put'; of the `tx` of a transaction: 'transaction.messages.append'. */
export interface FaultyCall {
  readonly name: string
  readonly args: readonly unknown[]
}

/** How a call goes wrong. */
export interface Fault {
  /** Waits first. */
  delayMillis?: number
  /** Rejects with this, and nothing was done. */
  before?: unknown
  /** Does everything, then rejects with this: the answer is lost, as when a connection breaks behind a commit. */
  after?: unknown
}

/**
 * The same storage (or bytes backend), whose calls go wrong as `choose` says: to see what a program does about it. Where
 * it says nothing a call goes on as ever. The storage itself is as it was, and may be used beside this one.
 */
export function withFaults<T extends object>(target: T, choose: (call: FaultyCall) => Fault | undefined): T {
  return faulty(target, choose, '')
}

function faulty<T extends object>(target: T, choose: (call: FaultyCall) => Fault | undefined, prefix: string): T {
  return new Proxy(target, {
    get(_, key) {
      const value: unknown = Reflect.get(target, key)
      if (typeof value === 'function') {
        const method = value.bind(target) // a class finds its private fields only on itself
        if (typeof key === 'symbol') return method
        const name = prefix + key
        return (...args: unknown[]) => {
          const fault = choose({ name, args })
          const given = key === 'transaction' ? args.map((body) => inside(body, choose, `${name}.`)) : args
          if (fault === undefined) return method(...given)
          return value instanceof AsyncGeneratorFunction
            ? failingEach(fault, method, given)
            : failing(fault, method, given)
        }
      }
      return isPart(value) ? faulty(value, choose, `${prefix}${String(key)}.`) : value
    },
  })
}

type Method = (...args: unknown[]) => unknown

// There is no global of this name.
const AsyncGeneratorFunction = Object.getPrototypeOf(async function* () {}).constructor

async function failing(fault: Fault, method: Method, args: unknown[]): Promise<unknown> {
  await begin(fault)
  const result = await method(...args)
  if ('after' in fault) throw fault.after
  return result
}

async function* failingEach(fault: Fault, method: Method, args: unknown[]): AsyncGenerator<unknown> {
  await begin(fault)
  yield* method(...args) as AsyncIterable<unknown> // an async generator was called
  if ('after' in fault) throw fault.after
}

async function begin(fault: Fault): Promise<void> {
  if (fault.delayMillis !== undefined) await sleep(fault.delayMillis)
  if ('before' in fault) throw fault.before
}

/** The body of a transaction, given a faulty `tx`. */
function inside(body: unknown, choose: (call: FaultyCall) => Fault | undefined, prefix: string): unknown {
  return typeof body === 'function' ? (tx: object) => body(faulty(tx, choose, prefix)) : body
}

/** A repository, not plain data such as the configuration. */
function isPart(value: unknown): value is object {
  return value instanceof Object && !Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype
}
