// Migrates a database, and kills itself by SIGKILL at a statement:
// `migrate-and-die.ts <sqlite or postgres> <path or URL> <number of the statement> <before or during>`.
import { resolveConfig } from '../../../src/config/resolve.ts'
import type { Driver } from '../../../src/database/db.ts'
import { migrate } from '../../../src/database/migrate.ts'
import { openPostgres } from '../../../src/database/postgres/driver.ts'
import { openSqlite } from '../../../src/database/sqlite/open.ts'
import { say } from '../../setup/say.ts'

const [type, location = '', fatal, moment] = process.argv.slice(2)
const { database } = resolveConfig({
  database: type === 'postgres' ? { type, url: location } : { type: 'sqlite', path: location },
})
if (database.type === 'in-memory') throw new Error('unreachable')
const driver: Driver = await (database.type === 'postgres' ? openPostgres(database) : openSqlite(database))
const { journal } = driver

let statements = 0
async function dieAt<T>(run: () => Promise<T>): Promise<T> {
  statements += 1
  if (String(statements) !== fatal) return run()
  if (moment === 'during')
    run().catch(() => {}) // PostgreSQL has it, and goes on without us
  else process.kill(process.pid, 'SIGKILL')
  await new Promise((resolve) => setTimeout(resolve, 5))
  process.kill(process.pid, 'SIGKILL')
  return new Promise(() => {})
}

const exclusively: typeof journal.exclusively = (body) =>
  journal.exclusively(async (execute) => {
    await body((sql) => dieAt(() => execute(sql)))
    await dieAt(async () => {}) // before COMMIT
  })
await migrate(Object.create(driver, { journal: { value: { ...journal, exclusively } } }), { apply: true })
say({ statements })
await driver.close()
