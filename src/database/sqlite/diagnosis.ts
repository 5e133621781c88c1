import { access, constants } from 'node:fs/promises'
import { dirname } from 'node:path'
import { diskSpace } from '../../diagnosis/disk-space.ts'
import { type Finding, fail, firstOf, ok } from '../../diagnosis/findings.ts'
import type { Execute } from '../db.ts'
import type { Row } from '../query.ts'
import { checkFile } from './check-file.ts'
import { sqliteError } from './errors.ts'

const CHECKS = ['PRAGMA quick_check(20)', 'PRAGMA foreign_key_check'] as const

/**
 * Checks the file of a database, in a thread of its own, or a database in memory, which blocks the event loop. Reads all of
 * it.
 */
export async function diagnoseSqlite(read: Execute, file: string | undefined): Promise<Finding[]> {
  const [problems = [], orphans = []] = await (file === undefined ? Promise.all(CHECKS.map(read)) : readFile(file))
  const findings = [integrity(problems), foreignKeys(orphans)]
  if (file !== undefined) findings.push(await writable(file), await diskSpace('disk', file))
  return findings
}

async function readFile(file: string): Promise<Row[][]> {
  try {
    return await checkFile(file, CHECKS)
  } catch (error) {
    throw sqliteError(error, file)
  }
}

function integrity(rows: readonly Row[]): Finding {
  const problems = rows.map(([problem]) => String(problem))
  if (problems.length === 1 && problems[0] === 'ok') return ok('integrity', 'PRAGMA quick_check finds nothing')
  return fail('integrity', `The file is damaged (${firstOf(problems, 2)}): stop the program and restore a backup`)
}

function foreignKeys(rows: readonly Row[]): Finding {
  if (rows.length === 0) return ok('foreign-keys', 'Every row has the row that it refers to')
  const tables = [...new Set(rows.map(([table]) => String(table)))]
  const message = `${rows.length} rows of ${firstOf(tables)} refer to rows that are missing: a program without foreign keys has changed the file. Restore a backup, or delete these rows`
  return fail('foreign-keys', message)
}

async function writable(file: string): Promise<Finding> {
  for (const path of [file, dirname(file)]) {
    try {
      await access(path, constants.R_OK | constants.W_OK)
    } catch {
      return fail('privileges', `${path} is not writable for this user: SQLite writes the file and its log beside it`)
    }
  }
  return ok('privileges', 'The file and its directory are writable')
}
