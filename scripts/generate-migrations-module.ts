/**
 * Writes src/database/migrations.generated.ts from the folder migrations, so that a bundled program needs no files at run
 * time. With --check, fails if the module is not up to date and writes nothing.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { readMigrationFiles } from 'drizzle-orm/migrator'

const file = new URL('../src/database/migrations.generated.ts', import.meta.url)
const text = [
  '// Written by scripts/generate-migrations-module.ts from the folder migrations: run npm run migrations.',
  "import type { Dialect } from './db.ts'",
  '',
  '/** One migration: its statements, and the columns of its row in the journal. */',
  'export interface Migration {',
  '  sql: readonly string[]',
  '  /** SHA-256 of the file, as drizzle-kit writes it to the journal. */',
  '  hash: string',
  '  folderMillis: number',
  '}',
  '',
  'export const MIGRATIONS: Readonly<Record<Dialect, readonly Migration[]>> = {',
  ...['sqlite', 'postgres'].flatMap((dialect) => [`  ${dialect}: [`, ...migrationsOf(dialect), '  ],']),
  '}',
  '',
].join('\n')

function migrationsOf(dialect: string): string[] {
  const migrationsFolder = fileURLToPath(new URL(`../migrations/${dialect}`, import.meta.url))
  return readMigrationFiles({ migrationsFolder }).flatMap(({ sql, hash, folderMillis }) => [
    '    {',
    `      folderMillis: ${folderMillis},`,
    `      hash: '${hash}',`,
    '      sql: [',
    ...sql.map((statement) => `        ${JSON.stringify(statement)},`),
    '      ],',
    '    },',
  ])
}

if (!process.argv.includes('--check')) {
  await writeFile(file, text)
} else if ((await readFile(file, 'utf8').catch(() => '')) !== text) {
  console.error('src/database/migrations.generated.ts is out of date: run npm run migrations')
  process.exitCode = 1
}
