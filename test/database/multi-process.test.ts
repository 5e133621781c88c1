import { join } from 'node:path'
import Database from 'better-sqlite3'
import { openStorage, type StorageConfig } from 'holdfast'
import { expect, test } from 'vitest'
import { times } from '../../src/testing/contract.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'

interface Said {
  ready?: boolean
  appended?: { session: string; id: string; seq: number }[]
  failed?: string[]
  longest?: number
}

const processes = 4
const count = rounds(125, 500)

/** Runs the program in four processes that begin at once; what each says in the end. */
async function inProcesses(program: string, argument: string): Promise<Said[]> {
  const scripts = times(processes, (i) =>
    runScript<Said>(`test/database/programs/${program}.ts`, [argument, `p${i}`, String(count)]),
  )
  await Promise.all(scripts.map((script) => script.next()))
  for (const script of scripts) script.send('go')
  return Promise.all(scripts.map((script) => script.next(undefined, rounds(60_000, 600_000))))
}

const databases: [string, () => StorageConfig['database'] | Promise<StorageConfig['database']>][] = [
  ['SQLite', () => ({ type: 'sqlite', path: join(freshDirectory(), 'shared.db') })],
  ['PostgreSQL', async () => ({ type: 'postgres', url: await freshPostgres(), maxConnections: 5 })],
]

test.each(databases)(
  'four processes append to the same ten sessions of one %s database',
  async (_, configure) => {
    const config = { database: await configure() }
    await using storage = await openStorage(config, quiet)
    const said = await inProcesses('append', JSON.stringify(config))
    expect(said.flatMap(({ failed }) => failed)).toEqual([])
    const appended = said.flatMap(({ appended = [] }) => appended)
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
    console.log(`longest append: ${Math.max(...said.map(({ longest = 0 }) => longest)).toFixed(0)} ms`)
  },
  rounds(60_000, 600_000),
)

// The naive variant: SQLite refuses a transaction that has read what another process has changed since, without a wait.
test('better-sqlite3 alone loses appends in the same harness', async () => {
  const file = join(freshDirectory(), 'naive.db')
  const db = new Database(file)
  db.pragma('journal_mode = WAL')
  db.exec('create table messages (session_id text, seq integer, id text, primary key (session_id, seq))')
  const said = await inProcesses('naive-append', file)
  const failed = said.flatMap(({ failed = [] }) => failed)
  const { stored } = db.prepare('select count(*) as stored from messages').get() as { stored: number } // one row
  db.close()
  expect(failed.filter((code) => code.startsWith('SQLITE_BUSY')).length).toBeGreaterThan(0)
  expect(stored).toBeLessThan(processes * count)
}, 60_000)
