import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { HumanMessage } from '@langchain/core/messages'
import { type BaseCheckpointSaver, emptyCheckpoint, uuid6 } from '@langchain/langgraph-checkpoint'
import { PostgresSaver } from '@langchain/langgraph-checkpoint-postgres'
import { SqliteSaver } from '@langchain/langgraph-checkpoint-sqlite'
import BetterSqlite3 from 'better-sqlite3'
import { openStorage, type StorageConfig } from 'holdfast'
import { HoldfastSaver } from 'holdfast/langgraph'
import postgres from 'postgres'
import { startPostgres } from '../setup/servers.ts'
import { quiet } from '../setup/silent.ts'

// Measures HoldfastSaver against the savers of LangGraph, at equal durability: node --import tsx test/adapters/langgraph-bench.ts

const STEPS = 150
const ROUNDS = 4 // the first one warms up

type Times = Record<string, number[]>

const directory = mkdtempSync(join(tmpdir(), 'langgraph-bench-'))
const server = await startPostgres()

async function ours(database: StorageConfig['database']) {
  return new HoldfastSaver(await openStorage({ database }, quiet))
}

async function freshDatabase(name: string): Promise<string> {
  const sql = postgres(server.url, { max: 1 })
  await sql.unsafe(`CREATE DATABASE ${name}`)
  await sql.end()
  const url = new URL(server.url)
  url.pathname = `/${name}`
  return url.href
}

function sqliteSaver() {
  const database = new BetterSqlite3(join(directory, 'theirs.db'))
  database.pragma('synchronous = FULL') // as ours
  // Another copy of better-sqlite3 than the saver's own, with other types.
  return new SqliteSaver(database as never)
}

async function postgresSaver() {
  const saver = PostgresSaver.fromConnString(await freshDatabase('theirs'))
  await saver.setup()
  return saver
}

const messages = (count: number) =>
  Array.from(
    { length: count },
    (_, i) => new HumanMessage({ id: `m${i}`, content: 'The train leaves at eight. '.repeat(4) }),
  )

async function measure(times: Times, name: string, call: () => Promise<unknown>): Promise<void> {
  const start = performance.now()
  await call()
  times[name] ??= []
  times[name].push(performance.now() - start)
}

/** Runs a thread of up to 20 messages, reads it, and removes it. */
async function run(saver: BaseCheckpointSaver, thread_id: string, times: Times): Promise<void> {
  let config = { configurable: { thread_id, checkpoint_ns: '' } }
  const thread = config
  let versions: Record<string, number> = {}
  for (let step = 0; step < STEPS; step++) {
    const changed = step === 0 ? ['messages', 'plan', 'branch:to:agent'] : ['messages', 'branch:to:agent']
    const newVersions = Object.fromEntries(changed.map((name) => [name, saver.getNextVersion(versions[name])]))
    versions = { ...versions, ...newVersions }
    const values = { messages: messages(Math.min(step + 1, 20)), plan: { steps: ['search', 'book'], note: 'by train' } }
    const checkpoint = { ...emptyCheckpoint(), id: uuid6(step), channel_values: values, channel_versions: versions }
    await measure(times, 'put', async () => {
      config = (await saver.put(
        config,
        checkpoint,
        { source: 'loop', step, parents: {} },
        newVersions,
      )) as typeof config
    })
    const writes: [string, unknown][] = [
      ['messages', messages(1)],
      ['branch:to:agent', null],
    ]
    await measure(times, 'putWrites', () => saver.putWrites(config, writes, `task-${step}`))
  }
  for (let i = 0; i < STEPS; i++) {
    await measure(times, 'latest', () => saver.getTuple(thread))
    await measure(times, 'by id', () => saver.getTuple(config))
    if (i % 5 > 0) continue
    await measure(times, 'list of ten', async () => {
      for await (const _ of saver.list(thread, { limit: 10 }));
    })
  }
  await measure(times, 'deleteThread', () => saver.deleteThread(thread_id))
}

const median = (values: number[] = []) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

const pairs: [string, BaseCheckpointSaver, BaseCheckpointSaver][] = [
  ['SQLite', sqliteSaver(), await ours({ type: 'sqlite', path: join(directory, 'ours.db') })],
  ['PostgreSQL', await postgresSaver(), await ours({ type: 'postgres', url: await freshDatabase('ours') })],
]
for (const [name, theirs, own] of pairs) {
  const measured: [Times, Times] = [{}, {}]
  for (let round = 0; round < ROUNDS; round++) {
    await run(theirs, `thread-${round}`, round === 0 ? {} : measured[0])
    await run(own, `thread-${round}`, round === 0 ? {} : measured[1])
  }
  for (const call of Object.keys(measured[0])) {
    const [their, our] = measured.map((times) => median(times[call]))
    console.log(
      `${name} ${call}: theirs ${their?.toFixed(3)} ms, ours ${our?.toFixed(3)} ms, ${((our ?? 0) / (their ?? 1)).toFixed(2)}`,
    )
  }
}

// What prune() leaves of a long thread.
const [, , sqlite] = pairs[0] ?? []
if (sqlite instanceof HoldfastSaver) {
  let config = { configurable: { thread_id: 'long', checkpoint_ns: '' } }
  for (let step = 0; step < 10_000; step++) {
    const checkpoint = {
      ...emptyCheckpoint(),
      id: uuid6(step),
      channel_values: { a: step },
      channel_versions: { a: step },
    }
    config = (await sqlite.put(config, checkpoint, { source: 'loop', step, parents: {} }, { a: step })) as typeof config
  }
  const times: Times = {}
  await measure(times, 'prune', async () => console.log('pruned', await sqlite.prune('long', { keepLast: 10 })))
  console.log(`prune of 10,000 steps: ${median(times.prune).toFixed(0)} ms`)
}
await server.stop()
rmSync(directory, { recursive: true, force: true })
process.exit()
