import { randomUUID } from 'node:crypto'
import { link, open, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { codeOf, messageOf } from '../../caught.ts'
import { StorageError } from '../../errors.ts'
import { systemErrorMeaning } from '../../system-error.ts'
import { invalidInput } from '../../validation/input.ts'
import type { BackupSteps } from '../db.ts'
import { quickCheck } from './check-file.ts'
import type { SqliteConnection } from './connection.ts'
import { sqliteError } from './errors.ts'

/** How many pages are copied before other work goes on. */
const STEP_PAGES = 200

/**
 * Copies the database of a connection into a new file, which appears when it is whole. The connection must hold a read
 * transaction: without one, SQLite would begin anew with each commit of others.
 */
export async function backUp(connection: SqliteConnection, file: string, steps: BackupSteps): Promise<number> {
  const part = `${file}.${randomUUID()}.part`
  try {
    // Created here: the copy must not be readable for everybody, and SQLite does not say why it cannot create a file.
    await (await open(part, 'wx', 0o600)).close()
    await connection.backup(part, (done, total) => {
      steps.check()
      steps.progress?.(done, total)
      return STEP_PAGES
    })
    steps.check()
    const damage = await quickCheck(part)
    if (damage !== undefined) throw damaged(file, damage)
    const bytes = await synced(part)
    await moveInto(part, file)
    await syncDirectory(dirname(file))
    return bytes
  } catch (error) {
    throw fileError(sqliteError(error, file), file)
  } finally {
    for (const name of [part, `${part}-wal`, `${part}-shm`, `${part}-journal`]) await unlink(name).catch(() => {}) // most are gone
  }
}

/** Gives the copy its name, unless the name was taken meanwhile. */
async function moveInto(part: string, file: string): Promise<void> {
  try {
    await link(part, file)
  } catch (error) {
    if (codeOf(error) === 'EEXIST') throw error
    // A file system without hard links: only who has created the empty file may replace it.
    await (await open(file, 'wx', 0o600)).close()
    await rename(part, file)
  }
}

/** Waits until the file is on the disk. Returns its size. */
async function synced(path: string): Promise<number> {
  const file = await open(path, 'r+')
  try {
    await file.sync()
    return (await file.stat()).size
  } finally {
    await file.close()
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

function damaged(file: string, damage: string): StorageError {
  const message = `The copy did not pass quick_check, and was removed (${damage}): check the database with PRAGMA integrity_check`
  return new StorageError('DATABASE_FAILED', message, { details: { file } })
}

/** Returns the error of a name that is taken. */
export function fileExists(file: string, cause?: unknown): StorageError {
  const message = `${file} exists, and a backup overwrites nothing: name a new file`
  return new StorageError('ALREADY_EXISTS', message, { cause, details: { path: file } })
}

/** Returns the StorageError for an error of a backup's file. Returns any other error as it is. */
export function fileError(error: unknown, file: string): unknown {
  const errno = codeOf(error)
  if (error instanceof StorageError || errno === undefined) return error
  if (errno === 'EEXIST') return fileExists(file, error)
  if (errno === 'ENOENT' || errno === 'ENOTDIR') {
    return invalidInput([{ path: 'file', message: `the directory of ${file} does not exist: create it first` }], error)
  }
  const unexpected = ['DATABASE_FAILED', `The backup failed: ${messageOf(error)}`] as const
  const [code, message] = systemErrorMeaning(errno, 'the backup') ?? unexpected
  return new StorageError(code, `${message} (${errno} at ${file})`, { cause: error, details: { errno, file } })
}
