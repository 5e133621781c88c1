/** Drops many statements and connections within one turn of the event loop. Usage: drop-statements.ts [ours|naive] */
import { SqliteConnection } from '../../../src/database/sqlite/connection.ts'
import { loadBetterSqlite3 } from '../../../src/database/sqlite/load.ts'
import { say } from '../../setup/say.ts'

const [who] = process.argv.slice(2)
const Database = await loadBetterSqlite3()

if (who === 'ours') {
  const connection = new SqliteConnection(new Database(':memory:'))
  for (let i = 0; i < 60_000; i++) connection.run({ sql: `select ${i}`, params: [] })
  connection.close()
  for (let i = 0; i < 3000; i++) {
    const closed = new SqliteConnection(new Database(':memory:'))
    for (let j = 0; j < 20; j++) closed.run({ sql: `select ${j}`, params: [] })
    closed.close()
  }
} else {
  const db = new Database(':memory:')
  const prepared: unknown[] = []
  for (let i = 0; i < 200_000; i++) {
    const statement = db.prepare(`select ${i}`).raw(true)
    statement.all([])
    prepared[i % 500] = statement
  }
}
say('ended')
