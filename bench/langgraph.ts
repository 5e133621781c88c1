import BetterSqlite3 from 'better-sqlite3'
import type { HoldfastSaver } from 'holdfast/langgraph'
import type { Lab } from './lab.ts'
import { loadAdapter, requirePeer } from './load-peer.ts'
import type { Row } from './row.ts'
import { scattered } from './sample.ts'
import { databaseOf, ONE_CALL, type Pair, renewed, type Versus, versusRows } from './versus.ts'

type Saver = Pick<HoldfastSaver, 'put' | 'putWrites' | 'getTuple' | 'list' | 'deleteThread' | 'getNextVersion'>
type Config = Parameters<Saver['getTuple']>[0]

interface Core {
  HumanMessage: new (fields: { id: string; content: string }) => unknown
}

interface Checkpointing {
  emptyCheckpoint(): Parameters<Saver['put']>[1]
  uuid6(clock: number): string
}

interface SqliteSavers {
  SqliteSaver: new (client: BetterSqlite3.Database) => Saver & { setup(): void }
}

interface PostgresSavers {
  PostgresSaver: { fromConnString(url: string): Saver & { setup(): Promise<void>; end(): Promise<void> } }
}

/** Steps of the thread that reads use, and of a thread that is deleted. */
const STEPS = 100
/** Messages of the state. */
const MESSAGES = 20
const TEXT = 'The train to Oslo leaves at eight, and the one at nine has a dining car. '.repeat(4)
const FILES = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`report-${i}.md`, TEXT]))

/** A saver with a thread of a usual state: messages that change with each step, and a plan and files that do not. */
class Thread {
  readonly saver: Saver
  readonly #make: Checkpointing & Core
  readonly #messages: readonly unknown[]
  #step = 0
  #config: Config = {}
  #versions: Record<string, number> = {}
  readonly ids: string[] = []

