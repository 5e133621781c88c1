import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { freshProject } from '../docs/pages.ts'
import { dialects, freshDatabase, type TestDatabase } from './dialects.ts'

interface Options {
  /** The tables that are pushed. Default: one table of another program. */
  schema?: string
  tablesFilter?: string[]
}

/** Returns what `drizzle-kit push` would do. It shows its plan and then wants a terminal, which it does not get. */
async function planOf({ dialect, location }: TestDatabase, { schema, tablesFilter }: Options = {}): Promise<string> {
  const project = freshProject()
  const [core, table] = dialect === 'sqlite' ? ['sqlite-core', 'sqliteTable'] : ['pg-core', 'pgTable']
  const theirs = join(project, 'schema.ts')
  writeFileSync(
    theirs,
    `import { integer, ${table} } from 'drizzle-orm/${core}'
     export const notes = ${table}('notes', { id: integer('id').primaryKey() })`,
  )
  const config = join(project, 'drizzle.config.json')
  const settings = {
    dialect: dialect === 'sqlite' ? 'sqlite' : 'postgresql',
    schema: schema === undefined ? theirs : resolve(schema),
    dbCredentials: { url: location },
    ...(tablesFilter && { tablesFilter }),
  }
  writeFileSync(config, JSON.stringify(settings))
  const args = ['node_modules/drizzle-kit/bin.cjs', 'push', '--config', config, '--verbose', '--strict']
  const push = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const [plan, errors] = await Promise.all([text(push.stdout), text(push.stderr), once(push, 'close')])
  expect(`${plan}${errors}`).toMatch(/You are about to execute|No changes detected/)
  return plan
}

test.each(dialects)(
  'drizzle-kit push of another program drops the tables of Holdfast on %s, but not with tablesFilter',
  async (dialect) => {
    const database = await freshDatabase(dialect)
    await (await database.open()).close()
    await database.query('create table notes (id integer primary key not null)')
    expect(await planOf(database)).toMatch(/drop table .?sessions/i)
    expect(await planOf(database, { tablesFilter: ['notes'] })).not.toMatch(/drop table/i)
  },
)

// What drizzle-kit 0.31 reads from a SQLite file lacks the condition of an index, and has the columns of a key in another order.
test('drizzle-kit push of the tables of Holdfast changes a SQLite file that is up to date', async () => {
  const database = await freshDatabase('sqlite')
  await (await database.open()).close()
  const plan = await planOf(database, { schema: 'src/schema/sqlite.ts' })
  expect(plan).toMatch(/drop table `holdfast_migrations`/i)
  expect(plan).toMatch(/drop index `kv_expiry`/i)
  expect(plan).toMatch(/drop table `blob_refs`/i)
})
