import { join } from 'node:path'
import { inspect } from 'node:util'
import { isStorageError, openStorage, type StorageConfig } from 'holdfast'
import { describe, expect, it } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { blobCalls, cacheCalls, MARK, repositoryCalls, storageCalls } from './every-call.ts'

/** What the details of an error name on purpose, so that a program can act: see `StorageErrorDetails`. */
const NAMED = new Set(['id', 'key', 'sessionId', 'path', 'executionId', 'uri'])

/**
 * Returns an error as text: its message, its details and its stack, without what the details name on purpose, and without the
 * paths of problems, which lead to a property of an argument.
 */
function told(error: Error): string {
  const details = isStorageError(error) ? error.details : {}
  const rest = Object.fromEntries(Object.entries(details).filter(([name]) => !NAMED.has(name)))
  const text = `${error.message} ${error.stack} ${JSON.stringify(rest)}`
  const paths = isStorageError(error, 'INVALID_INPUT') ? error.details.problems.map(({ path }) => path) : []
  return paths.reduce((left, path) => left.replaceAll(path, 'path'), text)
}

/** Returns copies of a value, in each of which one text is not valid: no text may have a NUL. */
function spoiled(value: unknown): unknown[] {
  if (typeof value === 'string') return [`${value}\0`]
  if (Array.isArray(value)) {
    return value.flatMap((item, i) => spoiled(item).map((wrong) => value.with(i, wrong)))
  }
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return []
  return Object.entries(value).flatMap(([name, item]) => spoiled(item).map((wrong) => ({ ...value, [name]: wrong })))
}

/** Returns a view of a storage that makes each call with each text spoiled before it makes the call itself. */
function spoiling<T extends object>(target: T, heard: (error: unknown) => void): T {
  return new Proxy(target, {
    get(_, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value === 'object' && value !== null) return spoiling(value, heard)
      if (typeof value !== 'function') return value
      return async (...args: unknown[]) => {
        for (const wrong of spoiled(args)) await settled(() => value.apply(target, wrong as unknown[]), heard)
        return value.apply(target, args)
      }
    },
  })
}

async function settled(call: () => unknown, heard: (error: unknown) => void): Promise<void> {
  try {
    const result = await call()
    // An iteration begins with its first step.
    if (typeof result === 'object' && result !== null && 'next' in result)
      await (result as AsyncIterator<unknown>).next()
  } catch (error) {
    heard(error)
  }
}

const databases: [name: string, database: () => Promise<StorageConfig['database']>][] = [
  ['sqlite', async () => ({ type: 'sqlite', path: join(freshDirectory(), 'agent.db'), options: { search: true } })],
  ['postgres', async () => ({ type: 'postgres', url: await freshPostgres(), options: { search: true } })],
]

describe.each(databases)('on %s', (_, configure) => {
  it('no log line and no error has a part of an argument, but for the ids that the details of an error name', async () => {
    const lines: unknown[] = []
    const log = (...line: unknown[]) => void lines.push(line)
    const logger = { info: log, warn: log, error: log }
    const options = { logger, maintenance: false, slowOperationMillis: 1 }
    await using storage = await openStorage({ database: await configure() }, options)
    const errors: Error[] = []
    const heard = (error: unknown) => void (error instanceof Error && errors.push(error))
    const calls = { ...repositoryCalls, ...blobCalls, ...cacheCalls }
    // `iterate` and `follow` are awaited by `for await`, which a view with promises cannot be given.
    for (const [name, call] of Object.entries(calls)) {
      const isIteration = ['messages.iterate', 'events.follow'].includes(name)
      await settled(() => call(isIteration ? storage : spoiling(storage, heard)), heard)
    }
    for (const [name, call] of Object.entries(storageCalls)) {
      if (name !== 'storage.transaction that fails') await settled(() => call(storage), heard) // its error is the program's
    }
    expect(lines.length).toBeGreaterThan(10)
    expect(inspect(lines, { depth: 10 })).not.toContain(MARK)
    const codes = new Set(errors.map((error) => (isStorageError(error) ? error.code : error.name)))
    expect([...codes].sort()).toEqual(
      expect.arrayContaining(['ALREADY_EXISTS', 'INVALID_INPUT', 'INVALID_STATE', 'NOT_FOUND', 'VERSION_CONFLICT']),
    )
    expect(errors.length).toBeGreaterThan(150)
    expect(errors.map(told).filter((text) => text.includes(MARK))).toEqual([])
  })
})
