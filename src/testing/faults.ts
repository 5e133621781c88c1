import { setTimeout as sleep } from 'node:timers/promises'
import type { Staged } from '../blobs/bytes/backend.ts'

/** A call for which a fault may be chosen. */
export interface FaultyCall {
  /**
   * Such as 'messages.append' or 'blobs.put', also in a scope. For the `tx` of a transaction, such as
   * 'transaction.messages.append'. For what a bytes backend has staged, 'stage.commit' or 'stage.discard'.
   */
  readonly name: string
  readonly args: readonly unknown[]
}

/** How a call fails. */
export interface Fault {
  /** Waits this many milliseconds first. */
  delayMillis?: number
  /** Rejects with this value before anything is done. */
  before?: unknown
  /** Does everything, then rejects with this value: the answer is lost, as if the connection broke after the commit. */
  after?: unknown
}

/**
 * Returns a view of a storage (or of a bytes backend) whose calls fail as `choose` says, to test how a program handles
 * failures. If `choose` returns undefined, the call runs as usual. The storage itself is unchanged, and may be used beside
 * the view.
 *
 * @example
 * ```ts
 * import { withFaults } from 'holdfast/testing'
 * const lost = new Error('The connection was lost')
 * const faulty = withFaults(storage, ({ name }) => (name === 'kv.set' ? { after: lost } : undefined))
 * await faulty.kv.set('city', 'Oslo').catch((error) => console.log(error.message)) // The connection was lost
 * console.log(await storage.kv.get('city')) // Oslo
 * ```
 */
export function withFaults<T extends object>(target: T, choose: (call: FaultyCall) => Fault | undefined): T {
  return faulty(target, choose, '')
}

function faulty<T extends object>(target: T, choose: (call: FaultyCall) => Fault | undefined, prefix: string): T {
  const isBytes = prefix === '' && 'stage' in target // others have methods of these names that do something else
  return new Proxy(target, {
    get(_, key) {
      const value: unknown = Reflect.get(target, key)
      if (typeof value === 'function') {
        const method = value.bind(target) // private fields exist on the target alone, not on the proxy
        if (typeof key === 'symbol') return method
        // It does nothing that could fail: the calls of the scope may.
        if (key === 'scope') return (options: unknown) => faulty(method(options), choose, prefix)
        const name = prefix + key
        const given = (args: unknown[]) =>
          key === 'transaction' ? args.map((body) => faultyBody(body, choose, `${name}.`)) : args
        if (value instanceof AsyncGeneratorFunction || (isBytes && ITERATED.has(name))) {
          return async function* (...args: unknown[]) {
            const fault = choose({ name, args }) ?? {}
            yield* iterateWithFault(fault, method, args)
          }
        }
        return (...args: unknown[]) => {
          const fault = choose({ name, args })
          if (isBytes && name === 'path') return pathWithFault(fault, method, args)
          const result = fault === undefined ? method(...given(args)) : callWithFault(fault, method, given(args))
          return isBytes && name === 'stage' ? faultyStaged(result, choose) : result
        }
      }
      return isRepository(value) ? faulty(value, choose, `${prefix}${String(key)}.`) : value
    },
  })
}

/** A timer that is given more ends at once. */
export const LONGEST_DELAY_MILLIS = 2 ** 31 - 1

/** Methods of a bytes backend that return an iterable, whatever kind of function they are. */
const ITERATED = new Set(['open', 'list', 'quarantined'])

type Method = (...args: unknown[]) => unknown

// JavaScript has no global of this name.
const AsyncGeneratorFunction = Object.getPrototypeOf(async function* () {}).constructor

async function callWithFault(fault: Fault, method: Method, args: unknown[]): Promise<unknown> {
  await delayOrFail(fault)
  const result = await method(...args)
  if ('after' in fault) throw fault.after
  return result
}

/** Returns the path of a bytes backend, or fails, at once. */
function pathWithFault(fault: Fault | undefined, method: Method, args: unknown[]): unknown {
  if (fault && 'before' in fault) throw fault.before
  const path = method(...args)
  if (fault && 'after' in fault) throw fault.after
  return path
}

/** Returns what a bytes backend has staged, so that `commit` and `discard` fail as well. */
async function faultyStaged(result: unknown, choose: (call: FaultyCall) => Fault | undefined): Promise<unknown> {
  const staged = (await result) as Staged // it is what stage() of a backend returns
  const { hash, size, head } = staged
  const calls: Pick<Staged, 'commit' | 'discard'> = {
    commit: (generation, options) => staged.commit(generation, options),
    discard: () => staged.discard(),
  }
  const { commit, discard } = faulty(calls, choose, 'stage.')
  return { hash, size, head, commit, discard }
}

async function* iterateWithFault(fault: Fault, method: Method, args: unknown[]): AsyncGenerator<unknown> {
  await delayOrFail(fault)
  yield* method(...args) as AsyncIterable<unknown> // the caller has checked that it returns an iterable
  if ('after' in fault) throw fault.after
}

async function delayOrFail(fault: Fault): Promise<void> {
  const { delayMillis = 0 } = fault
  if (!(delayMillis >= 0 && delayMillis <= LONGEST_DELAY_MILLIS)) {
    throw new RangeError(`delayMillis of a fault is ${delayMillis}: it must be from 0 to ${LONGEST_DELAY_MILLIS}`)
  }
  if (delayMillis > 0) await sleep(delayMillis)
  if ('before' in fault) throw fault.before
}

/** Returns the body of a transaction so that it gets a faulty `tx`. */
function faultyBody(body: unknown, choose: (call: FaultyCall) => Fault | undefined, prefix: string): unknown {
  return typeof body === 'function' ? (tx: object) => body(faulty(tx, choose, prefix)) : body
}

/** Returns true for a repository or the blobs, and false for plain data such as the configuration. */
function isRepository(value: unknown): value is object {
  return value instanceof Object && !Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype
}
