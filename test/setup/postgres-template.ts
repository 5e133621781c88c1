import { randomBytes } from 'node:crypto'
import { migrateStorage } from 'holdfast'
import postgres from 'postgres'
import { createEmpty } from './empty-postgres.ts'

/** Creates the database that others are copied from: it has the tables of Holdfast, and has never been opened as a storage. */
export async function createTemplate(url: string): Promise<{ name: string; drop(): Promise<void> }> {
  const name = `template_${randomBytes(8).toString('hex')}`
  const onServer = async (work: (sql: postgres.Sql) => Promise<unknown>) => {
    const sql = postgres(url, { max: 1, onnotice: () => {} })
    await work(sql).finally(() => sql.end())
  }
  await onServer((sql) => createEmpty(sql, name))
  const its = new URL(url)
  its.pathname = `/${name}`
  await migrateStorage({ database: { type: 'postgres', url: its.href } })
  return { name, drop: () => onServer((sql) => sql.unsafe(`DROP DATABASE ${name} WITH (FORCE)`)) }
}
