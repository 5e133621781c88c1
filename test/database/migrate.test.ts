import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { openStorage } from 'holdfast'
import { describe, expect, test } from 'vitest'
import { MIGRATIONS } from '../../src/database/migrations.generated.ts'
import { freshDirectory } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { dialects, fingerprint, freshDatabase, journal, journalOf, type TestDatabase } from './dialects.ts'
import { entriesOf, folderOf, migrationsIn, olderFolder, ownMigrations, sqlOf } from './histories.ts'
import type { Order, Outcome } from './programs/opener.ts'

const run = promisify(execFile)
const PROCESSES = 8
const timeout = rounds(2, 10) * 60_000 // processes start slowly on a busy machine

/** Starts processes. Returns a function that has all of them open one database at the same moment. */
async function startOpeners(count: number) {
  const openers = Array.from({ length: count }, () => runScript<Outcome>('test/database/programs/opener.ts'))
  for (const opener of openers) await opener.next(({ ready }) => ready === true, 60_000)
  return async (way: Order['way'], location: string): Promise<Outcome[]> => {
    for (const opener of openers) opener.send({ way, location, at: Date.now() + 50 } satisfies Order)
    return Promise.all(openers.map((opener) => opener.next()))
  }
}

const expectedJournal = (dialect: TestDatabase['dialect']) =>
  ownMigrations(dialect).map(({ hash, folderMillis }) => ({ hash, at: folderMillis }))

