import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Storage } from 'holdfast'
import { startTracing } from '../test/adapters/tracing.ts'
import { quiet } from '../test/setup/silent.ts'
import type { Way, Ways } from './harness.ts'
import type { Lab } from './lab.ts'
import { comparison, type Row } from './row.ts'
import { conversation, messageId, SEEDED, SEEDED_MESSAGES, sampleMessage, scattered, seededMessages } from './sample.ts'
import { buildUnobserved } from './unobserved.ts'

type Call = (storage: Storage, i: number) => Promise<unknown>

const CALLS: Record<string, Call> = {
  'memory cache, hit': ({ kv }) => kv.get('cached'),
  'SQLite, messages.get': ({ messages }, i) => messages.get(SEEDED, messageId(scattered(i, SEEDED_MESSAGES))),
  'SQLite, append': ({ messages }, i) => messages.append(conversation(i), sampleMessage(i)),
}

/** Calls while somebody listens, and while nobody does. */
export const tracingRows: Row[] = Object.entries(CALLS).flatMap(([name, call]) => [
  row(`traced, ${name}`, call),
  untracedRow(`untraced, ${name}`, call),
])

/** While nobody listens, against the same package without channels for its calls. */
function untracedRow(name: string, call: Call): Row {
  return comparison({
    name,
    target: { atMost: 1.1 }, // less is noise
    open: async (lab): Promise<Ways> => {
      const { plain } = await lab.once('traced storages', () => open(lab), close)
      const { unobserved } = await lab.once('unobserved storage', () => openUnobserved(lab), close)
      return {
        ours: { call: (i) => call(plain, i) },
        baseline: { call: (i) => call(unobserved, i) },
        close: async () => {}, // other rows share the storages
      }
    },
  })
}

/** While somebody listens, against while nobody does. */
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
  for (const storage of Object.values(opened)) await seed(storage)
  return opened
}

async function openUnobserved(lab: Lab): Promise<{ unobserved: Storage }> {
  const openStorage = await buildUnobserved()
  const unobserved = await openStorage(configOf(lab), quiet)
  await seed(unobserved)
  return { unobserved }
}

async function seed({ kv, messages }: Storage): Promise<void> {
  await kv.set('cached', { theme: 'dark' })
  await messages.append(SEEDED, seededMessages())
}

const configOf = (lab: Lab) => ({ database: { type: 'sqlite', path: lab.file() } }) as const

async function close(opened: Record<string, Storage>): Promise<void> {
  for (const storage of Object.values(opened)) await storage.close()
}
