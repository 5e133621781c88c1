import { isError } from '../../caught.ts'
import { type ArchiveProgress, copyStorage, type ImportReport, importInto, isStorageError } from '../../index.ts'
import type { Call, Command } from '../command.ts'
import { namedConfiguration } from '../configuration.ts'
import { EXIT, UsageError } from '../exit-codes.ts'
import { refuseLoss } from '../in-memory.ts'
import { OWNER } from '../options.ts'
import { bytesText, countsText, countText, inColumns, inLine, manyText } from '../text.ts'

export const exportCommand: Command = {
  name: 'export',
  summary: 'Writes all rows and blobs of one moment into a directory, as JSON lines with checksums.',
  details: 'Programs may write meanwhile. docs/archive.md says what the files hold.',
  needsBlobs: true,
  arguments: [{ name: 'DIR', summary: 'The directory. It must be new or empty.' }],
  options: [
    { ...OWNER, summary: 'Only the rows and blobs of this owner.' },
    { name: 'session', value: 'ID', summary: 'Only this session and what belongs to it.' },
    {
      name: 'since',
      value: 'WHEN',
      summary: 'Only what was created or changed since this date, or this long ago: 7d.',
    },
  ],
  async run(call) {
    const { given, output, signal, open } = call
    const selection = {
      ownerId: given.text('owner'),
      sessionId: given.text('session'),
      since: given.instantOrAge('since'),
    }
    const storage = await open()
    const report = await watched(call, (onProgress) =>
      storage.export(given.argument('DIR'), { ...selection, signal, onProgress }),
    )
    const { contents, bytes } = report.blobs
    const text = `${manyText(report.rows, 'row')} and ${manyText(contents, 'content')} of blobs (${bytesText(bytes)}) exported: ${countsText(report.tables)}`
    await output.print(text, report)
    return EXIT.ok
  },
}

export const importCommand: Command = {
  name: 'import',
  summary: 'Verifies an archive, and writes its rows and blobs into the storage.',
  details:
    'Overwrites nothing. An import that was interrupted is resumed; a second one changes nothing. Exits with 3 if rows are refused, and says which.',
  needsBlobs: true,
  makesStore: true,
  arguments: [{ name: 'DIR', summary: 'The directory of the archive.' }],
  options: [{ name: 'dry-run', summary: 'Verifies and compares, and writes nothing.' }],
  async run(call) {
    const { given, output, signal, configuration, open } = call
    const dryRun = given.flag('dry-run')
    const directory = given.argument('DIR')
    const storage = await open()
    if (!dryRun) {
      await refuseLoss((await configuration()).config, async () => {
        const { tables } = await importInto(storage, directory, { dryRun: true, signal })
        return (tables.blobs?.inserted ?? 0) > 0
      })
    }
    const report = await watched(call, (onProgress) => importInto(storage, directory, { dryRun, signal, onProgress }))
    await output.print(importText(report, dryRun ? 'would be imported' : 'imported'), { dryRun, ...report })
    return report.refused === 0 ? EXIT.ok : EXIT.findings
  },
}

export const copyCommand: Command = {
  name: 'copy',
  summary: 'Copies all rows and blobs of one storage into another of any kind.',
  details:
    'The schema of the target is brought up to date first. Overwrites nothing. A copy that was interrupted is resumed. Exits with 3 if rows are refused, or if the two differ.',
  isOffline: true,
  options: [
    { name: 'from', value: 'STORAGE', summary: 'A configuration file, a postgres:// url or an SQLite file. Required.' },
    { name: 'to', value: 'STORAGE', summary: 'The target, named in the same way. Required.' },
    { name: 'verify', summary: 'Compares both sides afterwards, table by table.' },
  ],
  async run(call) {
    const { given, output, signal, openNamed } = call
    const [source, target] = [given.text('from'), given.text('to')]
    if (source === undefined || target === undefined) throw new UsageError('copy needs --from STORAGE and --to STORAGE')
    const verify = given.flag('verify')
    const from = await aboutSide('source (--from)', () => openNamed(source, { migrate: false }))
    const { config } = await aboutSide('target (--to)', () => namedConfiguration(target))
    await refuseLoss(config, async () => (await from.blobs.list({ limit: 1 })).items.length > 0)
    const to = await aboutSide('target (--to)', () => openNamed(target, { migrate: true }))
    const report = await watched(call, (onProgress) =>
      copyStorage(from, to, { ...(verify && { verify }), signal, onProgress }),
    )
    const { equal, comparison = [] } = report
    const different = comparison.filter((table) => !table.equal).map(({ table }) => table)
    const verdict =
      equal === undefined ? [] : [equal ? 'both sides are equal' : `these tables differ: ${different.join(', ')}`]
    await output.print([importText(report, 'copied'), ...verdict].join('\n'), report)
    return report.refused === 0 && equal !== false ? EXIT.ok : EXIT.findings
  },
}

/** Has an error say which side of the copy it is about. */
async function aboutSide<T>(side: string, open: () => Promise<T>): Promise<T> {
  try {
    return await open()
  } catch (error) {
    if (isError(error)) error.message = `the ${side}: ${error.message}`
    throw error
  }
}

export const backupCommand: Command = {
  name: 'backup',
  summary: 'Copies an SQLite database into a file while programs write, and checks the copy.',
  details:
    'The copy is a database of its own: docs/backup.md says how it is restored, and that blobs are backed up after it. For PostgreSQL the command says how pg_dump is called, and exits with 2.',
  arguments: [{ name: 'FILE', summary: 'The file to write. It must not exist.' }],
  async run(call) {
    const { given, output, signal, open } = call
    const storage = await open()
    const report = await watched(
      call,
      (onProgress) => storage.backup(given.argument('FILE'), { signal, onProgress }),
      'pages',
    ).catch((error) => {
      const isPostgres = storage.config.database.type === 'postgres'
      throw isPostgres && isStorageError(error, 'INVALID_STATE') ? new UsageError(error.message) : error
    })
    await output.print(`${report.file}: ${bytesText(report.bytes)}, checked`, report)
    return EXIT.ok
  },
}

/** Runs a call that says how far it is. */
async function watched<T>(
  { output }: Call,
  run: (onProgress: (progress: ArchiveProgress) => void) => Promise<T>,
  unit = 'rows',
): Promise<T> {
  const progress = output.progress(unit)
  try {
    return await run(({ table, rows, total }) => progress.update(rows, total, table))
  } finally {
    progress.end()
  }
}

/** How many refused rows are printed. */
const REFUSALS = 20

function importText({ inserted, unchanged, refused, refusals, tables, resumed }: ImportReport, verb: string): string {
  const counts = Object.fromEntries(Object.entries(tables).map(([table, outcome]) => [table, outcome.inserted]))
  const lines = [
    `${manyText(inserted, 'row')} ${verb}: ${countsText(counts)}`,
    ...(unchanged > 0 ? [`${manyText(unchanged, 'row')} there already`] : []),
    ...(resumed ? ['went on with a call that was interrupted'] : []),
  ]
  if (refused === 0) return lines.join('\n')
  const shown = refusals.slice(0, REFUSALS)
  const rows = shown.map(({ table, file, line, key, reason }) => [
    file === undefined ? table : `${file}:${line}`,
    inLine(key.join(' ')),
    inLine(reason, 100),
  ])
  const more = refused - shown.length
  lines.push(
    `${manyText(refused, 'row')} refused`,
    inColumns(rows),
    ...(more > 0 ? [`and ${countText(more)} more`] : []),
  )
  return lines.join('\n')
}
