import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { StorageConfig } from 'holdfast'
import postgres from 'postgres'
import { afterAll } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { silent } from '../setup/silent.ts'

/** Options of a storage that embeds what it writes, and looks for nothing else by itself. */
export const quiet = { maintenance: false, logger: silent }

type Configure = () => Promise<StorageConfig>

const options = { search: true }

/** The databases that outlive a storage, by name. */
export const lasting: Record<string, Configure> = {
  SQLite: async () => ({ database: { type: 'sqlite', path: join(freshDirectory(), 'agent.db'), options } }),
  PostgreSQL: async () => ({ database: { type: 'postgres', url: await freshPostgres(), options } }),
}

export const backends: Record<string, Configure> = {
  memory: async () => ({ database: { type: 'in-memory', options } }),
  ...lasting,
}

/** A server with pgvector, which Debian 12 does not have. Without the variable the tests of this one backend are not made. */
export const pgvectorUrl = process.env.TEST_PGVECTOR_URL

/** Returns a configuration of a new database on the server with pgvector. It is dropped when the test file ends. */
export async function freshPgvector(url: string): Promise<StorageConfig> {
  const name = `test_${randomBytes(8).toString('hex')}`
  await onPgvector(url, `create database ${name}`)
  afterAll(() => onPgvector(url, `drop database if exists ${name} with (force)`))
  const own = new URL(url)
  own.pathname = `/${name}`
  return { database: { type: 'postgres', url: own.href, options } }
}

async function onPgvector(url: string, sql: string): Promise<void> {
  const client = postgres(url, { max: 1, onnotice: () => {} })
  try {
    await client.unsafe(sql)
  } finally {
    await client.end()
  }
}
