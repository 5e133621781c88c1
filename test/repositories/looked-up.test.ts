import { openStorage, type StorageScope } from 'holdfast'
import postgres from 'postgres'
import { expect, onTestFinished, test } from 'vitest'
import { times } from '../../src/testing/contract.ts'
import { freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { timesAsLong } from './plans.ts'

const LONG = 15_000
const SHORT = 5000

/** One long conversation and one long namespace among thousands of short ones: the usual size is that of the short ones. */
async function fill(sql: postgres.Sql): Promise<void> {
  const numbers = `generate_series(0, ${SHORT}) s,
    generate_series(1, case when s = 0 then ${LONG} when s <= 100 then 64 else 1 end) n`
  await sql.unsafe(`
    insert into sessions (id, owner_id, metadata, version, created_at, updated_at, last_seq, message_count, last_active_at)
      select 's' || s, 'o' || s, '{}', 1, now(), now(), ${LONG}, 1, now() from generate_series(0, ${SHORT}) s;
    insert into messages (session_id, owner_id, seq, id, role, content, metadata, created_at)
      select 's' || s, 'o' || s, n, 'm' || n, 'user', json '"x"', '{}', now() from ${numbers};
    insert into kv (owner_id, key, value, version, created_at, updated_at)
      select 'o' || s, 'm' || n, '1', 1, now(), now() from ${numbers}`)
  await sql`vacuum analyze`
}

const ids = times(64, (i) => `m${i + 1}`)

/** Deletes the messages, and undoes that, so that it can be done again. Returns one item for each message. */
async function deleted(scope: StorageScope, session: string): Promise<unknown[]> {
  let count = 0
  const undone = scope.transaction(async (tx) => {
    count = await tx.messages.delete(session, ids)
    throw new Error('undone')
  })
  await expect(undone).rejects.toThrow('undone')
  return Array.from({ length: count })
}

test('on PostgreSQL, rows are found by their keys as fast in a long conversation as in a short one', async () => {
  const url = await freshPostgres()
  await using storage = await openStorage({ database: { type: 'postgres', url } }, quiet)
  const sql = postgres(url, { max: 1 })
  onTestFinished(() => sql.end())
  await fill(sql)
  const [long, short] = [storage.scope({ ownerId: 'o0' }), storage.scope({ ownerId: 'o7' })]
  const known = ids.map((id) => ({ id, role: 'user', content: 'x' }))
  const calls = {
    'messages.getMany': (scope: typeof long, session: string) => scope.messages.getMany(session, ids),
    'messages.put': (scope: typeof long, session: string) => scope.messages.put(session, known),
    'kv.getMany': async (scope: typeof long) => [...(await scope.kv.getMany(ids))],
    'messages.delete': (scope: typeof long, session: string) => deleted(scope, session),
  }
  for (const [name, call] of Object.entries(calls)) {
    expect(await call(long, 's0'), name).toHaveLength(64)
    expect(
      await timesAsLong(
        () => call(long, 's0'),
        () => call(short, 's7'),
        3,
      ),
      name,
    ).toBeLessThan(3)
  }

  // The naive variant compares every row of the long conversation with every id.
  await sql`select set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_bitmapscan', 'off', false)`
  const naive = (session: number) =>
    sql`select seq from messages where session_id = ${`s${session}`} and owner_id = ${`o${session}`}
      and id in (${ids[0] ?? ''}, ${sql.unsafe(
        ids
          .slice(1)
          .map((id) => `'${id}'`)
          .join(),
      )})`
  expect(
    await timesAsLong(
      () => naive(0),
      () => naive(7),
      3,
    ),
  ).toBeGreaterThan(3)
})
