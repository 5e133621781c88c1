import postgres from 'postgres'
import { expect, onTestFinished, test } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { collectGarbage } from '../setup/garbage.ts'
import { postgresDriver, read } from './drivers.ts'

const SQL = "select repeat('x', 200) || n from generate_series(1, $1::int) n"
const MIB = 2 ** 20

/** Returns the MiB on the heap that twenty calls leave after a minor collection. Each call reads about 1 MiB. */
async function heapGrowth(work: () => Promise<unknown>): Promise<number> {
  for (let i = 0; i < 3; i++) await work()
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < 20; i++) await work()
  collectGarbage({ type: 'minor' })
  collectGarbage({ type: 'minor' })
  return (process.memoryUsage().heapUsed - before) / MIB
}

test('run() returns rows that a minor collection frees', async () => {
  const url = await freshPostgres()
  const driver = await postgresDriver({ url })
  expect(await heapGrowth(async () => driver.run(read(SQL, 4000)))).toBeLessThan(5)

  // The naive variant: the rows that postgres.js returns.
  const sql = postgres(url, { max: 1 })
  onTestFinished(() => sql.end())
  const naive = async () => sql.unsafe(SQL, ['4000'], { prepare: true }).values()
  // Measured three times: V8 may collect everything in between, when it thinks fit.
  const growths = [await heapGrowth(naive), await heapGrowth(naive), await heapGrowth(naive)]
  expect(Math.max(...growths)).toBeGreaterThan(10)
})
