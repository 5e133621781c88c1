import { getTableColumns, getTableName } from 'drizzle-orm'
import type { PgTable } from 'drizzle-orm/pg-core'
import type { Driver } from '../../src/database/db.ts'
import type { Tables } from '../../src/schema/tables.ts'

/** Which rows of an owner each further owner gets. Tables that others refer to come first. */
const COPIED: { [K in keyof Tables]?: string } = {
  sessions: "id = 'session-1'",
  messages: "session_id = 'session-1'",
  kv: "key in ('key-1', 'key-2')",
  lists: "key = 'list-1'",
  listItems: "key = 'list-1' and position < 2",
  memories: 'id in (select min(id) from memories where owner_id = $owner)',
  memoryTags: 'memory_id in (select min(id) from memories where owner_id = $owner)',
  events: "session_id = 'session-1'",
  queues: "session_id = 'session-1'",
  queueItems: "session_id = 'session-1' and position < 3",
  prompts: "name = 'prompt-1'",
  workspaces: "path = '/1'",
  toolState: "key = 'key-1'",
  toolExecutions: "id = 'execution-1'",
  approvals: "id = 'approval-1'",
  allowedTools: "tool = 'tool-1'",
  toolPreferences: "scope = 'session-1'",
}

/** Gives `count` further owners some rows of one owner, by SQL. */
export async function copyRows(driver: Driver, owner: string, count: number): Promise<void> {
  if (count === 0) return
  const isSqlite = driver.dialect === 'sqlite'
  const numbers = isSqlite
    ? `(with recursive r(n) as (select 1 union all select n + 1 from r where n < ${count}) select n from r)`
    : `generate_series(1, ${count}) as r(n)`
  const mark = isSqlite ? "'-' || n" : "'-' || n::text"
  for (const [key, which] of Object.entries(COPIED)) {
    const table: PgTable = driver.kit.tables[key as keyof Tables] // one of its keys
    const name = getTableName(table)
    const columns = Object.values(getTableColumns(table)).filter((column) => column.name !== 'seq' || name !== 'events')
    const values = columns.map((column) => {
      const isUnique = (name === 'memories' && column.name === 'id') || column.name === 'memory_id'
      return column.name === 'owner_id' ? `'many' || ${mark}` : `t.${column.name}${isUnique ? ` || ${mark}` : ''}`
    })
    const names = columns.map((column) => column.name).join()
    const from = `(select * from ${name} where owner_id = '${owner}' and ${which.replace('$owner', `'${owner}'`)}) as t`
    const sql = `insert into ${name} (${names}) select ${values.join()} from ${from} cross join ${numbers}`
    await driver.run({ sql, params: [], writes: true })
  }
}
