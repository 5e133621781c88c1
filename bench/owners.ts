import { enableRowLevelSecurity, migrateStorage, type Storage, type StorageConfig, type StorageScope } from 'holdfast'
import postgres from 'postgres'
import type { Ways } from './harness.ts'
import type { Lab } from './lab.ts'
import { comparison, type Row } from './row.ts'
import { conversation, messageId, SEEDED, SEEDED_MESSAGES, sampleMessage, scattered, seededMessages } from './sample.ts'

type Handle = Pick<Storage & StorageScope, 'kv' | 'memories' | 'messages' | 'sessions'> & {
  blobs: Pick<StorageScope['blobs'], 'list' | 'put'>
}

const CALLS: Record<string, (handle: Handle, i: number) => Promise<unknown>> = {
  'sessions.get': async ({ sessions }, i) => sessions.get(`session ${i % 100}`),
  'messages.get': ({ messages }, i) => messages.get(SEEDED, messageId(scattered(i, SEEDED_MESSAGES))),
  'messages.latest': ({ messages }) => messages.latest(SEEDED, 20),
  append: ({ messages }, i) => messages.append(conversation(i), sampleMessage(i)),
  'kv.set': ({ kv }, i) => kv.set(`key ${i % 100}`, i),
  'sessions.list': ({ sessions }) => sessions.list({ limit: 20, orderBy: 'createdAt' }),
  'memories.list': ({ memories }) => memories.list({ limit: 20 }),
  'blobs.list': ({ blobs }) => blobs.list({ limit: 20 }),
}

/** Calls of a scope, with row-level security against without. */
const SECURED = ['messages.get', 'messages.latest', 'append'] as const

/** The calls of a scope, against the same calls of the storage itself. Both have the same rows. */
export const ownerRows: Row[] = [
  ...rowsOf('SQLite', (lab) => ({ database: { type: 'sqlite', path: lab.file() } })),
  ...rowsOf('PostgreSQL', async (lab) => ({ database: { type: 'postgres', url: await lab.postgresUrl() } })),
  ...SECURED.map(securedRow),
]

function rowsOf(database: string, configOf: (lab: Lab) => StorageConfig | Promise<StorageConfig>): Row[] {
  return Object.entries(CALLS).map(([name, call]) =>
    comparison({
      name: `${database}, in a scope, ${name}`,
      target: { atMost: 1.05 },
      open: async (lab): Promise<Ways> => {
        const open = async () => lab.open(await configOf(lab))
        const pair = await lab.once(
          `${database} scope`,
          async () => ({ ours: await open(), plain: await open() }),
          close,
        )
        const scope = pair.ours.scope({ ownerId: 'ada' })
        for (const handle of [scope, pair.plain]) await seed(handle)
        return {
          ours: { call: (i) => call(scope, i) },
          baseline: { call: (i) => call(pair.plain, i) },
          others: {},
          close: async () => {}, // other rows share the storages
        }
      },
    }),
  )
}

function securedRow(name: (typeof SECURED)[number]): Row {
  return comparison({
    name: `PostgreSQL, in a scope with row-level security, ${name}`,
    target: {}, // it is opt-in
    open: async (lab): Promise<Ways> => {
      const pair = await lab.once(
        'row-level security',
        async () => ({
          ours: await lab.open(await securedConfig(lab)),
          plain: await lab.open({ database: { type: 'postgres', url: await lab.postgresUrl() } }),
        }),
        close,
      )
      const call = CALLS[name] as (typeof CALLS)[string] // one of its keys
      const [ours, plain] = [pair.ours.scope({ ownerId: 'ada' }), pair.plain.scope({ ownerId: 'ada' })]
      for (const handle of [ours, plain]) await seed(handle)
      return {
        ours: { call: (i) => call(ours, i) },
        baseline: { call: (i) => call(plain, i) },
        others: {},
        close: async () => {}, // other rows share the storages
      }
    },
  })
}

/** Makes a database with policies. Its user is no superuser, who would bypass them. */
async function securedConfig(lab: Lab): Promise<StorageConfig> {
  const url = await lab.postgresUrl()
  const config = (address: string): StorageConfig => ({
    database: { type: 'postgres', url: address, options: { rowLevelSecurity: true } },
  })
  await migrateStorage(config(url))
  await enableRowLevelSecurity(config(url))
  const sql = postgres(url, { max: 1 })
  await sql.unsafe(`CREATE ROLE bench_app LOGIN PASSWORD 'bench_app';
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO bench_app`)
  await sql.end()
  return config(Object.assign(new URL(url), { username: 'bench_app', password: 'bench_app' }).href)
}

async function close({ ours, plain }: { ours: Storage; plain: Storage }): Promise<void> {
  await ours.close()
  await plain.close()
}

/** Fills a storage, once. */
async function seed({ blobs, memories, messages, sessions }: Handle): Promise<void> {
  if ((await sessions.get(SEEDED)) !== undefined) return
  await messages.append(SEEDED, seededMessages())
  for (let i = 0; i < 100; i++) {
    await sessions.create({ id: `session ${i}` })
    await memories.create({ content: `memory ${i}` })
    await blobs.put(Buffer.from(`blob ${i}`))
  }
}
