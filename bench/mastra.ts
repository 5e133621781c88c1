import type { HoldfastMemory } from 'holdfast/mastra'
import type { Lab } from './lab.ts'
import { loadAdapter, requirePeer } from './load-peer.ts'
import type { Row } from './row.ts'
import { sampleMessage, scattered } from './sample.ts'
import { databaseOf, type Pair, type Versus, versusRows } from './versus.ts'

type Memory = Pick<HoldfastMemory, 'saveThread' | 'saveMessages' | 'listMessages' | 'deleteMessages'>
type Message = Parameters<Memory['saveMessages']>[0]['messages'][number]

interface LibsqlClient {
  execute(sql: string): Promise<unknown>
  close(): void
}

interface Libsql {
  createClient(options: { url: string }): LibsqlClient
}

interface SqliteStores {
  MemoryLibSQL: new (options: { client: LibsqlClient }) => Memory & { init(): Promise<void> }
}

interface PostgresStores {
  PostgresStore: new (options: {
    id: string
    connectionString: string
  }) => {
    init(): Promise<void>
    getStore(name: 'memory'): Promise<Memory | undefined>
    close(): Promise<void>
  }
}

/** Messages of the thread that reads use, and of the thread that messages are deleted from. */
const MESSAGES = 2000
const BEGIN = Date.UTC(2026, 0, 1)

function messageOf(threadId: string, i: number): Message {
  const { role, content } = sampleMessage(i)
  return {
    id: `${threadId}-${i}`,
    role: role === 'user' ? 'user' : 'assistant',
    threadId,
    resourceId: 'ada',
    createdAt: new Date(BEGIN + i * 1000),
    content: { format: 2, parts: [{ type: 'text', text: String(content) }] },
  }
}

async function seed(memory: Memory): Promise<Memory> {
  const createdAt = new Date(BEGIN)
  for (const id of ['read', 'deleted', 'saved']) {
    await memory.saveThread({ thread: { id, resourceId: 'ada', title: 'Oslo', createdAt, updatedAt: createdAt } })
  }
  for (let i = 0; i < MESSAGES; i += 100) {
    for (const id of ['read', 'deleted']) {
      await memory.saveMessages({ messages: Array.from({ length: 100 }, (_, j) => messageOf(id, i + j)) })
    }
  }
  return memory
}

const CALLS: Versus<Memory>[] = [
  {
    name: 'saveMessages of 2',
    way: (memory) => ({
      call: (i) => memory.saveMessages({ messages: [messageOf('saved', 2 * i), messageOf('saved', 2 * i + 1)] }),
    }),
  },
  {
    name: 'listMessages of the last 40',
    way: (memory) => ({
      call: () =>
        memory.listMessages({
          threadId: 'read',
          perPage: 40,
          page: 0,
          orderBy: { direction: 'DESC' },
        }),
    }),
  },
  {
    name: `deleteMessages of 1 in ${MESSAGES}`,
    effort: { sampleMillis: 2, warmupMillis: 50 }, // each call takes a message of the thread
    way: (memory) => ({ call: (i) => memory.deleteMessages([`deleted-${scattered(i, MESSAGES)}`]) }),
  },
]

const REASONS: Record<string, string> = {
  'saveMessages of 2': 'ours looks for known messages and for their order first, in a round trip of its own',
  [`deleteMessages of 1 in ${MESSAGES}`]:
    'the ids name no thread: ours looks for it first, and changes the counters of the session with the message',
}

/** The domain `memory` of `mastraStorage()` against Mastra's own stores, at equal durability. */
export const mastraRows: Row[] = [
  ...versusRows(
    {
      group: 'Mastra on SQLite',
      against: '@mastra/libsql',
      atMost: 1,
      reasons: REASONS,
      open: (lab) => pair(lab, 'SQLite', openLibsql),
    },
    CALLS,
  ),
  ...versusRows(
    {
      group: 'Mastra on PostgreSQL',
      against: '@mastra/pg',
      atMost: 1,
      reasons: REASONS,
      open: (lab) => pair(lab, 'PostgreSQL', openPg),
    },
    CALLS,
  ),
]

async function openLibsql(lab: Lab) {
  const { createClient } = await requirePeer<Libsql>('@libsql/client')
  const { MemoryLibSQL } = await requirePeer<SqliteStores>('@mastra/libsql')
  const client = createClient({ url: `file:${lab.file()}` })
  await client.execute('PRAGMA journal_mode = WAL')
  await client.execute('PRAGMA synchronous = FULL')
  const memory = new MemoryLibSQL({ client })
  await memory.init()
  return { memory, close: async () => client.close() }
}

async function openPg(lab: Lab) {
  const { PostgresStore } = await requirePeer<PostgresStores>('@mastra/pg')
  const store = new PostgresStore({ id: 'theirs', connectionString: await lab.postgresUrl() })
  await store.init()
  const memory = await store.getStore('memory')
  if (memory === undefined) throw new Error('@mastra/pg has no domain memory')
  return { memory, close: () => store.close() }
}

async function pair(
  lab: Lab,
  dialect: 'SQLite' | 'PostgreSQL',
  open: (lab: Lab) => Promise<{ memory: Memory; close(): Promise<void> }>,
): Promise<Pair<Memory>> {
  const { HoldfastMemory } = await loadAdapter<typeof import('holdfast/mastra')>(lab, 'mastra')
  const storage = await lab.open(await databaseOf(lab, dialect))
  const theirs = await open(lab)
  return {
    ours: await seed(new HoldfastMemory(storage)),
    theirs: await seed(theirs.memory),
    close: async () => {
      await storage.close()
      await theirs.close()
    },
  }
}
