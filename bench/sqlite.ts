import BetterSqlite3 from 'better-sqlite3'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { migrate } from 'drizzle-orm/better-sqlite3/migrator'
import { closeField, contenderOf, type Field, waysOf } from './contender.ts'
import { drizzleSqlite } from './drizzle-sqlite.ts'
import { kyselyOnSqlite } from './kysely.ts'
import type { Lab } from './lab.ts'
import { rawSqlite } from './raw-sqlite.ts'
import { comparison, type Row } from './row.ts'
import { SEEDED, seededMessages } from './sample.ts'

const READS = 'a prepared statement by hand checks no id and asks for no session that has expired'
const ALONE =
  'a write waits for a turn of the event loop, so that others can join its commit, and what it stores and returns is checked and copied'

/** SQLite on disk and in memory, against better-sqlite3. */
export const sqliteRows: Row[] = [
  comparison({
    name: 'SQLite, messages.get',
    target: { atMost: 1.15 },
    peers: READS,
    open: async (lab) => waysOf('message', await onDisk(lab)),
  }),
  comparison({
    name: 'SQLite, sessions.get',
    target: { atMost: 1.15 },
    open: async (lab) => waysOf('session', await onDisk(lab)),
  }),
  comparison({
    name: 'SQLite, page of 50',
    target: { atMost: 1 },
    peers: '',
    open: async (lab) => waysOf('page', await onDisk(lab)),
  }),
  comparison({
    name: 'SQLite, append',
    target: { atMost: 1.15 },
    peers: ALONE,
    open: async (lab) => waysOf('append', await onDisk(lab)),
  }),
  comparison({
    name: 'SQLite, append, 64 in flight',
    target: { atLeast: 3 },
    peers: '',
    inFlight: 64,
    open: async (lab) => waysOf('append', await onDisk(lab)),
  }),
  comparison({
    name: 'in-memory, messages.get',
    target: { atMost: 1.15 },
    peers: READS,
    open: async (lab) => waysOf('message', await inMemory(lab)),
  }),
  comparison({
    name: 'in-memory, append',
    target: {},
    peers: ALONE,
    open: async (lab) => waysOf('append', await inMemory(lab)),
  }),
]

const onDisk = (lab: Lab) => lab.once('SQLite field', () => field(lab, () => lab.file()), closeField)
const inMemory = (lab: Lab) => lab.once('in-memory field', () => field(lab, () => ':memory:'), closeField)

/** Opens the contenders, each with a database of its own, so that none waits for another's lock. */
async function field(lab: Lab, where: () => string): Promise<Field> {
  const path = where()
  const storage = await lab.open({ database: path === ':memory:' ? { type: 'in-memory' } : { type: 'sqlite', path } })
  await storage.messages.append(SEEDED, seededMessages())
  const clients = [seededClient(where()), seededClient(where()), seededClient(where()), seededClient(where())] as const
  const kysely = await kyselyOnSqlite(clients[3])
  return {
    ours: contenderOf(storage),
    raw: rawSqlite(clients[0]),
    others: {
      drizzle: drizzleSqlite(clients[1]).perCall,
      prepared: drizzleSqlite(clients[2]).prepared,
      ...(kysely && { kysely }),
    },
    close: async () => {
      await storage.close()
      for (const client of clients) client.close()
    },
  }
}

/** Opens a database with the storage's tables, as durable as the storage's. */
function seededClient(file: string): BetterSqlite3.Database {
  const client = new BetterSqlite3(file)
  client.pragma('journal_mode = WAL')
  client.pragma('synchronous = FULL')
  migrate(drizzle({ client }), { migrationsFolder: 'migrations/sqlite' })
  client.pragma('foreign_keys = ON')
  const { append } = rawSqlite(client)
  client.transaction(() => {
    for (const message of seededMessages()) append(SEEDED, message)
  })()
  return client
}
