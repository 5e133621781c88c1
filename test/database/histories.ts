import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type MigrationMeta, readMigrationFiles } from 'drizzle-orm/migrator'
import type { Dialect } from '../../src/database/db.ts'
import { freshDirectory } from '../setup/databases.ts'

export interface Entry {
  tag: string
  when: number
}

export interface Migration extends Entry {
  sql: string
}

/** Returns the entries of Holdfast's migrations, as drizzle-kit has written them. */
export function entriesOf(dialect: Dialect): Entry[] {
  return JSON.parse(readFileSync(`migrations/${dialect}/meta/_journal.json`, 'utf8')).entries
}

export function sqlOf(dialect: Dialect, { tag }: Entry): string {
  return readFileSync(`migrations/${dialect}/${tag}.sql`, 'utf8')
}

/** Creates a folder with the first `count` migrations, as an older version had it. */
export function olderFolder(dialect: Dialect, count: number): string {
  const entries = entriesOf(dialect).slice(0, count)
  return folderOf(
    dialect,
    entries.map((entry) => ({ ...entry, sql: sqlOf(dialect, entry) })),
  )
}

/** Creates a folder with these migrations. */
export function folderOf(dialect: Dialect, migrations: readonly Migration[]): string {
  const folder = freshDirectory()
  mkdirSync(join(folder, 'meta'))
  const entries = migrations.map(({ tag, when }, idx) => ({ idx, version: '6', when, tag, breakpoints: true }))
  const journal = { version: '7', dialect: dialect === 'postgres' ? 'postgresql' : 'sqlite', entries }
  writeFileSync(join(folder, 'meta/_journal.json'), JSON.stringify(journal))
  for (const { tag, sql } of migrations) writeFileSync(join(folder, `${tag}.sql`), sql)
  return folder
}

export function migrationsIn(migrationsFolder: string): MigrationMeta[] {
  return readMigrationFiles({ migrationsFolder })
}

export function ownMigrations(dialect: Dialect): MigrationMeta[] {
  return migrationsIn(`migrations/${dialect}`)
}
