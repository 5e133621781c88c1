import { existsSync, readFileSync } from 'node:fs'
import {
  generateDrizzleJson,
  generateMigration,
  generateSQLiteDrizzleJson,
  generateSQLiteMigration,
} from 'drizzle-kit/api'
import { integer as pgInteger, pgTable } from 'drizzle-orm/pg-core'
import { integer as sqliteInteger, sqliteTable } from 'drizzle-orm/sqlite-core'
import { describe, expect, test } from 'vitest'
import * as postgres from '../../src/schema/postgres.ts'
import * as sqlite from '../../src/schema/sqlite.ts'
import { entriesOf, sqlOf } from '../database/histories.ts'

const generate = {
  sqlite: async (tables: Record<string, unknown>, last: string) =>
    generateSQLiteMigration(snapshot('sqlite', last), await generateSQLiteDrizzleJson(tables)),
  postgres: (tables: Record<string, unknown>, last: string) =>
    generateMigration(snapshot('postgres', last), generateDrizzleJson(tables)),
}
const extra = {
  sqlite: { extra: sqliteTable('extra', { id: sqliteInteger('id') }) },
  postgres: { extra: pgTable('extra', { id: pgInteger('id') }) },
}
const tables = { sqlite, postgres }

function snapshot(dialect: 'sqlite' | 'postgres', tag: string) {
  return JSON.parse(readFileSync(`migrations/${dialect}/meta/${tag.slice(0, 4)}_snapshot.json`, 'utf8'))
}

interface Table {
  foreignKeys: Record<string, { tableFrom: string; tableTo: string }>
}

/** Returns every foreign key that there is after a migration: the table that has it, and the table that it refers to. */
function referencesAfter(dialect: 'sqlite' | 'postgres', tag: string): [child: string, parent: string][] {
  const { tables }: { tables: Record<string, Table> } = snapshot(dialect, tag)
  return Object.values(tables).flatMap(({ foreignKeys }) =>
    Object.values(foreignKeys).map(({ tableFrom, tableTo }): [string, string] => [tableFrom, tableTo]),
  )
}

describe.each(['sqlite', 'postgres'] as const)('%s', (dialect) => {
  const entries = entriesOf(dialect)
  const last = entries.at(-1)?.tag ?? ''

  test('drizzle-kit generates nothing, since the last snapshot equals the tables', async () => {
    expect(await generate[dialect](tables[dialect], last)).toEqual([])
  })

  test('drizzle-kit generates a statement for a table that no migration creates', async () => {
    const statements = await generate[dialect]({ ...tables[dialect], ...extra[dialect] }, last)
    expect(statements.join()).toContain('CREATE TABLE')
  })

  test('migrations ascend in number and time, since drizzle silently skips any that does not', () => {
    const times = entries.map(({ when }) => when)
    expect(times).toEqual([...new Set(times)].toSorted((a, b) => a - b))
    for (const [i, { tag }] of entries.entries()) {
      expect(tag).toMatch(new RegExp(`^${String(i).padStart(4, '0')}_[a-z-]+$`))
      expect(existsSync(`migrations/${dialect}/${tag}.sql`)).toBe(true)
    }
    const snapshots = entries.map(({ tag }) => snapshot(dialect, tag))
    for (const [i, { prevId }] of snapshots.entries()) if (i > 0) expect(prevId).toBe(snapshots[i - 1].id)
  })

  test('a migration drops a table only after all tables that refer to it, since drizzle-kit cascades the rows', () => {
    for (const [i, entry] of entries.entries()) {
      const before = entries[i - 1]
      const dropped = Array.from(sqlOf(dialect, entry).matchAll(/DROP TABLE [`"](\w+)[`"]/g), ([, name]) => name)
      for (const [child, parent] of before ? referencesAfter(dialect, before.tag) : []) {
        if (!dropped.includes(parent)) continue
        expect(dropped).toContain(child)
        expect(dropped.indexOf(child)).toBeLessThan(dropped.indexOf(parent))
      }
    }
  })
})

test('both dialects have the same migrations', () => {
  const tags = (dialect: 'sqlite' | 'postgres') => entriesOf(dialect).map(({ tag }) => tag)
  expect(tags('sqlite')).toEqual(tags('postgres'))
  expect(tags('sqlite').length).toBeGreaterThan(0)
})
