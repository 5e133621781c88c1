/**
 * A model of several writers and readers of one cached row, small enough to visit every reachable state.
 *
 * A writer changes the row in three steps: `announce` (a no-op in some protocols), commit, `withdraw`. Then it
 * acknowledges. It may die before any step, also with its commit on the way to the database. A reader looks up the
 * key and, if the key holds nothing, takes a lease, loads the row, and fills the key if the key still holds its lease.
 * The cache may evict values and leases at any moment; the marks of a dead writer expire at some moment.
 */
export interface World {
  /** The version that the database holds: the number of commits. */
  committed: number
  /** The newest version that a program may rely on: its writer has acknowledged it, or died after its commit. */
  settled: number
  key: Entry
  writers: readonly Writer[]
  readers: readonly Reader[]
}

type Entry =
  | { holds: 'nothing' }
  | { holds: 'value'; version: number }
  | { holds: 'lease'; reader: number }
  | { holds: 'marks'; writers: readonly number[] }

/** `sent`: the writer is dead, but its commit will still reach the database. */
type Writer = 'idle' | 'announced' | 'committed' | 'done' | 'sent' | 'dead'

type Reader = { at: 'idle' } | { at: 'leased' } | { at: 'loaded'; version: number }

/** What a writer does to the key before its commit, and after it. */
export interface Protocol {
  announce(key: Entry, writer: number): Entry
  withdraw(key: Entry, writer: number): Entry
}

const NOTHING: Entry = { holds: 'nothing' }

/** Removes the row after the commit and does nothing before it. */
export const removeAfterCommit: Protocol = {
  announce: (key) => key,
  withdraw: () => NOTHING,
}

/** Replaces the value by a marker before the commit, and removes the key after it. */
export const oneMarker: Protocol = {
  announce: (_, writer) => ({ holds: 'marks', writers: [writer] }),
  withdraw: () => NOTHING,
}

/** Replaces the value by a set of marks, one for each writer: adds the writer's mark before the commit, removes it after it. */
export const setOfMarks: Protocol = {
  announce: (key, writer) => ({ holds: 'marks', writers: [...marksIn(key), writer].toSorted() }),
  withdraw: (key, writer) => {
    const writers = marksIn(key).filter((mark) => mark !== writer)
    return writers.length > 0 ? { holds: 'marks', writers } : NOTHING
  },
}

export interface Exploration {
  states: number
  /** The first state found in which a reader would hit a row older than a program may rely on. */
  violation: World | undefined
}

export interface ModelOptions {
  writers: number
  readers: number
  /** Lets the cache evict the marks of writers that are alive. Default false. */
  evictsMarks?: boolean
}

/** Visits every state that the protocol can reach. */
export function explore(protocol: Protocol, { writers, readers, evictsMarks = false }: ModelOptions): Exploration {
  const first: World = {
    committed: 0,
    settled: 0,
    key: NOTHING,
    writers: Array.from({ length: writers }, () => 'idle' as const),
    readers: Array.from({ length: readers }, () => ({ at: 'idle' }) as const),
  }
  const seen = new Set([JSON.stringify(first)])
  const waiting = [first]
  for (let world = waiting.pop(); world !== undefined; world = waiting.pop()) {
    if (world.key.holds === 'value' && world.key.version < world.settled) return { states: seen.size, violation: world }
    const steps = [...stepsOfWriters(protocol, world), ...stepsOfReaders(world), ...stepsOfCache(world, evictsMarks)]
    for (const next of steps) {
      const text = JSON.stringify(next)
      if (!seen.has(text)) waiting.push(next)
      seen.add(text)
    }
  }
  return { states: seen.size, violation: undefined }
}

function* stepsOfWriters({ announce, withdraw }: Protocol, world: World): Generator<World> {
  const { key, committed } = world
  for (const [i, state] of world.writers.entries()) {
    const become = (writer: Writer, changes: Partial<World> = {}): World => ({
      ...world,
      ...changes,
      writers: world.writers.with(i, writer),
    })
    const commit = { committed: committed + 1 }
    if (state === 'idle') yield become('announced', { key: announce(key, i) })
    if (state === 'announced') {
      yield become('committed', commit)
      yield become('dead')
      yield become('sent')
    }
    if (state === 'committed') {
      yield become('done', { key: withdraw(key, i), settled: committed })
      yield become('dead', { settled: committed })
    }
    if (state === 'sent') yield become('dead', { ...commit, settled: committed + 1 })
  }
}

function* stepsOfReaders(world: World): Generator<World> {
  const { key, committed } = world
  for (const [i, reader] of world.readers.entries()) {
    const become = (next: Reader, nextKey = key): World => ({
      ...world,
      key: nextKey,
      readers: world.readers.with(i, next),
    })
    if (reader.at === 'idle' && key.holds === 'nothing') yield become({ at: 'leased' }, { holds: 'lease', reader: i })
    if (reader.at === 'leased') yield become({ at: 'loaded', version: committed })
    if (reader.at === 'loaded') {
      const mayFill = key.holds === 'lease' && key.reader === i
      yield become({ at: 'idle' }, mayFill ? { holds: 'value', version: reader.version } : key)
    }
  }
}

function* stepsOfCache(world: World, evictsMarks: boolean): Generator<World> {
  const { key } = world
  if (key.holds === 'value' || key.holds === 'lease') yield { ...world, key: NOTHING }
  for (const mark of marksIn(key)) {
    const isDead = world.writers[mark] === 'dead' || world.writers[mark] === 'done'
    if (isDead || evictsMarks) yield { ...world, key: setOfMarks.withdraw(key, mark) }
  }
}

function marksIn(key: Entry): readonly number[] {
  return key.holds === 'marks' ? key.writers : []
}
