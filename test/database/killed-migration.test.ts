import { describe, expect, test } from 'vitest'
import { runScript } from '../setup/processes.ts'
import { rounds, soak } from '../setup/rounds.ts'
import { dialects, fingerprint, freshDatabase, type TestDatabase } from './dialects.ts'
import { ownMigrations } from './histories.ts'
import { rowsOf } from './older-rows.ts'

/** The number of migrations of the version that `rowsOf` has rows of. */
const WITH_ROWS = 6
const OLDER = soak ? Array.from({ length: 10 }, (_, i) => WITH_ROWS + i) : [WITH_ROWS]
const SESSIONS = rounds(50, 2000)

/** Creates a database as an older version had it, with rows in every table. */
async function olderDatabase(dialect: TestDatabase['dialect'], applied: number): Promise<TestDatabase> {
  const database = await freshDatabase(dialect)
  const known = ownMigrations(dialect)
  await database.migrate(known.slice(0, WITH_ROWS))
  const at = dialect === 'sqlite' ? '1000' : "'1970-01-01T00:00:01Z'"
  const many = Array.from({ length: SESSIONS }, (_, i) => i)
  for (const rows of [
    ...rowsOf(dialect),
    `insert into sessions (id, owner_id, metadata, version, created_at, updated_at, last_seq, message_count, last_active_at)
     values ${many.map((i) => `('many${i}', 'o${i % 7}', '{}', 1, ${at}, ${at}, 1, 1, ${at})`).join()}`,
    `insert into messages (session_id, seq, id, role, content, metadata, created_at)
     values ${many.map((i) => `('many${i}', 1, 'm', 'user', '"${'text '.repeat(100)}"', '{}', ${at})`).join()}`,
  ]) {
    await database.query(rows)
  }
  await database.migrate(known.slice(0, applied))
  return database
}

const TABLES = {
  sqlite: `select name from sqlite_master where type = 'table' and name not like '%\\_%migrations' escape '\\'
    and name not like 'sqlite%' and sql not like 'CREATE VIRTUAL%'`,
  postgres: `select tablename as name from pg_tables where schemaname = 'public' and tablename <> 'holdfast_migrations'`,
}

/** Returns the schema and all rows, except for the id of the database, which is random. */
async function contentOf(database: TestDatabase): Promise<unknown> {
  const tables = (await database.query(TABLES[database.dialect])) as { name: string }[] // as selected
  const rows = await Promise.all(
    tables.map(async ({ name }) => {
      const found = await database.query(`select * from ${name} ${name === 'properties' ? "where name <> 'id'" : ''}`)
      return [name, found.map((row) => JSON.stringify(row)).sort()] as const
    }),
  )
  return { ...Object(await fingerprint(database)), rows: Object.fromEntries(rows) }
}

const die = ({ dialect, location }: TestDatabase, statement: number, moment: 'before' | 'during') =>
  runScript<{ statements: number }>('test/database/programs/migrate-and-die.ts', [
    ...[dialect, location, `${statement}`, moment],
  ])

/** Spreads `count` numbers over 1 to `last`, with both ends. */
const spread = (count: number, last: number) => [
  ...new Set(Array.from({ length: count }, (_, i) => 1 + Math.round((i * (last - 1)) / (count - 1)))),
]

describe.each(dialects)('on %s', (dialect) => {
  test.each(OLDER)(
    'an upgrade of a database with %i migrations, killed at any statement, is as one that nobody killed',
    async (applied) => {
      const whole = await olderDatabase(dialect, applied)
      const [{ statements } = { statements: 0 }] = await die(whole, 0, 'before').finished()
      await (await whole.open({ maintenance: false })).close()
      const expected = await contentOf(whole)
      const database = await olderDatabase(dialect, applied)
      const before = await contentOf(database)

      for (const statement of spread(rounds(3, statements), statements)) {
        const script = die(database, statement, statement % 2 === 0 ? 'during' : 'before')
        expect(await script.exit, script.output).toMatchObject({ signal: 'SIGKILL' })
        expect(await contentOf(database)).toEqual(before)
      }

      const clocks = [0, -3_600_000, 86_400_000].map((ahead) => () => new Date(Date.now() + ahead))
      const opened = await Promise.all(clocks.map((now) => database.open({ now, maintenance: false })))
      for (const storage of opened) await storage.close()
      expect(await contentOf(database)).toEqual(expected)
    },
    rounds(120_000, 3_600_000),
  )
})
