import { AsyncResource } from 'node:async_hooks'

const outside = new AsyncResource('holdfast.background')

/**
 * Runs work outside of the call that begins it, such as the request that has opened the storage: a span of what works in the
 * background belongs to no request, and no transaction stays in memory.
 */
export function inBackground<T>(work: () => T): T {
  return outside.runInAsyncScope(work)
}
