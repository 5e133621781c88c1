import type { Storage } from 'holdfast'
import type { Way, Ways } from './harness.ts'
import type { Lab } from './lab.ts'
import { comparison, type Row } from './row.ts'
import { messageId, SEEDED, sampleMessage, scattered } from './sample.ts'
import { dialects, type Size } from './seeded.ts'

const SMALL = { messages: 1000, sessions: 100 }
const PAGE = 20

type Work = (storage: Storage, i: number, size: Size) => Promise<unknown>

const perMessages: Record<string, Work> = {
  append: (storage, i) => storage.messages.append(SEEDED, sampleMessage(i)),
  'latest(20)': (storage) => storage.messages.latest(SEEDED, PAGE),
  'page in the middle': (storage, i, { messages }) =>
    storage.messages.list(SEEDED, { after: Math.floor(messages / 2) + (i % 100), limit: PAGE }),
  'messages.get': (storage, i, { messages }) => storage.messages.get(SEEDED, messageId(1 + scattered(i, messages))),
}

const perSessions: Record<string, Work> = {
  append: (storage, i, { sessions }) => storage.messages.append(sessionId(i, sessions), sampleMessage(i)),
  'sessions.list': (storage) => storage.sessions.list({ limit: PAGE }),
  'sessions.list of an owner': (storage) => storage.sessions.list({ ownerId: 'owner-3', limit: PAGE }),
  'sessions.summary': (storage, i, { sessions }) => storage.sessions.summary(sessionId(i, sessions)),
}

function sessionId(i: number, count: number): string {
  return `session-${1 + scattered(i, count)}`
}

/** The cost of calls on much data, as a multiple of their cost on little data. */
export const growthRows: Row[] = [
  ...growing('messages', perMessages, (lab) => ({ ...SMALL, messages: lab.options.messages })),
  ...growing('sessions', perSessions, (lab) => ({ ...SMALL, sessions: lab.options.sessions })),
]

function growing(what: keyof Size, works: Record<string, Work>, largest: (lab: Lab) => Size): Row[] {
  return Object.entries(dialects).flatMap(([dialect, seeded]) =>
    Object.entries(works).map(([name, work]) =>
      comparison({
        name: `${dialect}, ${name}, with many ${what}`,
        target: { atMost: 1.3 },
        open: async (lab): Promise<Ways> => {
          const storages: Storage[] = []
          const way = async (size: Size): Promise<Way> => {
            const storage = await lab.open(await seeded(lab, size))
            storages.push(storage)
            return { call: (i) => work(storage, i, size) }
          }
          return {
            ours: await way(largest(lab)),
            baseline: await way(SMALL),
            close: async () => {
              for (const storage of storages) await storage.close()
            },
          }
        },
      }),
    ),
  )
}
