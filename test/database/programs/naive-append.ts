/** The naive variant of append.ts: a transaction of better-sqlite3 that first reads and then writes, without a retry. */
import { once } from 'node:events'
import Database from 'better-sqlite3'
import { say } from '../../setup/say.ts'

const [file = '', name = '', count = ''] = process.argv.slice(2)
const db = new Database(file, { timeout: 0 })
const last = db.prepare('select max(seq) as seq from messages where session_id = ?')
const insert = db.prepare('insert into messages values (?, ?, ?)')
say({ ready: true })
await once(process.stdin, 'data')

const failed: string[] = []
for (let i = 0; i < Number(count); i++) {
  const [session, id] = [`session ${i % 10}`, `${name} ${i}`]
  try {
    db.transaction(() => {
      const { seq } = last.get(session) as { seq: number | null } // one row of one column
      insert.run(session, (seq ?? 0) + 1, id)
    })()
  } catch (error) {
    failed.push(error instanceof Database.SqliteError ? error.code : String(error))
  }
  await new Promise(setImmediate)
}
db.close()
say({ failed })
process.stdin.destroy()
