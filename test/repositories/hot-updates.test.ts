import { openStorage } from 'holdfast'
import postgres from 'postgres'
import { expect, it, onTestFinished } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

const APPENDS = 400

it.each([
  ['without its indexes if appends follow within a second', 0, APPENDS * 0.9, APPENDS],
  ['with its indexes if appends are more than a second apart', 1001, 0, 0],
])('append() updates the session %s', async (_, millis, least, most) => {
  const url = await freshPostgres()
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  onTestFinished(() => sql.end())
  let now = Date.now()
  const storage = await openStorage({ database: { type: 'postgres', url } }, { ...quiet, now: () => new Date(now) })
  for (let i = 0; i < APPENDS; i++) {
    await storage.messages.append('s', { role: 'user', content: 'x' })
    now += millis
  }
  await storage.close() // a connection reports its statistics when it ends
  const statistics = () => sql<{ n_tup_upd: string; n_tup_hot_upd: string }[]>`
    select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'sessions'`
  await expect.poll(async () => Number((await statistics())[0]?.n_tup_upd), { timeout: 10_000 }).toBe(APPENDS - 1)
  const hot = Number((await statistics())[0]?.n_tup_hot_upd)
  expect(hot).toBeGreaterThanOrEqual(least)
  expect(hot).toBeLessThanOrEqual(most)
})
