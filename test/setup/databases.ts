import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { StorageConfig } from 'holdfast'
import postgres from 'postgres'
import { inject } from 'vitest'
import { createEmpty } from './empty-postgres.ts'
import { temporaryDirectory } from './temporary.ts'

const databases: string[] = []
const directories: string[] = []
const prefixes: string[] = []

/**
 * Creates a database with the tables of Holdfast and no rows on the shared server, and returns its URL. `settings` are the
 * defaults of its sessions, as in postgresql.conf. The database is dropped when the test file ends.
 */
export function freshPostgres(settings: Record<string, string> = {}): Promise<string> {
  // A copy takes half the time of the migrations.
  return create((sql, name) => sql.unsafe(`CREATE DATABASE ${name} TEMPLATE ${inject('postgresTemplate')}`), settings)
}

/** Creates a database without any table, as `freshPostgres` does: for tests of migrations. */
export function emptyPostgres(): Promise<string> {
  return create(createEmpty, {})
}

async function create(
  createDatabase: (sql: postgres.Sql, name: string) => Promise<unknown>,
  settings: Record<string, string>,
): Promise<string> {
  const name = `test_${randomBytes(8).toString('hex')}`
  await createDatabase(administrator(), name)
  databases.push(name)
  for (const [setting, value] of Object.entries(settings)) {
    await administrator().unsafe(`ALTER DATABASE ${name} SET ${setting} = '${value}'`)
  }
  const url = new URL(inject('postgresUrl'))
  url.pathname = `/${name}`
  return url.href
}

/** Creates a directory. It is removed when the test file ends. */
export function freshDirectory(): string {
  const directory = temporaryDirectory('test')
  directories.push(directory)
  return directory
}

type Databases = [name: string, configure: () => Promise<StorageConfig['database']>][]

const databasesOn = (postgresUrl: () => Promise<string>): Databases => [
  ['SQLite', async () => ({ type: 'sqlite', path: join(freshDirectory(), 'agent.db') })],
  ['PostgreSQL', async () => ({ type: 'postgres', url: await postgresUrl() })],
]

/** The databases that several processes can share, by name. Each call creates a new database. */
export const sharedDatabases = databasesOn(freshPostgres)

/** The same without any table, for tests of migrations. */
export const emptyDatabases = databasesOn(emptyPostgres)

/** Returns the URL of the shared Redis. Use keys under a `redisPrefix()`. For FLUSHALL and worse, use `startRedis()`. */
export function redisUrl(): string {
  return inject('redisUrl')
}

/** Returns a key prefix that nobody else uses. The keys under it are deleted when the test file ends. */
export function redisPrefix(): string {
  const prefix = `test-${randomBytes(8).toString('hex')}:`
  prefixes.push(prefix)
  return prefix
}

/** Returns the clients that are still connected to the databases of this test file, one line for each. */
export async function connectedClients(): Promise<string[]> {
  if (databases.length === 0) return []
  const rows = await administrator()<{ pid: number; state: string | null; query: string }[]>`
    SELECT pid, state, left(query, 100) AS query FROM pg_stat_activity
    WHERE datname = ANY(${databases}) AND backend_type = 'client backend'`
  return rows.map(({ pid, state, query }) => `PostgreSQL connection ${pid}, ${state}: ${query}`)
}

/** Drops and removes everything that this test file created. */
export async function discardAll(): Promise<void> {
  for (const name of databases.splice(0)) await administrator().unsafe(`DROP DATABASE ${name} WITH (FORCE)`)
  await connection?.end()
  connection = undefined
  if (prefixes.length > 0) await deleteKeys(prefixes.splice(0))
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true })
}

let connection: postgres.Sql | undefined

/**
 * Returns the connection that creates and drops databases. One per test file: a new connection doubles the time of CREATE
 * DATABASE.
 */
function administrator(): postgres.Sql {
  connection ??= postgres(inject('postgresUrl'), { max: 1, onnotice: () => {} })
  return connection
}

/** Deletes the keys of the shared Redis that begin with one of the prefixes. */
export async function deleteKeys(prefixes: string[]): Promise<void> {
  const { Redis } = await import('ioredis') // only now: every test file loads this one
  const redis = new Redis(inject('redisUrl'))
  try {
    for (const prefix of prefixes) {
      for await (const keys of redis.scanStream({ match: `${prefix}*`, count: 1000 })) {
        if (keys.length > 0) await redis.unlink(keys)
      }
    }
  } finally {
    redis.disconnect()
  }
}
