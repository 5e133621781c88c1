import { openStorage } from 'holdfast'
import postgres from 'postgres'
import { expect, it, onTestFinished } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

const data = Buffer.from('bytes')

/** Opens two storages, since calls of one may wait for each other on a connection. */
async function opened() {
  const url = await freshPostgres()
  const open = async () => {
    const storage = await openStorage({ database: { type: 'postgres', url } }, quiet)
    onTestFinished(() => storage.close())
    return storage.checkpoints
  }
  const checkpoints = await open()
  const others = await open()
  const [sql, watching] = [postgres(url, { max: 1 }), postgres(url, { max: 1 })]
  onTestFinished(async () => {
    await Promise.all([sql.end(), watching.end()])
  })
  const put = (id: string, version: string) =>
    others.put({
      ...{ threadId: 't', id, type: 'b', data, versions: { a: version } },
      values: { a: { type: 'b', data } },
    })
  const blocked = async (count: number) => {
    const waiting = () => watching`select from pg_stat_activity where datname = current_database()
      and cardinality(pg_blocking_pids(pid)) > 0`
    await expect.poll(waiting, { timeout: 10_000 }).toHaveLength(count)
  }
  return { checkpoints, sql, put, blocked }
}

it('deleteThread() leaves a checkpoint that is stored meanwhile with its values', async () => {
  const { checkpoints, sql, put, blocked } = await opened()
  await put('1', '1')
  const deleting = await sql.begin(async (tx) => {
    await tx`select from checkpoints for update`
    const deleted = checkpoints.deleteThread('t')
    deleted.catch(() => {}) // it is awaited below
    await blocked(1)
    await put('2', '2')
    return { deleted }
  })
  expect(await deleting.deleted).toBe(true)
  expect(await checkpoints.latest({ threadId: 't' })).toMatchObject({ id: '2', values: { a: { type: 'b' } } })
  expect(await checkpoints.get({ threadId: 't', id: '1' })).toBeUndefined()
})

it.each(['prune', 'deleteThread'] as const)('%s() takes no value that a put under way stores again', async (name) => {
  const { checkpoints, sql, put, blocked } = await opened()
  for (const id of ['1', '2', '3']) await put(id, id)
  const key = { threadId: 't', id: '4' }
  const under = await sql.begin(async (tx) => {
    await tx`insert into checkpoints select (jsonb_populate_record(c, '{"id": "4"}')).* from checkpoints c where id = '3'`
    const stored = put('4', '1') // has its value, and waits for the row above
    stored.catch(() => {}) // it is awaited below
    await blocked(1)
    const removed = name === 'prune' ? checkpoints.prune('t', { keepLast: 1 }) : checkpoints.deleteThread('t')
    removed.catch(() => {}) // so is this
    await blocked(2)
    await tx`delete from checkpoints where id = '4'`
    return { stored, removed }
  })
  await Promise.all([under.stored, under.removed])
  const left = await checkpoints.get(key)
  expect(left === undefined || left.values.a?.type === 'b').toBe(true)
  expect(await checkpoints.get({ threadId: 't', id: '1' })).toBeUndefined()
})
