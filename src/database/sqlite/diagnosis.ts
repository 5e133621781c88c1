import { access, constants } from 'node:fs/promises'
import { dirname } from 'node:path'
import { diskSpace } from '../../diagnosis/disk-space.ts'
import { type Finding, fail, firstOf, ok } from '../../diagnosis/findings.ts'
import type { Execute } from '../db.ts'

/** Checks the file of a database, or a database in memory. Reads all of it, and blocks the event loop meanwhile. */
export async function diagnoseSqlite(read: Execute, file: string | undefined): Promise<Finding[]> {
  const findings = [await integrity(read), await foreignKeys(read)]
  if (file !== undefined) findings.push(await writable(file), await diskSpace('disk', file))
  return findings
}

async function integrity(read: Execute): Promise<Finding> {
  const problems = (await read('PRAGMA quick_check(20)')).map(([problem]) => String(problem))
  if (problems.length === 1 && problems[0] === 'ok') return ok('integrity', 'PRAGMA quick_check finds nothing')
  return fail('integrity', `The file is damaged (${firstOf(problems, 2)}): stop the program and restore a backup`)
}

async function foreignKeys(read: Execute): Promise<Finding> {
  const rows = await read('PRAGMA foreign_key_check')
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
