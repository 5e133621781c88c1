import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.ts'
import { DatabaseClock } from '../../src/database/clock.ts'
import type { Database } from '../../src/database/database.ts'
import { openDatabase } from '../../src/database/open.ts'
import { freshPostgres } from '../setup/databases.ts'
import { silent } from '../setup/silent.ts'

const HOUR = 3_600_000
const { now } = Date

let database: Database
let clock: DatabaseClock

beforeEach(async () => {
  const url = await freshPostgres()
  const config = resolveConfig({ database: { type: 'postgres', url, maxConnections: 1 } }).database
  database = await openDatabase(config, { migrate: false })
  clock = (await DatabaseClock.open(database, silent)) as DatabaseClock // PostgreSQL has a clock
})

afterEach(async () => {
  Date.now = now
  await database.close()
})

/** Asks for the time while the only connection is in use, and lets `meanwhile` happen before the answer. */
async function askWhileBusy(millis: number, meanwhile = () => {}): Promise<Date> {
  let using: Promise<void> | undefined
  await new Promise<void>((begun) => {
    using = database.transaction(async () => {
      begun()
      await sleep(millis)
      meanwhile()
    })
  })
  const confirmed = clock.confirmedNow()
  await using
  return confirmed
}

test('confirmedNow() returns the time of the server after a wait for a connection', async () => {
  expect(Math.abs((await askWhileBusy(3000)).getTime() - Date.now())).toBeLessThan(900)
})

test.each([
  ['ahead', HOUR],
  ['back', -HOUR],
])('confirmedNow() returns the time of the server when the clock is set %s before the answer', async (_, offset) => {
  const confirmed = await askWhileBusy(10, () => {
    Date.now = () => now() + offset
  })
  expect(Math.abs(confirmed.getTime() - now())).toBeLessThan(900)
  expect(Math.abs(clock.now().getTime() - now())).toBeLessThan(900)
})
