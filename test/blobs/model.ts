/**
 * A model of several puts and collectors of one content, small enough to visit every reachable state.
 *
 * The database changes in atomic steps. The store is at the other end of a network: a request (PUT, DELETE, or the move of
 * damaged bytes to quarantine) arrives at any time after it was sent, also if its sender is frozen or dead by then. A put
 * reserves the content, looks for the object, stores it if it is not there, and inserts its record; a record may be
 * deleted later. Reservations may expire at any moment. Everybody may stop for ever before any step: a freeze is a
 * process that goes on after others have gone on, and a death one that does not.
 */
export interface World {
  row: Row | undefined
  /** Objects that nobody needs any more, and how much each still counts. */
  removals: readonly Removal[]
  /** What the quota counts. */
  used: number
  /** The generations of the sound objects in the store. */
  objects: readonly number[]
  /** The generations of the damaged ones. */
  damaged: readonly number[]
  wasDamaged: boolean
  requests: readonly Request[]
  /** The number of generations that were chosen. */
  generations: number
  puts: readonly Put[]
  collectors: readonly Collector[]
}

interface Row {
  generation: number
  /** True from the first record on. */
  isLive: boolean
  /** The puts whose records exist. */
  records: readonly number[]
  /** The puts that have a reservation. */
  reservations: readonly number[]
  /** The collector that has locked the row. Only the first protocol holds a lock. */
  lockedBy?: number | undefined
}

interface Removal {
  generation: number
  counted: number
}

interface Request {
  kind: 'put' | 'delete' | 'quarantine'
  generation: number
  /** Which put or collector waits for the answer. */
  by: number
}

type Put =
  | { at: 'idle' | 'recorded' | 'over' }
  | { at: 'looking'; seen: number; isLive: boolean }
  | { at: 'storing' | 'stored'; seen: number; mine: number }

type Collector = { at: 'idle' | 'over' } | { at: 'removing'; generation: number }

export interface Protocol {
  /** Gives a content that is stored anew another generation. */
  generations: boolean
  /** Stores the bytes of a damaged object under another generation. */
  healsElsewhere: boolean
}

export interface ModelOptions {
  puts: number
  collectors: number
  /** Lets a sound object of a record become damaged, once. Default false. */
  damage?: boolean
  /** Lets a request arrive after its sender has stopped waiting. Default true. */
  late?: boolean
}

/** Removes the bytes under the lock of the row, and has one generation. */
export const firstProtocol: Protocol = { generations: false, healsElsewhere: false }
/** Removes the bytes between two transactions, and has generations. */
export const twoFlights: Protocol = { generations: true, healsElsewhere: true }

/** Visits every state that the protocol can reach. Returns the first violation: a state with what is wrong in it. */
export function explore(protocol: Protocol, options: ModelOptions) {
  const first: World = {
    row: undefined,
    removals: [],
    used: 0,
    objects: [],
    damaged: [],
    wasDamaged: false,
    requests: [],
    generations: 0,
    puts: Array.from({ length: options.puts }, () => ({ at: 'idle' }) as const),
    collectors: Array.from({ length: options.collectors }, () => ({ at: 'idle' }) as const),
  }
  const seen = new Set([JSON.stringify(first)])
  const waiting = [first]
  for (let world = waiting.pop(); world !== undefined; world = waiting.pop()) {
    const wrong = lost(world) ?? miscounted(world)
    if (wrong !== undefined) return { states: seen.size, violation: { wrong, world } }
    const collect = protocol.generations ? stepsOfCollectors : stepsOfLockingCollectors
    for (const next of [...stepsOfPuts(protocol, world), ...collect(world, options), ...stepsOfStore(world, options)]) {
      const text = JSON.stringify(next)
      if (!seen.has(text)) waiting.push(next)
      seen.add(text)
    }
  }
  return { states: seen.size, violation: undefined }
}

/** An acknowledged blob has its bytes, unless they were damaged after its put. */
function lost({ row, objects, damaged, puts }: World): string | undefined {
  if (row === undefined || !puts.some((put, i) => put.at === 'recorded' && row.records.includes(i))) return undefined
  return objects.includes(row.generation) || damaged.includes(row.generation) ? undefined : 'bytes are lost'
}

/** If everybody dies now, maintenance finds the way to a store whose quota is right, and which holds what it needs. */
function miscounted(world: World): string | undefined {
  const needed = world.row && world.row.records.length > 0 ? world.row : undefined
  const released = world.row && !needed ? 1 : 0
  const refunded = world.removals.reduce((sum, { counted }) => sum + counted, released)
  return world.used - refunded === (needed ? 1 : 0) ? undefined : `${world.used} is counted`
}

function* stepsOfPuts(protocol: Protocol, world: World): Generator<World> {
  const { row } = world
  for (const [i, put] of world.puts.entries()) {
    const become = (next: Put, changes: Partial<World> = {}): World => ({
      ...world,
      ...changes,
      puts: world.puts.with(i, next),
    })
    if (put.at === 'looking') yield look(protocol, world, put, become, i)
    if (put.at === 'storing' && !isAwaited(world, 'put', i)) yield become({ ...put, at: 'stored' })
    if (row?.lockedBy !== undefined) continue
    if (put.at === 'idle') yield reserve(protocol, world, become, i)
    if (put.at === 'stored') yield insert(world, put, become, i)
    if (put.at === 'recorded' && row) {
      yield become({ at: 'over' }, { row: { ...row, records: row.records.filter((other) => other !== i) } })
    }
    if (row?.reservations.includes(i)) {
      yield { ...world, row: { ...row, reservations: row.reservations.filter((other) => other !== i) } }
    }
  }
}

