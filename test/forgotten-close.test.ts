import { join } from 'node:path'
import { openStorage, type StorageConfig } from 'holdfast'
import { expect, it, vi } from 'vitest'
import { startCluster } from './cache/redis-cluster.ts'
import { recordingLogger } from './cache/redis-fixture.ts'
import type { Message } from './programs/forget-close.ts'
import { freshDirectory, freshPostgres, redisPrefix, redisUrl } from './setup/databases.ts'
import { runScript } from './setup/processes.ts'
import { quiet } from './setup/silent.ts'

const sqlite = () => ({ type: 'sqlite', path: join(freshDirectory(), 'agent.db') }) as const
const postgres = async () => ({ type: 'postgres', url: await freshPostgres() }) as const
const redis = () => ({ type: 'redis', url: redisUrl(), options: { keyPrefix: redisPrefix() } }) as const
const local = () => ({ type: 'local', storePath: freshDirectory() }) as const

/** Less than an idle connection lives if nothing ends the process, and more than a busy machine needs. */
const ENDS_WITHIN_MILLIS = 15_000

const configurations: [name: string, configure: () => Promise<StorageConfig>][] = [
  ['SQLite', async () => ({ database: sqlite() })],
  ['SQLite, Redis and local blobs', async () => ({ database: sqlite(), cache: redis(), blobStore: local() })],
  ['PostgreSQL', async () => ({ database: await postgres() })],
  [
    'PostgreSQL with notices',
    async () => ({ database: await postgres(), cache: { type: 'in-memory', options: { invalidation: 'notify' } } }),
  ],
  ['PostgreSQL and Redis', async () => ({ database: await postgres(), cache: redis() })],
  [
    'PostgreSQL, Redis and local blobs',
    async () => ({ database: await postgres(), cache: redis(), blobStore: local() }),
  ],
  [
    'PostgreSQL and a Redis cluster',
    async () => {
      const { cluster } = await startCluster()
      return { database: await postgres(), cache: { type: 'redis', options: { cluster } } }
    },
  ],
]

it.each(configurations)(
  'a program on %s that forgets close() ends by itself, after the calls in flight',
  async (_, configure) => {
    const config = await configure()
    const program = runScript<Message>('test/programs/forget-close.ts', [JSON.stringify(config)])
    await program.next(({ awaited }) => awaited === true)
    const awaited = performance.now()
    expect(await program.exit).toEqual({ code: 0, signal: null })
    expect(performance.now() - awaited).toBeLessThan(ENDS_WITHIN_MILLIS)

    const acknowledged = program.messages.flatMap((message) => message.acknowledged ?? [])
    expect(acknowledged).toEqual(expect.arrayContaining(['in flight', 'in a transaction', 'from the cache']))
    await using storage = await openStorage(config, quiet)
    const keys = acknowledged.filter((key) => key !== 'from the cache')
    expect([...(await storage.kv.getMany(keys)).keys()].toSorted()).toEqual(keys.toSorted())
    expect(await storage.messages.latest('session', 50)).toHaveLength(20)
  },
)

it('openStorage() warns once if the process has a storage on the same configuration, even from another evaluation', async () => {
  const { logger, lines } = recordingLogger()
  const config = { database: sqlite() }
  const options = { maintenance: false, logger }
  await using first = await openStorage(config, options)
  await using other = await openStorage({ database: sqlite() }, options)
  expect(lines).toEqual([])

  vi.resetModules() // as a hot reload does
  const reloaded = await import('holdfast')
  await using second = await reloaded.openStorage(config, options)
  await using third = await reloaded.openStorage(config, options)
  expect(lines).toEqual([
    expect.objectContaining({ level: 'warn', message: expect.stringContaining('second storage') }),
  ])
  await Promise.all([first, second, third, other].map((storage) => storage.close()))
})

it('openStorage() does not warn if the storage before it was closed, or if both are in memory', async () => {
  const { logger, lines } = recordingLogger()
  const config = { database: sqlite() }
  for (let i = 0; i < 2; i++) {
    const storage = await openStorage(config, { maintenance: false, logger })
    await Promise.all([storage.close(), storage.close()])
  }
  for (let i = 0; i < 2; i++) {
    await using storage = await openStorage({}, { maintenance: false, logger })
    await using another = await openStorage({}, { maintenance: false, logger })
    expect(await storage.kv.get('a')).toBe(await another.kv.get('a'))
  }
  expect(lines).toEqual([])
})
