/**
 * A model of several cleanups of one record that nobody has used for long, and of programs that name it. A search looks at
 * one text after the other, and a program may write its name into any text at any moment. A cleanup may die before any
 * step, because its process or its connection ends. A reservation that a dead cleanup has left expires.
 */
export interface World {
  /** True if the record exists. */
  record: boolean
  /** True if the record was not used since the time that the cleanups were given. */
  due: boolean
  /** The cleanup whose mark the record has. */
  mark: number | undefined
  /** True for a text that names the record. */
  texts: readonly boolean[]
  programs: readonly Program[]
  cleanups: readonly Cleanup[]
}

/** What is `kept` was named while the record was not about to be removed, or by a program that had read it. */
type Program = 'idle' | 'read' | 'kept' | 'not kept'

type Cleanup = 'idle' | 'over' | 'dead' | Search

interface Search {
  /** What the cleanup has done before it searches. */
  after: 'nothing' | 'mark' | 'removal'
  /** How many texts it has looked at. */
  searched: number
  named: boolean
}

/**
 * `once` searches and then removes. `twice` searches, removes, searches again, and then puts back what is named. `marks`
 * searches for what it has marked, and then removes what has its mark; `any mark` removes what has a mark.
 */
export type Protocol = 'once' | 'twice' | 'marks' | 'any mark'

export interface ModelOptions {
  /** Lets a cleanup die. */
  deaths: boolean
  /** Gives the cleanups a time to come: also a record that was used just now is due. */
  everything: boolean
}

const TEXTS = 2

/** Visits every state that the protocol can reach. Returns the first in which a record is lost that had to be kept. */
export function explore(protocol: Protocol, options: ModelOptions): { states: number; lost: World | undefined } {
  const first: World = {
    record: true,
    due: true,
    mark: undefined,
    texts: Array(TEXTS).fill(false),
    programs: ['idle', 'idle'],
    cleanups: ['idle', 'idle', 'idle'],
  }
  const seen = new Set([JSON.stringify(first)])
  const waiting = [first]
  for (let world = waiting.pop(); world !== undefined; world = waiting.pop()) {
    if (isLost(world)) return { states: seen.size, lost: world }
    for (const next of [...stepsOfPrograms(world, options), ...stepsOfCleanups(protocol, world, options)]) {
      const text = JSON.stringify(next)
      if (!seen.has(text)) waiting.push(next)
      seen.add(text)
    }
  }
  return { states: seen.size, lost: undefined }
}

const isSearch = (cleanup: Cleanup | undefined): cleanup is Search => typeof cleanup === 'object'

function isLost({ record, programs, cleanups }: World): boolean {
  const mayComeBack = cleanups.some((cleanup) => isSearch(cleanup) && cleanup.after === 'removal')
  return programs.includes('kept') && !record && !mayComeBack
}

function* stepsOfPrograms(world: World, { everything }: ModelOptions): Generator<World> {
  const { record, mark, texts } = world
  for (const [i, program] of world.programs.entries()) {
    const become = (next: Program, changes: Partial<World>): World => ({
      ...world,
      ...changes,
      programs: world.programs.with(i, next),
    })
    if (program === 'idle' && record) yield become('read', { mark: undefined, due: everything })
    if (program !== 'idle' && program !== 'read') continue
    const isFree = mark === undefined || !isSearch(world.cleanups[mark])
    const keeps = record && (isFree || (program === 'read' && !everything))
    for (const at of texts.keys()) yield become(keeps ? 'kept' : 'not kept', { texts: texts.with(at, true) })
  }
}

function* stepsOfCleanups(protocol: Protocol, world: World, options: ModelOptions): Generator<World> {
  const isMarking = protocol === 'marks' || protocol === 'any mark'
  for (const [i, cleanup] of world.cleanups.entries()) {
    const become = (next: Cleanup, changes: Partial<World> = {}): World => ({
      ...world,
      ...changes,
      cleanups: world.cleanups.with(i, next),
    })
    if (cleanup === 'idle' && world.record && world.due) {
      yield isMarking ? become(search('mark'), { mark: i }) : become(search('nothing'))
    }
    if (!isSearch(cleanup)) continue
    if (options.deaths) yield become('dead')
    yield become(...stepOfSearch(protocol, world, i, cleanup, options))
  }
}

type Step = [next: Cleanup, changes?: Partial<World>]

function stepOfSearch(protocol: Protocol, world: World, i: number, found: Search, { everything }: ModelOptions): Step {
  const { after, searched, named } = found
  const isBack = after === 'removal'
  if (searched < TEXTS) return [{ after, searched: searched + 1, named: named || world.texts[searched] === true }]
  if (named) return ['over', { record: world.record || isBack, due: everything, mark: undefined }]
  if (isBack || !mayRemove(protocol, world, i)) return ['over']
  return [protocol === 'twice' ? search('removal') : 'over', { record: false }]
}

const search = (after: Search['after']): Search => ({ after, searched: 0, named: false })

function mayRemove(protocol: Protocol, { record, due, mark }: World, cleanup: number): boolean {
  if (protocol === 'marks') return record && mark === cleanup
  return record && (protocol === 'any mark' ? mark !== undefined : due)
}
