import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Storage } from 'holdfast'
import { startTracing } from '../test/adapters/tracing.ts'
import type { Way, Ways } from './harness.ts'
import type { Lab } from './lab.ts'
import { comparison, type Row } from './row.ts'
import { conversation, messageId, SEEDED, SEEDED_MESSAGES, sampleMessage, scattered, seededMessages } from './sample.ts'

type Call = (storage: Storage, i: number) => Promise<unknown>

/** Calls while somebody listens, against the same calls while nobody does. */
export const tracingRows: Row[] = [
  row('traced, memory cache, hit', ({ kv }) => kv.get('cached')),
  row('traced, SQLite, messages.get', ({ messages }, i) =>
    messages.get(SEEDED, messageId(scattered(i, SEEDED_MESSAGES))),
  ),
  row('traced, SQLite, append', ({ messages }, i) => messages.append(conversation(i), sampleMessage(i))),
]

function row(name: string, call: Call): Row {
  return comparison({
    name,
    target: {},
    open: async (lab): Promise<Ways> => {
      const { plain, timed } = await lab.once('traced storages', () => open(lab), close)
      return {
        ours: listening(plain, call, () => startTracing({ statements: false })),
        baseline: { call: (i) => call(plain, i) },
        others: {
          statements: listening(plain, call, () => startTracing({ statements: true })),
          listener: listening(plain, call, startListening),
          slowOperationMillis: { call: (i) => call(timed, i) },
        },
        close: async () => {}, // other rows share the storages
      }
    },
  })
}

/** Returns a way that begins to listen before its calls, and ends after them. */
function listening(storage: Storage, call: Call, start: () => () => void): Way {
  let end = () => {}
  return {
    prepare: () => {
      end = start()
    },
    call: (i) => call(storage, i),
    tidy: async () => end(),
  }
}

const LISTENED = 'tracing:holdfast:operation:asyncEnd'

function startListening(): () => void {
  const listener = () => {}
  subscribe(LISTENED, listener)
  return () => unsubscribe(LISTENED, listener)
}

async function open(lab: Lab): Promise<{ plain: Storage; timed: Storage }> {
  const opened = {
    plain: await lab.open(configOf(lab)),
    timed: await lab.open(configOf(lab), { slowOperationMillis: 60_000 }),
  }
  for (const { kv, messages } of Object.values(opened)) {
    await kv.set('cached', { theme: 'dark' })
    await messages.append(SEEDED, seededMessages())
  }
  return opened
}

const configOf = (lab: Lab) => ({ database: { type: 'sqlite', path: lab.file() } }) as const

async function close(opened: Record<string, Storage>): Promise<void> {
  for (const storage of Object.values(opened)) await storage.close()
}
