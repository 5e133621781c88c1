import { type Finding, isStorageError, migrateStorage } from '../../index.ts'
import type { Command } from '../command.ts'
import { EXIT, exitCodeFor, exitCodeOf } from '../exit-codes.ts'
import { inColumns, printable } from '../text.ts'
import { pendingText } from './migrate.ts'

export const doctor: Command = {
  name: 'doctor',
  summary: 'Looks for what is wrong or will be, and says what to do.',
  details:
    'Reads the whole database and every blob. On SQLite other processes can work meanwhile. Exits with 3 if a check fails, with 4 if the database or the blob store cannot be reached, also in the middle: then it says which checks were not made.',
  needsBlobs: true,
  options: [{ name: 'repair', summary: 'Counts wrong counters of sessions and lists again.' }],
  async run({ given, output, signal, configuration, open }) {
    const { config } = await configuration()
    const progress = output.progress('things')
    const findings: Finding[] = []
    let isReached = false
    try {
      const report = await migrateStorage(config, { dryRun: true })
      const isPending = report.migrations.length > 0
      findings.push({
        check: 'migrations',
        result: isPending ? 'fail' : 'ok',
        message: isPending ? pendingText(report) : 'The schema is up to date',
      })
      if (!isPending) {
        const storage = await open()
        const found = await storage.diagnose({
          repair: given.flag('repair'),
          signal,
          onProgress: ({ check, checked }) => progress.update(checked, undefined, check),
        })
        findings.push(...found)
      }
    } catch (error) {
      // What keeps a program from opening the storage is a finding, too, unless it is this command that is wrong.
      if (signal.aborted || !isStorageError(error) || exitCodeOf(error) === EXIT.usage) throw error
      const { code, message, details } = error
      findings.push({ check: 'open', result: 'fail', message: `${code}: ${message}`, code })
      isReached = 'encoding' in details
    } finally {
      progress.end()
    }
    const colours = { ok: 'green', warn: 'yellow', fail: 'red' } as const
    const rows = findings.map(({ check, result, message }) => [
      output.colour(colours[result], result.padEnd(4)),
      check,
      printable(message),
    ])
    const isWell = findings.every(({ result }) => result !== 'fail')
    await output.print(inColumns(rows), { ok: isWell, findings })
    const isUnreachable = findings.some(({ code }) => code !== undefined && exitCodeFor(code) === EXIT.unreachable)
    if (isUnreachable && !isReached) return EXIT.unreachable
    return isWell ? EXIT.ok : EXIT.findings
  },
}
