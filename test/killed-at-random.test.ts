import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage, type Storage, type StorageConfig } from 'holdfast'
import { expect, test, vi } from 'vitest'
import { calls, type Handle } from './owners/isolation-calls.ts'
import type { Said } from './programs/random-calls.ts'
import { checkIndex } from './search/databases.ts'
import { connectedClients, freshDirectory, freshPostgres, redisPrefix, redisUrl } from './setup/databases.ts'
import { runScript } from './setup/processes.ts'
import { rounds } from './setup/rounds.ts'
import { quiet } from './setup/silent.ts'

const PROCESSES = 3
const ROUNDS = rounds(1, 60)
const LONGEST_LIFE_MILLIS = 700

const search = { search: true }
const postgres = async () =>
  ({ type: 'postgres', url: await freshPostgres(), maxConnections: 5, options: search }) as const
const configurations: Record<string, () => Promise<StorageConfig>> = {
  SQLite: async () => ({
    database: { type: 'sqlite', path: join(freshDirectory(), 'agent.db'), options: search },
    blobStore: { type: 'local', storePath: freshDirectory() },
  }),
  'PostgreSQL and Redis': async () => ({
    // A process that writes while Redis is slow, and is killed, would leave what is stale to its TTL.
    cache: { type: 'redis', url: redisUrl(), options: { keyPrefix: redisPrefix(), consistency: 'strict' } },
    database: await postgres(),
    blobStore: { type: 'local', storePath: freshDirectory() },
  }),
  'PostgreSQL with its blobs': async () => ({ database: await postgres(), blobStore: { type: 'database' } }),
}

/** Calls that the cache answers. */
const CACHED = ['sessions.get', 'kv.get', 'prompts.get', 'toolState.get', 'approvals.getState']
const CACHED_TOO = ['toolPreferences.getPreferences', 'workspaces.get']

/** Returns what a handle answers to the calls that the cache answers. */
async function cachedAnswers(handle: Handle): Promise<unknown[]> {
  const made = { memories: [], blobs: [] }
  const answers: unknown[] = []
  for (const name of [...CACHED, ...CACHED_TOO]) {
    for (const session of ['s', 't', 'u']) {
      for (const key of ['a', 'b', 'c']) {
        for (const n of [0, 1])
          answers.push([name, session, key, n, await calls[name]?.(handle, { session, key, n, made })])
      }
    }
  }
  return answers
}

const viewsOf = (storage: Storage) =>
  [storage, storage.scope({ ownerId: 'ada' }), storage.scope({ ownerId: 'bob' })].map((view) => view as Handle) // it has what the calls use

/** Fails if anything is damaged, stale or counted wrongly, while no process works on it. */
async function inspect(config: StorageConfig): Promise<void> {
  await using storage = await openStorage(config, quiet)
  await using uncached = await openStorage({ ...config, cache: { type: 'in-memory' } }, quiet)
  const fresh = viewsOf(uncached)
  for (const [i, view] of viewsOf(storage).entries()) {
    expect(await cachedAnswers(view)).toEqual(await cachedAnswers(fresh[i] ?? expect.fail()))
  }
  expect((await storage.diagnose()).filter(({ result }) => result === 'fail')).toEqual([])
  // A deletion that was killed leaves a content that nothing needs: maintenance removes it, and nothing else may be wrong.
  const wrong = async () => (await storage.blobs.verify()).steps.filter(({ found }) => found > 0)
  expect((await wrong()).filter(({ step }) => step !== 'unreferenced')).toEqual([])
  await storage.maintain()
  expect(await wrong()).toEqual([])
  if (config.database?.type === 'sqlite') checkIndex(config.database.path ?? '')
}

test.each(Object.entries(configurations))(
  '%s: nothing is damaged, stale or counted wrongly when processes that make calls of every kind are killed at random',
  { timeout: rounds(180_000, 3_600_000) },
  async (_, configure) => {
    const config = await configure()
    await (await openStorage(config, quiet)).close()
    const start = () => runScript<Said>('test/programs/random-calls.ts', [JSON.stringify(config)])
    let unexpected: Said[] = []
    let done = 0
    for (let round = 0; round < ROUNDS; round++) {
      const scripts = Array.from({ length: PROCESSES }, start)
      for (const script of scripts) await script.next(({ ready }) => ready === true)
      for (let i = 0; i < PROCESSES; i++) {
        await sleep(Math.random() * LONGEST_LIFE_MILLIS)
        await scripts[i]?.kill()
        const next = start()
        scripts.push(next)
        await next.next(({ ready }) => ready === true)
      }
      await sleep(Math.random() * LONGEST_LIFE_MILLIS)
      await Promise.all(scripts.map((script) => script.kill()))
      // PostgreSQL goes on with what a process had sent when it was killed.
      await vi.waitFor(async () => expect(await connectedClients()).toEqual([]), 30_000)
      const said = scripts.flatMap(({ messages }) => messages)
      unexpected = [...unexpected, ...said.filter(({ failed }) => failed !== undefined)]
      done += said.filter((each) => each.done !== undefined).length
      await inspect(config)
    }
    expect(unexpected).toEqual([])
    expect(done).toBeGreaterThan(0)
  },
)
