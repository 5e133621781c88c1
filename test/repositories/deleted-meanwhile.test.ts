import { openStorage } from 'holdfast'
import postgres from 'postgres'
import { expect, it, onTestFinished } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

it('sessions.delete() of a session that is missing takes nothing from one that is created meanwhile', async () => {
  const url = await freshPostgres()
  const config = { database: { type: 'postgres', url } } as const
  await using storage = await openStorage(config, quiet)
  await using other = await openStorage(config, quiet)
  const [sql, watching] = [postgres(url, { max: 1 }), postgres(url, { max: 1 })]
  onTestFinished(async () => {
    await Promise.all([sql.end(), watching.end()])
  })
  const [mine, theirs] = [storage.scope({ ownerId: 'ada' }), other.scope({ ownerId: 'ada' })]
  await mine.events.append({ type: 'note', sessionId: 's' })
  const deleting = await sql.begin(async (tx) => {
    await tx`select from events for update` // the deletion waits after it has looked for the session
    const deleted = mine.sessions.delete('s')
    deleted.catch(() => {}) // it is awaited below
    const waiting = () => watching`select from pg_stat_activity where datname = current_database()
      and cardinality(pg_blocking_pids(pid)) > 0`
    await expect.poll(waiting, { timeout: 10_000 }).toHaveLength(1)
    await theirs.sessions.create({ id: 's' })
    await theirs.queues.push('s', 'inbox', { id: 'a', text: 'hello' })
    return { deleted }
  })
  expect(await deleting.deleted).toBe(false)
  expect(await mine.sessions.get('s')).toBeDefined()
  expect((await mine.queues.list('s', 'inbox')).items).toHaveLength(1)
})
