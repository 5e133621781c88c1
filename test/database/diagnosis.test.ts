import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, it, onTestFinished } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.ts'
import { openDatabase } from '../../src/database/open.ts'
import { freshDirectory } from '../setup/databases.ts'

/** Measures the longest time in which the event loop did not turn, until the function that it returns is called. */
function watchStalls(): () => number {
  let longest = 0
  let before = performance.now()
  const turn = () => {
    const now = performance.now()
    longest = Math.max(longest, now - before)
    before = now
  }
  const timer = setInterval(turn, 1)
  return () => {
    clearInterval(timer)
    turn()
    return longest
  }
}

it('diagnose() of an SQLite file does not stop the event loop', { timeout: 60_000 }, async () => {
  const path = join(freshDirectory(), 'large.db')
  const { database: config } = resolveConfig({ database: { type: 'sqlite', path } })
  const database = await openDatabase(config, { migrate: true })
  onTestFinished(() => database.close())
  const { driver } = database
  // Many short rows with conditions: they take the check long, and little disk.
  const table = 'create table filler (i integer primary key, a integer not null, b text not null) strict'
  const fill = `with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000000)
    insert into filler select i, i, 'x' from n`
  await driver.run({ sql: table, params: [], writes: true })
  await driver.run({ sql: fill, params: [], writes: true })

  const plain = new Database(path, { readonly: true })
  const times = Array.from({ length: 3 }, () => {
    const begun = performance.now()
    for (const check of ['quick_check(20)', 'foreign_key_check']) plain.pragma(check)
    return performance.now() - begun
  })
  const whole = Math.min(...times)
  plain.close()

  const stalled = watchStalls()
  const findings = await driver.diagnose()
  const longest = stalled()
  console.log(`quick_check takes ${whole.toFixed(0)} ms; diagnose() stalls for ${longest.toFixed(0)} ms at most`)
  expect(findings.slice(0, 2).map(({ check, result }) => [check, result])).toEqual([
    ['integrity', 'ok'],
    ['foreign-keys', 'ok'],
  ])
  expect(longest / whole).toBeLessThan(0.5)
})