describe.each(dialects)('openStorage() on %s', (dialect) => {
  test(`migrates once when ${PROCESSES} processes open a new database at the same moment`, { timeout }, async () => {
    const openers = await startOpeners(PROCESSES)
    for (let round = 0; round < rounds(4, 20); round++) {
      const database = await freshDatabase(dialect)
      expect(await openers(dialect, database.location)).toEqual(Array(PROCESSES).fill({ opened: true }))
      expect(await journal(database)).toEqual(expectedJournal(dialect))
      await using storage = await database.open({ migrate: false })
      expect((await storage.messages.list('session')).items.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    }
  })

  test('rejects a database of a newer version and changes nothing', async () => {
    const database = await freshDatabase(dialect)
    await (await database.open()).close()
    const newest = Number(ownMigrations(dialect).at(-1)?.folderMillis)
    await database.query(`insert into ${journalOf(dialect)} (hash, created_at) values ('newer', ${newest + 1})`)
    const before = await fingerprint(database)
    for (const migrate of [true, false]) {
      await expect(database.open({ migrate })).rejects.toMatchObject({ code: 'SCHEMA_TOO_NEW', retryable: false })
    }
    expect(await fingerprint(database)).toEqual(before)
  })

  test.each(
    ["set hash = 'edited'", 'set created_at = created_at - 1'].flatMap((edit) =>
      [1, entriesOf(dialect).length].map((applied) => ({ edit, applied })),
    ),
  )(
    'rejects a database with $applied migrations whose journal was edited ($edit), and changes nothing',
    async ({ edit, applied }) => {
      const database = await freshDatabase(dialect)
      await database.migrate(ownMigrations(dialect).slice(0, applied))
      await database.query(`update ${journalOf(dialect)} ${edit}`)
      const before = await fingerprint(database)
      for (const migrate of [true, false]) {
        await expect(database.open({ migrate })).rejects.toMatchObject({ code: 'SCHEMA_DIVERGED' })
      }
      expect(await fingerprint(database)).toEqual(before)
    },
  )

  test('rejects and changes nothing if migrations are pending and migrate is false', async () => {
    const database = await freshDatabase(dialect)
    const empty = await fingerprint(database)
    const pending = { code: 'MIGRATION_PENDING', details: { pending: entriesOf(dialect).length } }
    await expect(database.open({ migrate: false })).rejects.toMatchObject(pending)
    expect(await fingerprint(database)).toEqual(empty)
    await database.migrate(ownMigrations(dialect).slice(0, 1))
    const older = await fingerprint(database)
    await expect(database.open({ migrate: false })).rejects.toMatchObject({ code: 'MIGRATION_PENDING' })
    expect(await fingerprint(database)).toEqual(older)
    await (await database.open()).close()
    await (await database.open({ migrate: false })).close()
  })

  test('rolls back all pending migrations when one fails', async () => {
    const own = entriesOf(dialect).map((entry) => ({ ...entry, sql: sqlOf(dialect, entry) }))
    const when = Number(own.at(-1)?.when) + 1
    const sql = 'create table extra (id integer);--> statement-breakpoint\ninsert into nowhere values (1);'
    const failing = migrationsIn(folderOf(dialect, [...own, { tag: '9999_failing', when, sql }]))
    const database = await freshDatabase(dialect)
    for (const applied of [0, own.length]) {
      await database.migrate(own.slice(0, applied).length === 0 ? [] : ownMigrations(dialect))
      const before = await fingerprint(database)
      const failed = { code: 'MIGRATION_FAILED', message: expect.stringContaining(`${own.length}`) }
      await expect(database.migrate(failing)).rejects.toMatchObject(failed)
      expect(await fingerprint(database)).toEqual(before)
    }
    await (await database.open()).close()
  })

  test('migrates an older database with its data', async () => {
    const database = await freshDatabase(dialect)
    await database.stockMigrate(olderFolder(dialect, 1))
    const time = dialect === 'sqlite' ? '0' : "'1970-01-01T00:00:00Z'"
    await database.query(`insert into sessions
      (id, metadata, version, created_at, updated_at, last_seq, message_count, last_active_at)
      values ('session', '{"a":1}', 1, ${time}, ${time}, 1, 1, ${time})`)
    await database.query(`insert into messages (session_id, seq, id, role, content, metadata, created_at)
      values ('session', 1, 'message', 'user', '"hello"', '{}', ${time})`)
    await using storage = await database.open()
    expect(await journal(database)).toEqual(expectedJournal(dialect))
    expect(await storage.sessions.get('session')).toMatchObject({ metadata: { a: 1 }, createdAt: new Date(0) })
    expect(await storage.messages.list('session')).toMatchObject({ items: [{ id: 'message', content: 'hello' }] })
    expect((await storage.messages.append('session', { role: 'user', content: 'more' })).seq).toBe(2)
  })

  test('counts the gaps of a queue in an older database', async () => {
    const database = await freshDatabase(dialect)
    await database.stockMigrate(olderFolder(dialect, 4))
    await database.query("insert into queues (session_id, name, last_position) values ('s', 'q', 7), ('s', 'empty', 3)")
    await database.query(`insert into queue_items (session_id, queue, position, id, item)
      values ('s', 'q', 2, 'a', '{"id":"a"}'), ('s', 'q', 6, 'b', '{"id":"b"}')`)
    await using storage = await database.open()
    const { queues } = storage
    expect(await queues.push('s', 'q', { id: 'c' })).toEqual({ position: 3 })
    expect(await queues.push('s', 'q', { id: 'b' })).toEqual({ position: 2 })
    expect(await queues.push('s', 'empty', { id: 'a' })).toEqual({ position: 1 })
    expect(await queues.takeAll('s', 'q')).toEqual([{ id: 'a' }, { id: 'b' }, { id: 'c' }])
  })

  test('leases the items that are queued in an older database', async () => {
    const database = await freshDatabase(dialect)
    await database.stockMigrate(olderFolder(dialect, 5))
    await database.query("insert into queues (session_id, name, last_position, gaps) values ('s', 'q', 7, 5)")
    await database.query(`insert into queue_items (session_id, queue, position, id, item)
      values ('s', 'q', 2, 'a', '{"id":"a"}'), ('s', 'q', 6, 'b', '{"id":"b"}')`)
    await using storage = await database.open()
    const { queues } = storage
    const [a, b] = await queues.take('s', 'q', { leaseSeconds: 60, limit: 10 })
    expect([a, b]).toMatchObject([
      { item: { id: 'a' }, attempt: 1 },
      { item: { id: 'b' }, attempt: 1 },
    ])
    expect(await queues.ack([String(a?.receipt)])).toEqual({ held: [a?.receipt], lost: [] })
    expect(await queues.push('s', 'q', { id: 'c' })).toEqual({ position: 2 })
    expect(await queues.takeAll('s', 'q')).toEqual([{ id: 'b' }, { id: 'c' }])
  })

  test('accepts a database that drizzle-kit migrate has migrated, and the reverse', { timeout }, async () => {
    const drizzleKit = ({ location }: TestDatabase) =>
      run(process.execPath, ['node_modules/drizzle-kit/bin.cjs', 'migrate'], {
        env: { ...process.env, DIALECT: dialect, DATABASE_URL: location },
      })
    const [empty, older, current] = [
      await freshDatabase(dialect),
      await freshDatabase(dialect),
      await freshDatabase(dialect),
    ]
    await older.migrate(ownMigrations(dialect).slice(0, 1))
    await (await current.open()).close()
    for (const database of [empty, older, current]) {
      await drizzleKit(database)
      expect(await journal(database)).toEqual(expectedJournal(dialect))
      await using storage = await database.open({ migrate: false })
      expect((await storage.messages.append('session', { role: 'user', content: 'x' })).seq).toBe(1)
    }
    expect(await fingerprint(empty)).toEqual(await fingerprint(current))
    expect(await fingerprint(older)).toEqual(await fingerprint(current))
  })
})

test('openStorage() creates nothing if the SQLite file does not exist and migrate is false', async () => {
  const directory = freshDirectory()
  const pending = { code: 'MIGRATION_PENDING', details: { pending: entriesOf('sqlite').length } }
  for (const path of [join(directory, 'agent.db'), join(directory, 'not/yet/there/agent.db')]) {
    const opening = openStorage({ database: { type: 'sqlite', path } }, { migrate: false })
    await expect(opening).rejects.toMatchObject(pending)
  }
  expect(readdirSync(directory)).toEqual([])
})

// The naive variant.
test("drizzle's own migrate() fails when several processes open a database at the same moment", {
  timeout,
}, async () => {
  const openers = await startOpeners(PROCESSES / 2)
  const failures: Outcome[] = []
  for (let round = 0; round < 20 && failures.length === 0; round++) {
    const { location } = await freshDatabase('postgres')
    failures.push(...(await openers('stock', location)).filter(({ failed }) => failed !== undefined))
  }
  expect(failures).not.toEqual([])
})

test('openStorage() creates tables and foreign keys in the schema of the search path', async () => {
  const database = await freshDatabase('postgres')
  await database.query('create schema elsewhere')
  await database.query(`alter database ${new URL(database.location).pathname.slice(1)} set search_path = elsewhere`)
  await using storage = await database.open()
  expect((await storage.messages.append('session', { role: 'user', content: 'x' })).seq).toBe(1)
  expect(await database.query("select 1 from information_schema.tables where table_schema = 'public'")).toEqual([])
})

describe('a migration that rebuilds a SQLite table', () => {
  // What drizzle-kit generates for a changed default or constraint. test/schema/history.test.ts rejects such a migration.
  const first = `CREATE TABLE sessions (id text PRIMARY KEY NOT NULL);
--> statement-breakpoint
CREATE TABLE parents (id text PRIMARY KEY NOT NULL, n integer);
--> statement-breakpoint
CREATE TABLE children (
	id text PRIMARY KEY NOT NULL, parent text NOT NULL,
	FOREIGN KEY (parent) REFERENCES parents(id) ON UPDATE no action ON DELETE cascade
);`
  const rebuild = `PRAGMA foreign_keys=OFF;--> statement-breakpoint
CREATE TABLE \`__new_parents\` (id text PRIMARY KEY NOT NULL, n integer DEFAULT 5);--> statement-breakpoint
INSERT INTO \`__new_parents\`("id", "n") SELECT "id", "n" FROM \`parents\`;--> statement-breakpoint
DROP TABLE \`parents\`;--> statement-breakpoint
ALTER TABLE \`__new_parents\` RENAME TO \`parents\`;--> statement-breakpoint
PRAGMA foreign_keys=ON;`
  const history = [
    { tag: '0000_first', when: 1, sql: first },
    { tag: '0001_rebuild', when: 2, sql: rebuild },
  ]
  const withChildren = async () => {
    const database = await freshDatabase('sqlite')
    await database.stockMigrate(folderOf('sqlite', history.slice(0, 1)))
    await database.query("insert into parents values ('p', 1)")
    await database.query("insert into children values ('c', 'p')")
    return database
  }

  test('keeps the rows that reference the table', async () => {
    const database = await withChildren()
    await database.migrate(migrationsIn(folderOf('sqlite', history)))
    expect(await database.query('select * from children')).toEqual([{ id: 'c', parent: 'p' }])
    await expect(database.query("insert into children values ('d', 'nobody')")).rejects.toThrow('FOREIGN KEY')
  })

  test("silently loses the rows that reference the table under drizzle's own migrate()", async () => {
    const database = await withChildren()
    await database.stockMigrate(folderOf('sqlite', history))
    expect(await database.query('select * from parents')).toHaveLength(1)
    expect(await database.query('select * from children')).toEqual([])
  })

  test('is rolled back if it would leave a foreign key without its row', async () => {
    const database = await withChildren()
    await database.migrate(migrationsIn(folderOf('sqlite', history.slice(0, 1))))
    const before = await fingerprint(database)
    const losing = rebuild.replace('FROM `parents`', 'FROM `parents` WHERE false')
    const lossy = migrationsIn(
      folderOf('sqlite', [...history.slice(0, 1), { tag: '0001_loses', when: 2, sql: losing }]),
    )
    await expect(database.migrate(lossy)).rejects.toMatchObject({ code: 'MIGRATION_FAILED' })
    expect(await fingerprint(database)).toEqual(before)
    expect(await database.query('select * from children')).toHaveLength(1)
  })
})

test.each(['sqlite', 'postgres'] as const)(
  'MIGRATIONS has the files and hashes that drizzle reads for %s',
  (dialect) => {
    const files = migrationsIn(`migrations/${dialect}`).map(({ sql, hash, folderMillis }) => ({
      sql,
      hash,
      folderMillis,
    }))
    expect(MIGRATIONS[dialect], 'run npm run migrations').toEqual(files)
  },
)
