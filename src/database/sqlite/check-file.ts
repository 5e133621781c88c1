import { Worker } from 'node:worker_threads'
import { messageOf } from '../../caught.ts'
import { StorageError } from '../../errors.ts'
import type { Row } from '../query.ts'
import { endsSafely, loadBetterSqlite3, requireInstalled } from './load.ts'

/** Reads in a thread of its own: SQLite would stop the event loop until it has read all of the file. */
const PROGRAM = `
const { parentPort, workerData } = require('node:worker_threads')
const { module, file, options, checks } = workerData
try {
  const database = new (require(module))(file, options)
  try {
    parentPort.postMessage({ answers: checks.map((sql) => database.prepare(sql).raw().all()) })
  } finally {
    database.close()
  }
} catch ({ message, code }) {
  parentPort.postMessage({ message, code })
}
`

interface FileOptions {
  readonly: boolean
}

type Answer = { answers: Row[][] } | { answers?: undefined; message: string; code?: string }

/** Runs quick_check on a copy that nobody uses. Returns the first damage, or undefined if the file is sound. */
export async function quickCheck(file: string): Promise<string | undefined> {
  const [[[answer] = []] = []] = await checkFile(file, ['PRAGMA quick_check(1)'], { readonly: false })
  return answer === 'ok' ? undefined : String(answer)
}

/**
 * Runs statements that read all of a file, over a connection of their own. Returns the rows of each. Throws an error of
 * SQLite as the driver does.
 *
 * @throws {DATABASE_FAILED} when the thread cannot check the file
 */
export async function checkFile(
  file: string,
  checks: readonly string[],
  options: FileOptions = { readonly: true },
): Promise<Row[][]> {
  const module = pathOfDriver()
  if (module === undefined || !endsSafely()) return checkHere(file, checks, options)
  const answer = await checkInThread({ module, file, options, checks })
  if (answer.answers) return answer.answers
  const { message, code } = answer
  if (code?.startsWith('SQLITE_')) throw Object.assign(new Error(message), { code })
  throw new StorageError('DATABASE_FAILED', `The SQLite file could not be checked: ${message}`, { details: { file } })
}

function checkInThread(workerData: object): Promise<Answer> {
  return new Promise((resolve) => {
    const worker = new Worker(PROGRAM, { eval: true, workerData })
    let answer: Answer = { message: 'the thread ended without an answer' }
    worker.once('message', (message: Answer) => {
      answer = message
    })
    worker.once('error', (error) => {
      answer = { message: messageOf(error) }
    })
    worker.once('exit', () => resolve(answer))
  })
}

async function checkHere(file: string, checks: readonly string[], options: FileOptions): Promise<Row[][]> {
  const Database = await loadBetterSqlite3()
  const database = new Database(file, options)
  try {
    return checks.map((sql) => database.prepare(sql).raw().all() as Row[]) // raw() makes rows arrays
  } finally {
    database.close()
  }
}

/** Returns the path of the installed driver. Returns undefined if it cannot be found from here. */
function pathOfDriver(): string | undefined {
  try {
    return requireInstalled().resolve('better-sqlite3')
  } catch {
    return undefined
  }
}
