import { Redis } from 'ioredis'
import postgres from 'postgres'
import type { TestProject } from 'vitest/node'
import { installAdapters } from '../../scripts/install-adapters.ts'
import { removeBundles } from './bundle-program.ts'
import { createTemplate } from './postgres-template.ts'
import { startPostgres, startRedis } from './servers.ts'
import { temporaryDirectory } from './temporary.ts'

declare module 'vitest' {
  interface ProvidedContext {
    postgresUrl: string
    /** The database that test databases are copies of. */
    postgresTemplate: string
    redisUrl: string
    /** A directory that all test files of the run share. */
    runDirectory: string
  }
}

/** Provides one PostgreSQL and one Redis for the whole run: those of TEST_POSTGRES_URL and TEST_REDIS_URL, or new ones. */
export default async function startServers(project: TestProject): Promise<() => Promise<void>> {
  installAdapters()
  removeBundles()
  const servers: { url: string; stop(): Promise<void> }[] = []
  const stop = async () => {
    await Promise.all(servers.map((server) => server.stop()))
  }
  const urlOfNew = async (start: typeof startPostgres | typeof startRedis) => {
    const server = await start()
    servers.push(server)
    return server.url
  }
  try {
    const postgresUrl = process.env.TEST_POSTGRES_URL || (await urlOfNew(startPostgres))
    const redisUrl = process.env.TEST_REDIS_URL || (await urlOfNew(startRedis))
    console.log(`PostgreSQL ${await postgresVersion(postgresUrl)}, Redis ${await redisVersion(redisUrl)}`)
    const template = await createTemplate(postgresUrl)
    if (servers.every(({ url }) => url !== postgresUrl)) servers.push({ url: postgresUrl, stop: template.drop })
    project.provide('postgresUrl', postgresUrl)
    project.provide('postgresTemplate', template.name)
    project.provide('redisUrl', redisUrl)
    project.provide('runDirectory', temporaryDirectory('run'))
  } catch (error) {
    await stop()
    throw error
  }
  return stop
}

async function postgresVersion(url: string): Promise<string> {
  const sql = postgres(url, { max: 1, connect_timeout: 10 })
  try {
    const [row] = await sql`SELECT current_setting('server_version') AS version`
    return String(row?.version)
  } catch (cause) {
    throw new Error('The PostgreSQL server for the tests (TEST_POSTGRES_URL, if set) does not answer.', { cause })
  } finally {
    await sql.end()
  }
}

async function redisVersion(url: string): Promise<string> {
  const redis = new Redis(url, { lazyConnect: true, connectTimeout: 10_000, retryStrategy: () => null })
  let reason: unknown
  redis.on('error', (error) => {
    reason = error
  })
  try {
    await redis.connect()
    const info = await redis.info('server')
    return /redis_version:(\S+)/.exec(info)?.[1] ?? 'of an unknown version'
  } catch (cause) {
    throw new Error('The Redis server for the tests (TEST_REDIS_URL, if set) does not answer.', {
      cause: reason ?? cause,
    })
  } finally {
    redis.disconnect()
  }
}
