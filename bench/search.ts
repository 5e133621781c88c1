import type { Storage, StorageConfig } from 'holdfast'
import type { Ways } from './harness.ts'
import type { Lab } from './lab.ts'
import { comparison, type Row } from './row.ts'
import { conversation } from './sample.ts'

const WORDS_OF_MESSAGE = 51
const BATCH = 500
const SESSIONS = 100

/** Returns a message in which every word is rare except for "common", in each fifth, and "everywhere". */
function contentOf(i: number): string {
  const words = Array.from({ length: WORDS_OF_MESSAGE - 2 }, (_, k) => `w${((i * 31 + k * k * 7) % 5000).toString(36)}`)
  return ['everywhere', i % 5 === 0 ? 'common' : 'other', ...(i % 222 === 0 ? ['blue moon'] : []), ...words].join(' ')
}

const QUERIES: Record<string, { atMost: number; call: (storage: Storage) => Promise<unknown> }> = {
  'a word of every message': { atMost: 30, call: ({ messages }) => messages.search('everywhere', { limit: 20 }) },
  'a common word': { atMost: 30, call: ({ messages }) => messages.search('common', { limit: 20 }) },
  'a rare word': { atMost: 30, call: ({ messages }) => messages.search('moon', { limit: 20 }) },
  'a phrase': { atMost: 30, call: ({ messages }) => messages.search('"blue moon"', { limit: 20 }) },
  'a prefix': { atMost: 100, call: ({ messages }) => messages.search('w10*', { limit: 20 }) },
  'a common word in a session': {
    atMost: 30,
    call: ({ messages }) => messages.search('common', { limit: 20, sessionId: conversation(5) }),
  },
}

type Configure = (lab: Lab, search: boolean) => StorageConfig | Promise<StorageConfig>

const databases: [name: string, appends: number, configure: Configure][] = [
  ['SQLite', 1.6, (lab, search) => ({ database: { type: 'sqlite', path: lab.file(), options: { search } } })],
  [
    'PostgreSQL',
    1.1,
    async (lab, search) => ({ database: { type: 'postgres', url: await lab.postgresUrl(), options: { search } } }),
  ],
]

/** Appends with the search switched on against off; and searches, newest first, against a read of the newest messages. */
export const searchRows: Row[] = databases.flatMap(([database, appends, configure]) => [
  comparison({
    name: `${database}, append, with the search on`,
    target: { atMost: appends },
    async open(lab): Promise<Ways> {
      const [on, off] = [await lab.open(await configure(lab, true)), await lab.open(await configure(lab, false))]
      const append = (storage: Storage) => ({
        call: (i: number) => storage.messages.append(conversation(i), { role: 'user', content: contentOf(i) }),
      })
      return { ours: append(on), baseline: append(off), others: {}, close: () => closeAll([on, off]) }
    },
  }),
  ...Object.entries(QUERIES).map(([query, { atMost, call }]) =>
    comparison({
      name: `${database}, search, ${query}`,
      target: { atMost },
      async open(lab): Promise<Ways> {
        const storage = await lab.once(
          `${database} search`,
          async () => filled(lab, await configure(lab, true)),
          closeOne,
        )
        return {
          ours: { call: () => call(storage) },
          baseline: { call: () => storage.messages.latest(conversation(5), 20) },
          others: {},
          close: async () => {}, // other rows share the storage
        }
      },
    }),
  ),
])

const closeOne = (storage: Storage) => storage.close()

async function closeAll(storages: readonly Storage[]): Promise<void> {
  for (const storage of storages) await storage.close()
}

async function filled(lab: Lab, config: StorageConfig): Promise<Storage> {
  const storage = await lab.open(config)
  for (let i = 0; i < lab.options.messages; i += BATCH) {
    const batch = Array.from({ length: BATCH }, (_, k) => ({ role: 'user', content: contentOf(i + k) }))
    await storage.messages.append(conversation((i / BATCH) % SESSIONS), batch)
  }
  return storage
}