  constructor(saver: Saver, make: Checkpointing & Core) {
    this.saver = saver
    this.#make = make
    this.#messages = Array.from(
      { length: 3 * MESSAGES },
      (_, i) => new make.HumanMessage({ id: `m${i}`, content: `${i}: ${TEXT}` }),
    )
  }

  start(threadId: string): void {
    this.#step = 0
    this.#config = { configurable: { thread_id: threadId, checkpoint_ns: '' } }
    this.#versions = {}
    this.ids.length = 0
  }

  /** Stores the checkpoint of the next step. */
  async put(): Promise<void> {
    const step = this.#step++
    const changed = step === 0 ? ['messages', 'branch:to:agent', 'plan', 'files'] : ['messages', 'branch:to:agent']
    const versions = Object.fromEntries(
      changed.map((name) => [name, this.saver.getNextVersion(this.#versions[name])] as const),
    )
    this.#versions = { ...this.#versions, ...versions }
    const first = scattered(step, 2 * MESSAGES)
    const values = {
      messages: this.#messages.slice(first, first + MESSAGES),
      'branch:to:agent': null,
      plan: { steps: ['search', 'book'], note: 'by train' },
      files: FILES,
    }
    const checkpoint = {
      ...this.#make.emptyCheckpoint(),
      id: this.#make.uuid6(step),
      channel_values: values,
      channel_versions: this.#versions,
      versions_seen: { agent: { 'branch:to:agent': this.#versions['branch:to:agent'] ?? 0 } },
    }
    this.ids.push(checkpoint.id)
    const metadata = { source: 'loop' as const, step, parents: {} }
    this.#config = await this.saver.put(this.#config, checkpoint, metadata, versions)
  }

  /** Stores what a task of the step has written. */
  putWrites(i: number, config: Config = this.#config): Promise<void> {
    const written = this.#messages[scattered(i, this.#messages.length)]
    const writes: [string, unknown][] = [
      ['messages', [written]],
      ['branch:to:agent', null],
    ]
    return this.saver.putWrites(config, writes, `task-${i}`)
  }

  async fill(threadId: string, steps: number): Promise<void> {
    this.start(threadId)
    for (let i = 0; i < steps; i++) {
      await this.put()
      await this.putWrites(i)
    }
  }
}

/** The seeded threads of a saver, and a maker of more. */
interface Contender {
  saver: Saver
  ids: readonly string[]
  thread(): Thread
  uuid6(clock: number): string
}

const SEEDED = { configurable: { thread_id: 'seeded', checkpoint_ns: '' } }

const CALLS: Versus<Contender>[] = [
  {
    name: 'put',
    way({ thread }) {
      const line = thread()
      return {
        call: (i) => {
          if (i % STEPS === 0) line.start(`put-${i}`)
          return line.put()
        },
      }
    },
  },
  {
    name: 'putWrites',
    way({ thread, uuid6 }) {
      const line = thread()
      const configs = Array.from({ length: 1000 }, (_, i) => ({
        configurable: { thread_id: 'writes', checkpoint_ns: '', checkpoint_id: uuid6(i) },
      }))
      return { call: (i) => line.putWrites(i, configs[i % configs.length]) }
    },
  },
  { name: 'getTuple of the newest', way: ({ saver }) => ({ call: () => saver.getTuple(SEEDED) }) },
  {
    name: 'getTuple by id',
    way: ({ saver, ids }) => ({
      call: (i) =>
        saver.getTuple({ configurable: { ...SEEDED.configurable, checkpoint_id: ids[scattered(i, ids.length)] } }),
    }),
  },
  {
    name: 'list of 10',
    way: ({ saver }) => ({
      async call() {
        for await (const _ of saver.list(SEEDED, { limit: 10 }));
      },
    }),
  },
  {
    name: 'deleteThread',
    effort: ONE_CALL,
    way({ saver, thread }) {
      const line = thread()
      return renewed(
        () => line.fill('deleted', STEPS),
        () => saver.deleteThread('deleted'),
      )
    },
  },
]

const ON_SQLITE: Record<string, string> = {
  putWrites: 'a write of ours waits for a turn of the event loop, so that others can join its commit',
  deleteThread:
    'a step of theirs has pages of its own, which SQLite frees as they are; ours shares pages, and SQLite writes each that has lost a row',
}

const ON_POSTGRES: Record<string, string> = {
  put: 'the commit is most of it if the server is on the same machine; over a network ours takes one round trip, and theirs several',
}

/** `HoldfastSaver` against LangGraph's own savers, at equal durability. */
export const langgraphRows: Row[] = [
  ...versusRows(
    {
      group: 'LangGraph on SQLite',
      against: 'SqliteSaver',
      package: '@langchain/langgraph-checkpoint-sqlite',
      atMost: 1,
      reasons: ON_SQLITE,
      open: (lab) => pair(lab, 'SQLite', sqliteSaver),
    },
    CALLS,
  ),
  ...versusRows(
    {
      group: 'LangGraph on PostgreSQL',
      against: 'PostgresSaver',
      package: '@langchain/langgraph-checkpoint-postgres',
      atMost: 0.8,
      reasons: ON_POSTGRES,
      open: (lab) => pair(lab, 'PostgreSQL', postgresSaver),
    },
    CALLS,
  ),
]

async function sqliteSaver(lab: Lab) {
  const { SqliteSaver } = await requirePeer<SqliteSavers>('@langchain/langgraph-checkpoint-sqlite')
  const client = new BetterSqlite3(lab.file())
  const saver = new SqliteSaver(client)
  saver.setup() // to WAL
  client.pragma('synchronous = FULL')
  return { saver, close: async () => void client.close() }
}

async function postgresSaver(lab: Lab) {
  const { PostgresSaver } = await requirePeer<PostgresSavers>('@langchain/langgraph-checkpoint-postgres')
  const saver = PostgresSaver.fromConnString(await lab.postgresUrl())
  await saver.setup()
  return { saver, close: () => saver.end() }
}

async function pair(
  lab: Lab,
  dialect: 'SQLite' | 'PostgreSQL',
  open: (lab: Lab) => Promise<{ saver: Saver; close(): Promise<void> }>,
): Promise<Pair<Contender>> {
  const adapter = await loadAdapter<typeof import('holdfast/langgraph')>(lab, 'langgraph')
  const { HumanMessage } = await requirePeer<Core>('@langchain/core/messages')
  const { emptyCheckpoint, uuid6 } = await requirePeer<Checkpointing>('@langchain/langgraph-checkpoint')
  const contender = async (saver: Saver): Promise<Contender> => {
    const thread = () => new Thread(saver, { HumanMessage, emptyCheckpoint, uuid6 })
    const seeded = thread()
    await seeded.fill('seeded', STEPS)
    return { saver, ids: seeded.ids, thread, uuid6 }
  }
  const storage = await lab.open(await databaseOf(lab, dialect))
  const theirs = await open(lab)
  return {
    ours: await contender(new adapter.HoldfastSaver(storage)),
    theirs: await contender(theirs.saver),
    close: async () => {
      await storage.close()
      await theirs.close()
    },
  }
}
