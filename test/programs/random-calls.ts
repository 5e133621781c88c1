/** Makes random calls of every kind until it is killed, and says which failed with an error that no caller should see. */
import { isStorageError, openStorage } from 'holdfast'
import { wordEmbedding } from 'holdfast/testing'
import { type Arguments, calls, type Handle } from '../owners/isolation-calls.ts'
import { say } from '../setup/say.ts'
import { silent } from '../setup/silent.ts'

export interface Said {
  ready?: true
  /** How many calls have ended. */
  done?: number
  /** A call, and the error that nobody expects. */
  failed?: string
  error?: string
}

/** What a call answers if what it needs is not there, or is in another state, or if Redis is slow. */
const REFUSALS: readonly string[] = [
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'INVALID_STATE',
  'INVALID_INPUT',
  'VERSION_CONFLICT',
  'BLOB_NOT_FOUND',
  'BLOB_REFERENCE_INVALID',
  'CACHE_UNAVAILABLE',
]
/**
 * Returns true for a deadlock of a program's own transaction, which the program repeats. Holdfast repeats all other calls
 * itself.
 */
const isDeadlock = (name: string, error: unknown) =>
  name === 'transaction' && isStorageError(error, 'DATABASE_FAILED') && error.retryable
const WORKERS = 6
/** One call of so many is for the upkeep. */
const UPKEEP = 200
/** Says how far it is after so many calls. */
const SAID = 50

const [config = ''] = process.argv.slice(2)
const storage = await openStorage(JSON.parse(config), { logger: silent, embedding: wordEmbedding() })
say<Said>({ ready: true })

const upkeep = [
  () => storage.maintain(),
  () => storage.erase({ ownerId: 'bob' }),
  () => storage.sessions.update('s', { ownerId: 'ada' }),
  () => storage.blobs.cleanup(),
  () => storage.stats(),
]

const random = (below: number) => Math.floor(Math.random() * below)
const pick = <T>(items: readonly T[]): T => items[random(items.length)] as T // never of an empty list
const names = Object.keys(calls)
let done = 0

async function work(): Promise<never> {
  const made: Arguments['made'] = { memories: [], blobs: [] }
  for (;;) {
    const name = random(UPKEEP) === 0 ? 'upkeep' : pick(names)
    const owner = pick([undefined, 'ada', 'ada', 'bob'])
    const handle = (owner === undefined ? storage : storage.scope({ ownerId: owner })) as Handle // it has what the calls use
    const args = { session: pick(['s', 't', 'u']), key: pick(['a', 'b', 'c']), n: random(12), made }
    try {
      await (calls[name]?.(handle, args) ?? pick(upkeep)())
    } catch (error) {
      const isRefused = isStorageError(error) && REFUSALS.includes(error.code)
      if (!isRefused && !isDeadlock(name, error)) say<Said>({ failed: name, error: String(error) })
    }
    if (++done % SAID === 0) say<Said>({ done })
  }
}

await Promise.all(Array.from({ length: WORKERS }, work))
