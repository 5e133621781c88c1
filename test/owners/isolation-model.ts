import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { isStorageError, openStorage, type Storage } from 'holdfast'
import { silent } from '../setup/silent.ts'
import { type Arguments, calls, type Handle } from './isolation-calls.ts'

// Each owner must get the answers that a storage of their own would give, whatever the others do in the shared one.

const OWNERS = ['ada', 'bob'] as const
export type Actor = (typeof OWNERS)[number] | 'nobody'

/** Generates steps that make some of the calls. */
export function stepOf(names: readonly string[]) {
  return fc.record({
    actor: fc.constantFrom<Actor>('ada', 'bob', 'ada', 'bob', 'nobody'),
    call: fc.constantFrom(...names),
    session: fc.constantFrom('s', 't'),
    key: fc.constantFrom('a', 'b', 'c'),
    n: fc.nat({ max: 11 }),
  })
}

export const step = stepOf(Object.keys(calls))

const now = () => new Date('2100-01-01')
/** The databases of both have it. */
export const search = { options: { search: true } }
export const options = { now, logger: silent, maintenance: false }

/** Returns an answer, or the code of the error, as text without what tells one storage from another. */
async function answerOf(call: Promise<unknown>): Promise<unknown> {
  try {
    const answer: unknown = JSON.parse(JSON.stringify((await call) ?? null))
    return stripped(answer)
  } catch (error) {
    if (isStorageError(error)) return error.code
    throw error
  }
}

/** Removes the owner, which the storage of one owner does not have, and cursors, which hold it. */
function stripped(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(stripped)
  if (typeof value !== 'object' || value === null) return value
  const kept = Object.entries(value).filter(([name]) => name !== 'ownerId' && name !== 'nextCursor')
  return Object.fromEntries(kept.map(([name, inner]) => [name, stripped(inner)]))
}

/**
 * Runs the steps in one shared storage, and each actor's in a storage of its own. Returns the first different answers.
 *
 * @param mark Makes the owners others than those of an earlier run in the same storage.
 */
export async function firstDifference(
  shared: Storage,
  steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[],
  mark = '',
) {
  const actors: readonly Actor[] = [...OWNERS, 'nobody']
  const views = new Map<Actor, { seen: Handle; own: Storage; made: Arguments['made'][] }>()
  for (const actor of actors) {
    const own = await openStorage({ database: { type: 'in-memory', ...search } }, options)
    const seen = actor === 'nobody' ? shared : shared.scope({ ownerId: actor + mark })
    const made = () => ({ memories: [], blobs: [] })
    views.set(actor, { seen: seen as Handle, own, made: [made(), made()] }) // a scope has what the calls use
  }
  try {
    for (const { actor, call, session, ...args } of steps) {
      const view = views.get(actor)
      const run = calls[call]
      if (!view || !run) throw new Error('unknown')
      const [inShared, inOwn] = view.made
      if (!inShared || !inOwn) throw new Error('unknown')
      // The storage itself shows everybody's rows in lists, and finds others' sessions: it acts by names, on its own sessions.
      if (
        actor === 'nobody' &&
        (/list|get$|stats|prune|search|follow|find$|countByDay/i.test(call) ||
          call.startsWith('toolExec') ||
          call.startsWith('appro'))
      )
        continue
      const of = (made: Arguments['made']) => ({
        ...args,
        session: actor === 'nobody' ? `root-${session}` : session,
        made,
      })
      const answer = await answerOf(run(view.seen, of(inShared)))
      const expected = await answerOf(run(view.own as Handle, of(inOwn))) // a storage has what the calls use
      if (!isDeepStrictEqual(answer, expected)) return { actor, call, args, answer, expected }
    }
    return undefined
  } finally {
    for (const { own } of views.values()) await own.close()
  }
}
