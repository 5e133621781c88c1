/**
 * A model of several writers and readers of one cached row, small enough to visit every reachable state.
 *
 * A write changes the row in steps: `announce` (a no-op in some protocols), commit, `withdraw`. It is acknowledged after
 * the removal or, in some protocols, after the commit: then the removal is on its way for any time, and a later write of
 * the same writer may overtake it. A writer may die before any step, also with its commit on the way to the database. A
 * reader looks up the key and, if the key holds nothing, takes a lease, loads the row, and fills the key if the key still
 * holds its lease. The cache may evict values and leases at any moment; the marks of a write that is over, or whose
 * writer is dead, expire at some moment.
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
  | { holds: 'marks'; marks: readonly Mark[] }

/** The mark of a write: who writes, and which of his writes it is. */
interface Mark {
  writer: number
  write: number
}

interface Writer {
  /** `sent`: the writer is dead, but its commit will still reach the database. */
  step: 'idle' | 'announced' | 'committed' | 'sent' | 'dead'
  /** The number of the write that was begun last. */
  write: number
  /** The acknowledged writes whose removal is on its way to the cache. */
  removing: readonly number[]
}

type Reader = { at: 'idle' } | { at: 'leased' } | { at: 'loaded'; version: number }

/** What a write does to the key before its commit, and after it. */
export interface Protocol {
  announce(key: Entry, mark: Mark): Entry
  withdraw(key: Entry, mark: Mark): Entry
  /** Acknowledges a write after its commit, without waiting for the removal. Default false. */
  acknowledgesEarly?: boolean
}

const NOTHING: Entry = { holds: 'nothing' }

/** Removes the row after the commit and does nothing before it. */
export const removeAfterCommit: Protocol = {
  announce: (key) => key,
  withdraw: () => NOTHING,
}

/** Replaces the value by a marker before the commit, and removes the key after it. */
export const oneMarker: Protocol = {
  announce: (_, mark) => ({ holds: 'marks', marks: [mark] }),
  withdraw: () => NOTHING,
}

/** Replaces the value by a set of marks, one for each writer: adds the writer's mark before the commit, removes it later. */
export const setOfMarks: Protocol = {
  announce: (key, mark) => ({ holds: 'marks', marks: [...withoutMarks(key, mark.writer), mark].toSorted(byWriter) }),
  withdraw: (key, { writer }) => marked(withoutMarks(key, writer)),
}

/** Like {@link setOfMarks}, but a removal leaves the mark of a later write of the same writer. */
export const numberedMarks: Protocol = {
  ...setOfMarks,
  withdraw: (key, { writer, write }) => marked(withoutMarks(key, writer, write)),
}

export interface Exploration {
  states: number
  /** The first state found in which a reader would hit a row older than a program may rely on. */
  violation: World | undefined
}

export interface ModelOptions {
  writers: number
  readers: number
  /** Number of writes of each writer, one after another. Default 1. */
  writes?: number
  /** Lets writers die. Default true. */
  dies?: boolean
  /** Lets the cache evict the marks of writes in flight. Default false. */
  evictsMarks?: boolean
}

/** Visits every state that the protocol can reach. */
export function explore(protocol: Protocol, options: ModelOptions): Exploration {
  const { writers, readers, evictsMarks = false } = options
  const first: World = {
    committed: 0,
    settled: 0,
    key: NOTHING,
    writers: Array.from({ length: writers }, () => ({ step: 'idle', write: 0, removing: [] }) as const),
    readers: Array.from({ length: readers }, () => ({ at: 'idle' }) as const),
  }
  const seen = new Set([JSON.stringify(first)])
  const waiting = [first]
  for (let world = waiting.pop(); world !== undefined; world = waiting.pop()) {
    if (world.key.holds === 'value' && world.key.version < world.settled) return { states: seen.size, violation: world }
    const steps = [
      ...stepsOfWriters(protocol, world, options),
      ...stepsOfReaders(world),
      ...stepsOfCache(world, evictsMarks),
    ]
    for (const next of steps) {
      const text = JSON.stringify(next)
      if (!seen.has(text)) waiting.push(next)
      seen.add(text)
    }
  }
  return { states: seen.size, violation: undefined }
}

function* stepsOfWriters(
  protocol: Protocol,
  world: World,
  { writes = 1, dies = true }: ModelOptions,
): Generator<World> {
  const { announce, withdraw, acknowledgesEarly = false } = protocol
  const { key, committed } = world
  for (const [i, writer] of world.writers.entries()) {
    const { step, write, removing } = writer
    const become = (next: Partial<Writer>, changes: Partial<World> = {}): World => ({
      ...world,
      ...changes,
      writers: world.writers.with(i, { ...writer, ...next }),
    })
    const removed = (number: number) => withdraw(key, { writer: i, write: number })
    if (step === 'idle' && write < writes) {
      yield become({ step: 'announced', write: write + 1 }, { key: announce(key, { writer: i, write: write + 1 }) })
    }
    if (step === 'announced') yield become({ step: 'committed' }, { committed: committed + 1 })
    if (step === 'committed') {
      yield acknowledgesEarly
        ? become({ step: 'idle', removing: [...removing, write] }, { settled: committed })
        : become({ step: 'idle' }, { settled: committed, key: removed(write) })
    }
    for (const number of removing) {
      yield become({ removing: removing.filter((other) => other !== number) }, { key: removed(number) })
    }
    if (dies) yield* deaths(world, step, become)
  }
}

function* deaths(
  { committed }: World,
  step: Writer['step'],
  become: (next: Partial<Writer>, changes?: Partial<World>) => World,
): Generator<World> {
  if (step === 'announced') {
    yield become({ step: 'dead' })
    yield become({ step: 'sent' })
  }
  if (step === 'committed') yield become({ step: 'dead' }, { settled: committed })
  if (step === 'sent') yield become({ step: 'dead' }, { committed: committed + 1, settled: committed + 1 })
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
  for (const { writer, write } of marksIn(key)) {
    const by = world.writers[writer]
    const isOver = by?.step === 'idle' || by?.step === 'dead' || by?.write !== write
    if (isOver || evictsMarks) yield { ...world, key: marked(withoutMarks(key, writer)) }
  }
}

function marksIn(key: Entry): readonly Mark[] {
  return key.holds === 'marks' ? key.marks : []
}

/** Returns the marks in the key except those of the writer's writes up to a number. */
function withoutMarks(key: Entry, writer: number, upTo = Number.POSITIVE_INFINITY): Mark[] {
  return marksIn(key).filter((mark) => mark.writer !== writer || mark.write > upTo)
}

/** Returns a key with these marks. */
function marked(marks: readonly Mark[]): Entry {
  return marks.length > 0 ? { holds: 'marks', marks } : NOTHING
}

function byWriter(a: Mark, b: Mark): number {
  return a.writer - b.writer
}
