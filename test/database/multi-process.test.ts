import { join } from 'node:path'
import Database from 'better-sqlite3'
import { openStorage } from 'holdfast'
import { expect, test } from 'vitest'
import { times } from '../../src/testing/contract.ts'
import { freshDirectory, sharedDatabases } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'

interface Result {
  ready?: boolean
  appended?: { session: string; id: string; seq: number }[]
  failed?: string[]
  longest?: number
}

const processes = 4
const count = rounds(125, 500)

/** Runs the program in four processes that start their work at once. Returns the result of each. */
async function inProcesses(program: string, argument: string, count: number): Promise<Result[]> {
  const scripts = times(processes, (i) =>
    runScript<Result>(`test/database/programs/${program}.ts`, [argument, `p${i}`, String(count)]),
  )
  await Promise.all(scripts.map((script) => script.next()))
  for (const script of scripts) script.send('go')
  return Promise.all(scripts.map((script) => script.next(undefined, rounds(60_000, 600_000))))
}

test.each(sharedDatabases)(
  'append() on %s loses nothing when four processes append to the same ten sessions',
  async (_, configure) => {
    const config = { database: await configure() }
    await using storage = await openStorage(config, quiet)
    const results = await inProcesses('append', JSON.stringify(config), count)
    expect(results.flatMap(({ failed }) => failed)).toEqual([])
    const appended = results.flatMap(({ appended = [] }) => appended)
    expect(appended).toHaveLength(processes * count)

    for (const session of times(10, (i) => `session ${i}`)) {
      const { items: stored } = await storage.messages.list(session, { limit: 1000 })
      const expected = appended.filter((message) => message.session === session).sort((a, b) => a.seq - b.seq)
      expect(stored.map(({ id, seq }) => ({ id, seq }))).toEqual(expected.map(({ id, seq }) => ({ id, seq })))
      expect(expected.map(({ seq }) => seq)).toEqual(times(expected.length, (i) => i + 1))
      expect(await storage.sessions.summary(session)).toMatchObject({
        messageCount: expected.length,
        lastSeq: expected.length,
      })
    }
    console.log(`longest append: ${Math.max(...results.map(({ longest = 0 }) => longest)).toFixed(0)} ms`)
  },
  rounds(60_000, 600_000),
)

// The naive variant: without waiting, SQLite rejects a transaction whose reads another process has changed since.
test('better-sqlite3 alone loses appends when four processes append', async () => {
  const file = join(freshDirectory(), 'naive.db')
  const db = new Database(file)
  db.pragma('journal_mode = WAL')
  db.exec('create table messages (session_id text, seq integer, id text, primary key (session_id, seq))')
  const many = 2000 // enough for the processes to meet, even on one processor
  const results = await inProcesses('naive-append', file, many)
  const failed = results.flatMap(({ failed = [] }) => failed)
  const { stored } = db.prepare('select count(*) as stored from messages').get() as { stored: number } // one row
  db.close()
  expect(failed.filter((code) => code.startsWith('SQLITE_BUSY')).length).toBeGreaterThan(0)
  expect(stored).toBeLessThan(processes * many)
}, 60_000)
