import type { Lab } from './lab.ts'
import { loadAdapter, requirePeer } from './load-peer.ts'
import type { Row } from './row.ts'
import { scattered } from './sample.ts'
import { databaseOf, ONE_CALL, type Pair, renewed, type Versus, versusRows } from './versus.ts'

/** The part of Keyv that the benchmarks use. */
interface Keyv {
  get(key: string): Promise<unknown>
  set(key: string, value: unknown): Promise<unknown>
  clear(): Promise<void>
}

interface Keyvs {
  Keyv: new (options: { store: unknown; namespace: string }) => Keyv
}

type Entries = { key: string; value: string }[]

interface OwnStore {
  query(sql: string, values?: unknown[]): Promise<unknown>
  disconnect(): Promise<void>
}

interface SqliteStores {
  KeyvSqlite: new (options: { uri: string }) => OwnStore
}

interface PostgresStores {
  KeyvPostgres: new (options: { uri: string }) => OwnStore & { setMany(entries: Entries): Promise<void> }
}

/** A Keyv with values, and one that is cleared. */
interface Contender {
  keyv: Keyv
  cleared: Keyv
  /** Stores many values of a namespace at once, as Keyv writes them. */
  fill(entries: Entries): Promise<unknown>
  /** How many values each namespace has. */
  count: number
}

interface Opened {
  store: unknown
  fill: Contender['fill']
  close(): Promise<void>
}

const weatherOf = (i: number) => ({
  city: `city ${i}`,
  degrees: i % 30,
  wind: 'from the west',
  note: 'Rain is likely. '.repeat(8),
})

function entries(namespace: string, count: number): Entries {
  return Array.from({ length: count }, (_, i) => ({
    key: `${namespace}:key-${i}`,
    value: JSON.stringify({ value: weatherOf(i) }),
  }))
}

const CALLS: Versus<Contender>[] = [
  {
    name: 'set',
    way: ({ keyv, count }) => ({ call: (i) => keyv.set(`key-${scattered(i, count)}`, weatherOf(i)) }),
  },
  { name: 'get', way: ({ keyv, count }) => ({ call: (i) => keyv.get(`key-${scattered(i, count)}`) }) },
  {
    name: 'clear',
    effort: { ...ONE_CALL, rounds: 20 },
    way: ({ cleared, fill, count }) =>
      renewed(
        async () => void (await fill(entries('cleared', count))),
        () => cleared.clear(),
      ),
  },
]

const REASONS: Record<string, string> = {
  set: 'ours checks what it stores, keeps a version and times, and returns the row',
  get: 'ours reads the version and the times as well, and puts the row into its cache',
  clear:
    'theirs sends one DELETE, and ours reads the keys first, 1000 at a time, so that no cache keeps a value that is gone',
}

/** `HoldfastKeyv` against Keyv's own stores, at equal durability, each behind Keyv. */
export const keyvRows: Row[] = [
  ...versusRows(
    {
      group: 'Keyv on SQLite',
      against: '@keyv/sqlite',
      atMost: 1,
      reasons: REASONS,
      open: (lab) => pair(lab, 'SQLite', openSqlite),
    },
    CALLS,
  ),
  ...versusRows(
    {
      group: 'Keyv on PostgreSQL',
      against: '@keyv/postgres',
      atMost: 1,
      reasons: REASONS,
      open: (lab) => pair(lab, 'PostgreSQL', openPostgres),
    },
    CALLS,
  ),
]

async function openSqlite(lab: Lab): Promise<Opened> {
  const { KeyvSqlite } = await requirePeer<SqliteStores>('@keyv/sqlite')
  const store = new KeyvSqlite({ uri: `sqlite://${lab.file()}` })
  await store.query('PRAGMA journal_mode = WAL') // as ours; the store leaves the default, which syncs more files
  await store.query('PRAGMA synchronous = FULL')
  return {
    store,
    fill: (values) =>
      store.query(
        `INSERT INTO keyv (key, value) SELECT e.value ->> 'key', e.value ->> 'value' FROM json_each(?) e WHERE true
         ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
        [JSON.stringify(values)],
      ),
    close: () => store.disconnect(),
  }
}

async function openPostgres(lab: Lab): Promise<Opened> {
  const { KeyvPostgres } = await requirePeer<PostgresStores>('@keyv/postgres')
  const store = new KeyvPostgres({ uri: await lab.postgresUrl() })
  return { store, fill: (values) => store.setMany(values), close: () => store.disconnect() }
}

async function pair(
  lab: Lab,
  dialect: 'SQLite' | 'PostgreSQL',
  open: (lab: Lab) => Promise<Opened>,
): Promise<Pair<Contender>> {
  const { HoldfastKeyv } = await loadAdapter<typeof import('holdfast/keyv')>(lab, 'keyv')
  const { Keyv } = await requirePeer<Keyvs>('keyv')
  const count = lab.options.messages / 100
  const contender = async ({ store, fill }: Omit<Opened, 'close'>): Promise<Contender> => {
    await fill(entries('weather', count))
    const keyv = new Keyv({ store, namespace: 'weather' })
    // A store clears the namespace that it was given last.
    return { keyv, cleared: new Keyv({ store, namespace: 'cleared' }), fill, count }
  }
  const storage = await lab.open(await databaseOf(lab, dialect))
  const store = new HoldfastKeyv(storage.kv)
  const theirs = await open(lab)
  return {
    ours: await contender({ store, fill: (values) => store.setMany(values) }),
    theirs: await contender(theirs),
    close: async () => {
      await storage.close()
      await theirs.close()
    },
  }
}
