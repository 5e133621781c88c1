import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { dialects, fingerprint, freshDatabase, type TestDatabase } from '../database/dialects.ts'
import { entriesOf, ownMigrations } from '../database/histories.ts'
import { rowsOf } from '../database/older-rows.ts'

const run = promisify(execFile)

/** The migrations before owners. */
const BEFORE = 6

const TABLES = `sessions messages kv lists list_items memories memory_tags events queues queue_items prompts workspaces
  tool_state tool_executions approvals approval_states allowed_tools tool_preferences blob_content blobs blob_refs`.split(
  /\s+/,
)

async function countsOf(database: TestDatabase): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const table of TABLES) {
    const [row] = (await database.query(`select count(*) as n from ${table}`)) as { n: number | string }[]
    counts[table] = Number(row?.n)
  }
  return counts
}

const ways = {
  ours: async (database: TestDatabase) => (await database.open()).close(),
  'drizzle-kit': ({ dialect, location }: TestDatabase) =>
    run(process.execPath, ['node_modules/drizzle-kit/bin.cjs', 'migrate'], {
      env: { ...process.env, DIALECT: dialect, DATABASE_URL: location },
    }),
}

describe.each(dialects)('%s', (dialect) => {
  test.each(Object.entries(ways))(
    '%s gives the rows of a session its owner, and loses none',
    { timeout: 60_000 },
    async (_, way) => {
      expect(entriesOf(dialect)[BEFORE]?.tag).toBe('0006_owners')
      const [database, empty] = [await freshDatabase(dialect), await freshDatabase(dialect)]
      await database.migrate(ownMigrations(dialect).slice(0, BEFORE))
      for (const rows of rowsOf(dialect)) await database.query(rows)
      const before = await countsOf(database)
      await way(database)
      expect(await countsOf(database)).toEqual(before)
      await (await empty.open()).close()
      expect(await fingerprint(database)).toEqual(await fingerprint(empty))

      await using storage = await database.open()
      const ada = storage.scope({ ownerId: 'ada' })
      const bob = storage.scope({ ownerId: 'bob' })
      expect((await ada.messages.list('chat')).items.map(({ content }) => content)).toEqual(['chat 1', 'chat 2'])
      expect((await bob.sessions.list()).items).toHaveLength(5)
      expect((await storage.sessions.list()).items).toHaveLength(12)
      expect(await storage.messages.latest('plain', 5)).toHaveLength(2)
      expect((await storage.messages.append('chat', { role: 'user', content: 'more' })).seq).toBe(3)
      expect((await ada.events.list()).items.map(({ id }) => id)).toEqual(['e1'])
      expect((await storage.events.list()).items.map(({ id, ownerId }) => [id, ownerId])).toEqual([
        ['e1', 'ada'],
        ['e2', ''],
      ])
      expect(await ada.queues.takeAll('chat', 'q')).toEqual([{ id: 'a' }])
      expect(await storage.queues.takeAll('none', 'q')).toEqual([{ id: 'b' }])
      expect((await ada.approvals.listPending()).items.map(({ id }) => id)).toEqual(['a1'])
      expect(await ada.approvals.getState('chat')).toBe('ask')
      expect(await storage.approvals.getState()).toBe('auto')
      expect(await ada.toolPreferences.getPreferences('chat')).toEqual({ autoApproved: ['shell'], disabled: [] })
      expect(await storage.kv.get('k')).toBe(1)
      expect(await storage.lists.range('l', 0, 10)).toEqual(['item'])
      expect((await storage.memories.list({ tags: ['tag'] })).items).toMatchObject([{ id: 'mem', ownerId: '' }])
      expect((await storage.workspaces.getCurrent())?.path).toBe('/w')
      const owners = await database.query('select owner_id from blob_refs order by session_id')
      expect(owners).toEqual([{ owner_id: 'ada' }, { owner_id: 'bob' }, { owner_id: '' }])
      expect(await storage.sessions.delete('chat')).toBe(true)
      expect(await database.query("select 1 from blob_refs where session_id = 'chat'")).toEqual([])
    },
  )
})
