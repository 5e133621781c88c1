// Copies a storage with every table filled from SQLite to PostgreSQL and back to SQLite, in processes of their own: once in peace,
// which is timed, and once killed on the way and resumed. Compares the digests of all tables.
//
//   node --import tsx bench/copy.ts                       10^6 messages, 1,000 blobs, ten kills: on a quiet machine
//   node --import tsx bench/copy.ts --messages 100000     a tenth of the data

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type CopyReport, openStorage, type StorageConfig } from 'holdfast'
import postgres from 'postgres'
import { digests, fill } from '../test/archive/filled.ts'
import { startPostgres } from '../test/setup/servers.ts'
import { quiet } from '../test/setup/silent.ts'

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '1000000' },
    blobs: { type: 'string', default: '1000' },
    kills: { type: 'string', default: '10' },
  },
})
const [MESSAGES, BLOBS, KILLS] = [Number(values.messages), Number(values.blobs), Number(values.kills)]
const EACH = 1000
const TARGET = 30_000

/** What the program of a copy says. */
interface Said {
  table?: string
  rows?: number
  millis?: number
  peakBytes?: number
  report?: CopyReport
}

const directory = mkdtempSync(join(tmpdir(), 'holdfast-copy-'))
const server = await startPostgres()
const admin = postgres(server.url, { max: 1, onnotice: () => {} })
let made = 0

function sqliteConfig(): StorageConfig {
  const path = join(directory, `${made++}`)
  return { database: { type: 'sqlite', path: `${path}.db` }, blobStore: { type: 'local', storePath: `${path}-blobs` } }
}

async function postgresConfig(): Promise<StorageConfig> {
  const name = `copy_${made++}`
  await admin.unsafe(`CREATE DATABASE ${name} TEMPLATE template0`)
  const url = Object.assign(new URL(server.url), { pathname: `/${name}` }).href
  return {
    database: { type: 'postgres', url },
    blobStore: { type: 'local', storePath: join(directory, `${name}-blobs`) },
  }
}

/** Runs a copy in a process of its own until `until` holds for what it says, or to its end. Returns the last that it said. */
async function copied(from: StorageConfig, to: StorageConfig, until: (said: Said) => boolean): Promise<Said> {
  const program = ['test/archive/programs/receive.ts', 'copy', JSON.stringify(from), JSON.stringify(to)]
  const child = spawn(process.execPath, ['--import', 'tsx', ...program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'close')
  let last: Said = {}
  for await (const line of createInterface({ input: child.stdout })) {
    last = JSON.parse(line) as Said // the program says nothing else
    if (!until(last)) continue
    await sleep(Math.random() * 20)
    child.kill('SIGKILL')
    break
  }
  await ended
  return last
}

/** Copies in one go, and prints how fast. */
async function timedCopy(route: string, from: StorageConfig, to: StorageConfig): Promise<void> {
  const { report, millis = Number.NaN, peakBytes = Number.NaN } = await copied(from, to, () => false)
  const rate = Math.round((MESSAGES * 1000) / millis)
  const isMet = rate >= TARGET ? 'meets' : 'misses'
  console.log(
    `${route}: ${rate} messages/s (${isMet} ${TARGET}), ${report?.inserted} rows in ${(millis / 1000).toFixed(1)} s, memory peak ${Math.round(peakBytes / 2 ** 20)} MiB`,
  )
}

/** Copies in a process that is killed at even distances, and goes on each time. */
async function killedCopy(route: string, from: StorageConfig, to: StorageConfig): Promise<void> {
  let kills = 0
  for (let i = 1; i <= KILLS; i++) {
    const place = (MESSAGES / (KILLS + 1)) * i
    await copied(from, to, ({ table, rows = 0 }) => table === 'messages' && rows >= place)
    kills++
  }
  const { report } = await copied(from, to, () => false)
  console.log(
    `${route}: killed ${kills} times, resumed ${report?.resumed}, refused ${report?.refused}, equal ${report?.equal}`,
  )
}

async function digestsOf(config: StorageConfig): Promise<string> {
  await using storage = await openStorage(config, quiet)
  return JSON.stringify(await digests(storage))
}

const source = sqliteConfig()
{
  await using storage = await openStorage(source, quiet)
  await fill(storage, 'nobody')
  await fill(storage.scope({ ownerId: 'ada' }), 'ada')
  for (let i = 0; i < BLOBS; i++) await storage.blobs.put(Buffer.from(`blob ${i} `.padEnd(1000, `${i} `)))
  const message = (i: number, j: number) => ({
    role: 'user',
    content: [{ type: 'text', text: `message ${j} of ${i} ${'lorem ipsum '.repeat(12)}` }],
  })
  for (let i = 0; i < MESSAGES / EACH; i++) {
    await storage.messages.append(
      `s${i}`,
      Array.from({ length: EACH }, (_, j) => message(i, j)),
    )
  }
}
console.log(`${MESSAGES} messages of about 200 bytes, ${BLOBS} blobs, and rows in every table`)
const [there, back] = [await postgresConfig(), sqliteConfig()]
await timedCopy('SQLite to PostgreSQL', source, there)
await timedCopy('PostgreSQL to SQLite', there, back)
const [atSource, ...others] = [await digestsOf(source), await digestsOf(there), await digestsOf(back)]
console.log(`digests of all tables equal: ${others.every((each) => each === atSource)}`)
if (KILLS > 0) {
  const [killedThere, killedBack] = [await postgresConfig(), sqliteConfig()]
  await killedCopy('SQLite to PostgreSQL', source, killedThere)
  await killedCopy('PostgreSQL to SQLite', killedThere, killedBack)
  const ends = [await digestsOf(killedThere), await digestsOf(killedBack)]
  console.log(`digests of all tables equal after the kills: ${ends.every((each) => each === atSource)}`)
}
await admin.end()
await server.stop('immediate')
rmSync(directory, { recursive: true, force: true })
