import { openStorage } from 'holdfast'
import postgres from 'postgres'
import { expect, it, onTestFinished } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

const data = Buffer.from('bytes')

it('deleteThread() leaves a checkpoint that is stored meanwhile with its values', async () => {
  const url = await freshPostgres()
  await using storage = await openStorage({ database: { type: 'postgres', url } }, quiet)
  const { checkpoints } = storage
  const put = (id: string) =>
    checkpoints.put({ threadId: 't', id, type: 'b', data, versions: { a: id }, values: { a: { type: 'b', data } } })
  await put('1')
  const sql = postgres(url, { max: 1 })
  onTestFinished(() => sql.end())
  const deleting = await sql.begin(async (tx) => {
    await tx`select from checkpoints for update`
    const deleted = checkpoints.deleteThread('t')
    deleted.catch(() => {}) // it is awaited below
    const waiting = () => tx`select from pg_stat_activity where pg_backend_pid() = any(pg_blocking_pids(pid))`
    await expect.poll(waiting).toHaveLength(1)
    await put('2')
    return { deleted }
  })
  expect(await deleting.deleted).toBe(true)
  expect(await checkpoints.latest({ threadId: 't' })).toMatchObject({ id: '2', values: { a: { type: 'b' } } })
  expect(await checkpoints.get({ threadId: 't', id: '1' })).toBeUndefined()
})
