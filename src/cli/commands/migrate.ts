import { type MigrationReport, migrateStorage } from '../../index.ts'
import type { Call, Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { manyText } from '../text.ts'

export const migrate: Command = {
  name: 'migrate',
  summary: 'Brings the database to the schema of this version.',
  details:
    'The step of a deployment before the program starts. Any number of processes may do it at once; all migrations are applied, or none. Safe to repeat.',
  options: [{ name: 'dry-run', summary: 'Prints the SQL of the pending migrations. Exits with 3 if there are any.' }],
  async run(call) {
    const dryRun = call.given.flag('dry-run')
    const report = await migrateStorage((await call.configuration()).config, { dryRun })
    if (!dryRun) return print(call, report, appliedText(report))
    await print(call, report, report.migrations.length === 0 ? currentText(report) : sqlOf(report))
    return report.migrations.length === 0 ? EXIT.ok : EXIT.findings
  },
}

export const migrateStatus: Command = {
  name: 'migrate status',
  summary: 'Says how many migrations are pending.',
  details: 'Exits with 3 if there are any. Changes nothing, and creates no file.',
  async run(call) {
    const report = await migrateStorage((await call.configuration()).config, { dryRun: true })
    await print(call, report, report.migrations.length === 0 ? currentText(report) : pendingText(report))
    return report.migrations.length === 0 ? EXIT.ok : EXIT.findings
  },
}

/** Says how many migrations are pending, and what to do. */
export function pendingText({ known, migrations, server }: MigrationReport): string {
  const otherwise = server === undefined ? ', or correct the path, which leads to no file' : ''
  return `${migrations.length} of ${manyText(known, 'migration')} pending: run holdfast migrate${otherwise}`
}

/** Says that no migration is pending. */
export function currentText({ known }: MigrationReport): string {
  return `the schema is up to date (${manyText(known, 'migration')})`
}

function appliedText(report: MigrationReport): string {
  if (report.database === 'in-memory') return 'a database in memory is migrated whenever it is opened'
  const { length } = report.migrations
  return length === 0 ? currentText(report) : `${manyText(length, 'migration')} applied`
}

/** Returns the pending migrations as a script. */
function sqlOf({ migrations }: MigrationReport): string {
  return migrations
    .map(({ number, sql }) =>
      [`-- migration ${number}`, ...sql.map((statement) => statement.replace(/;?$/, ';'))].join('\n'),
    )
    .join('\n\n')
}

function print({ output }: Call, report: MigrationReport, text: string): Promise<undefined> {
  return output.print(text, report).then(() => undefined)
}