type Become<T> = (next: T, changes?: Partial<World>) => World

function reserve(protocol: Protocol, world: World, become: Become<Put>, i: number): World {
  const { row, used, generations } = world
  if (row !== undefined) {
    return become(
      { at: 'looking', seen: row.generation, isLive: row.isLive },
      { row: { ...row, reservations: [...row.reservations, i] } },
    )
  }
  const generation = protocol.generations ? generations : 0
  return become(
    { at: 'storing', seen: generation, mine: generation },
    {
      row: { generation, isLive: false, records: [], reservations: [i] },
      used: used + 1,
      generations: generations + 1,
      requests: [...world.requests, { kind: 'put', generation, by: i }],
    },
  )
}

/** Keeps the sound object of a live content, or stores another one. The first protocol stores the object in any case. */
function look(
  protocol: Protocol,
  world: World,
  { seen, isLive }: { seen: number; isLive: boolean },
  become: Become<Put>,
  i: number,
): World {
  if (protocol.generations && isLive && world.objects.includes(seen)) return become({ at: 'stored', seen, mine: seen })
  const mine = protocol.healsElsewhere ? world.generations : seen
  const requests: Request[] = [...world.requests, { kind: 'put', generation: mine, by: i }]
  return become({ at: 'storing', seen, mine }, { requests, generations: world.generations + 1 })
}

function insert(world: World, { seen, mine }: { seen: number; mine: number }, become: Become<Put>, i: number): World {
  const { row, removals } = world
  if (!row?.reservations.includes(i)) return become({ at: 'over' })
  // Nobody else knows a generation that the put has chosen after its look, so it is there. Another one may be removed.
  const [generation, loser] = mine !== seen ? [mine, row.generation] : [row.generation, mine]
  return become(
    { at: 'recorded' },
    {
      row: {
        generation,
        isLive: true,
        records: [...row.records, i],
        reservations: row.reservations.filter((other) => other !== i),
      },
      removals: loser === generation ? removals : [...removals, { generation: loser, counted: 0 }],
    },
  )
}

/** A collection in two flights: what nobody needs goes to the removals; it is removed without a lock; then it is refunded. */
function* stepsOfCollectors(world: World): Generator<World> {
  const { row, removals, objects } = world
  if (row && row.records.length === 0 && row.reservations.length === 0) {
    yield { ...world, row: undefined, removals: [...removals, { generation: row.generation, counted: 1 }] }
  }
  for (const [i, collector] of world.collectors.entries()) {
    const become = (next: Collector, changes: Partial<World> = {}): World => ({
      ...world,
      ...changes,
      collectors: world.collectors.with(i, next),
    })
    const remove = (generation: number) =>
      become({ at: 'removing', generation }, { requests: [...world.requests, { kind: 'delete', generation, by: i }] })
    if (collector.at === 'idle') {
      for (const { generation } of removals) yield remove(generation)
      const isStray = (generation: number) =>
        generation !== row?.generation && removals.every((removal) => removal.generation !== generation)
      if (!row || row.reservations.length === 0) yield* objects.filter(isStray).map(remove)
    } else if (collector.at === 'removing' && !isAwaited(world, 'delete', i)) {
      const removal = removals.find(({ generation }) => generation === collector.generation)
      yield become(
        { at: 'idle' },
        { removals: removals.filter((other) => other !== removal), used: world.used - (removal?.counted ?? 0) },
      )
    }
  }
}

/** The first protocol: locks, removes, and commits. A frozen collector loses the lock, and the removal is on its way. */
function* stepsOfLockingCollectors(world: World, { late = true }: ModelOptions): Generator<World> {
  const { row } = world
  if (!row) return
  for (const [i, collector] of world.collectors.entries()) {
    const become = (next: Collector, changes: Partial<World> = {}): World => ({
      ...world,
      ...changes,
      collectors: world.collectors.with(i, next),
    })
    if (collector.at === 'idle' && row.lockedBy === undefined && row.records.length + row.reservations.length === 0) {
      const requests: Request[] = [...world.requests, { kind: 'delete', generation: 0, by: i }]
      yield become({ at: 'removing', generation: 0 }, { row: { ...row, lockedBy: i }, requests })
    }
    if (collector.at !== 'removing' || row.lockedBy !== i) continue
    if (!isAwaited(world, 'delete', i)) yield become({ at: 'idle' }, { row: undefined, used: world.used - 1 })
    else if (late) yield become({ at: 'over' }, { row: { ...row, lockedBy: undefined } })
  }
}

function* stepsOfStore(world: World, { damage = false }: ModelOptions): Generator<World> {
  const { objects, damaged, row } = world
  for (const request of world.requests) {
    const { kind, generation } = request
    const without = (generations: readonly number[]) => generations.filter((other) => other !== generation)
    const requests = world.requests.filter((other) => other !== request)
    const sound = kind === 'put' ? [...without(objects), generation].toSorted() : without(objects)
    yield { ...world, requests, objects: sound, damaged: without(damaged) }
  }
  if (damage && !world.wasDamaged && row && row.records.length > 0 && objects.includes(row.generation)) {
    const { generation } = row
    yield {
      ...world,
      // Only a put that begins later has a right to its bytes.
      puts: world.puts.map((put) => (put.at === 'idle' ? put : { at: 'over' })),
      objects: objects.filter((other) => other !== generation),
      damaged: [generation],
      wasDamaged: true,
      requests: [...world.requests, { kind: 'quarantine', generation, by: -1 }],
    }
  }
}

const isAwaited = ({ requests }: World, kind: Request['kind'], by: number) =>
  requests.some((request) => request.kind === kind && request.by === by)
