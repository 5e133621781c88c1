import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage, type StorageConfig } from 'holdfast'
import { expect, test } from 'vitest'
import { Pace } from '../../src/maintenance/pace.ts'
import { appendingBeside, appendingHere } from '../database/appending.ts'
import { dialects, freshDatabase, type TestDatabase } from '../database/dialects.ts'
import { rounds, soak } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'

const ROWS = rounds(8000, 1_000_000)
/** The longest that an append may wait for retention. */
const BOUND_MILLIS = 50

const retention = { events: '7d', messages: '30d', sessions: { idle: '90d' } }

/** Fills the tables by SQL: half of the rows are events, a quarter messages of active sessions, a quarter of idle ones. */
async function fill({ dialect, query }: TestDatabase, mark = '', events = ROWS / 2): Promise<void> {
  const old = 1_600_000_000_000
  const now = Date.now()
  const at = (millis: number | string) => (dialect === 'sqlite' ? `${millis}` : `to_timestamp((${millis}) / 1000.0)`)
  const json = (text: string) => (dialect === 'sqlite' ? `'${text}'` : `'${text}'::json`)
  const numbers = (count: number) =>
    dialect === 'sqlite'
      ? `(with recursive r(n) as (select 1 union all select n + 1 from r where n < ${count}) select n from r)`
      : `generate_series(1, ${count}) as r(n)`
  const text = (prefix: string, n: string) => `'${prefix}' || (${n})`
  const id = (n: string) => (dialect === 'sqlite' ? n : `(${n})::text`)
  await query(`insert into events (id, type, session_id, run_id, payload, occurred_at)
    select ${text(`e${mark}`, id('n'))}, 't', ${text('alive ', id('n % 100'))}, ${text('run ', id('n % 1000'))}, ${json('{"a":1}')}, ${at(`${old} + n`)} from ${numbers(events)}`)
  if (mark !== '') return
  const sessions = (prefix: string, count: number, activeAt: number, messages: number) =>
    query(`insert into sessions (id, metadata, version, created_at, updated_at, last_seq, message_count, last_active_at)
      select ${text(prefix, id('n'))}, ${json('{}')}, 1, ${at(old)}, ${at(old)}, ${messages}, ${messages}, ${at(activeAt)} from ${numbers(count)}`)
  const messages = (prefix: string, perSession: number) =>
    query(`insert into messages (session_id, seq, id, role, content, metadata, created_at)
      select ${text(prefix, id(`1 + (n - 1) / ${perSession}`))}, 1 + (n - 1) % ${perSession}, ${text('m', id('n'))}, 'user', ${json('"hello"')}, ${json('{}')}, ${at(`${old} + n`)} from ${numbers(ROWS / 4)}`)
  await sessions('alive ', ROWS / 4 / 1000, now, 1000)
  await messages('alive ', 1000)
  await sessions('idle ', ROWS / 4 / 10, old, 10)
  await messages('idle ', 10)
}

test('a pace removes fewer rows if they take long, and more if they are quick', async () => {
  const afterSteps = async (step: () => Promise<unknown>) => {
    const pace = new Pace('postgres')
    for (let i = 0; i < 10; i++) await pace.step(step)
    return pace.rows
  }
  expect(await afterSteps(() => sleep(40))).toBe(50)
  expect(await afterSteps(async () => {})).toBe(500)
})

test.each(dialects)(
  'on %s, an append hardly waits while prune() removes many rows',
  { timeout: rounds(120_000, 3_600_000) },
  async (dialect) => {
    const database = await freshDatabase(dialect)
    const config: StorageConfig = {
      database:
        dialect === 'sqlite'
          ? { type: 'sqlite', path: database.location }
          : { type: 'postgres', url: database.location },
    }
    await using storage = await openStorage({ ...config, retention }, quiet)
    await fill(database)
    const beside = (work: () => Promise<unknown>) => appendingBeside(config, 'alive 1', work)
    const here = (work: () => Promise<unknown>) => appendingHere(storage, 'alive 2', work)
    const alone = await beside(() => here(() => new Promise((resolve) => setTimeout(resolve, rounds(1000, 60_000)))))
    const begun = performance.now()
    let own: number[] = []
    const removed = { total: 0 }
    const meanwhile = await beside(async () => {
      own = await here(async () => {
        removed.total = (await storage.prune()).total
      })
    })
    const seconds = (performance.now() - begun) / 1000
    const inProcess = Math.max(...own)
    const shown = (millis: number) => `${millis.toFixed(1)} ms`
    console.log(
      `${dialect}: ${removed.total} removals of ${ROWS} rows in ${seconds.toFixed(1)} s; ` +
        `appends of another process: ${meanwhile.count}, median ${shown(meanwhile.median)}, p99 ${shown(meanwhile.p99)}, ` +
        `longest ${shown(meanwhile.longest)} (alone: median ${shown(alone.median)}, longest ${shown(alone.longest)}); ` +
        `of the same process: ${own.length}, longest ${shown(inProcess)}`,
    )
    const left = (await storage.stats()).database.rows
    expect(left.events).toBe(0)
    expect(left.sessions).toBe(ROWS / 4 / 1000)
    // On a machine with other work, single appends wait without retention, too: the full test needs a quiet one.
    expect(meanwhile.median).toBeLessThan(BOUND_MILLIS)
    if (soak) expect(Math.max(meanwhile.longest, inProcess)).toBeLessThan(BOUND_MILLIS + alone.longest)
    if (dialect === 'postgres') return // its rows are locked one by one

    // The naive variant: one transaction.
    await fill(database, 'again', 40_000)
    const naive = await beside(() => database.query(`delete from events where occurred_at < ${Date.now()}`))
    console.log(`${dialect}, in one transaction: longest ${shown(naive.longest)}`)
    expect(naive.longest).toBeGreaterThan(BOUND_MILLIS)
  },
)
