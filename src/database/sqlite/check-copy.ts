import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { endsSafely, loadBetterSqlite3 } from './load.ts'

/** Checks the file in a thread of its own: SQLite would stop the event loop until it has read all of the file. */
const PROGRAM = `
const { parentPort, workerData } = require('node:worker_threads')
const Database = require(workerData.module)
const database = new Database(workerData.file)
const [answer] = database.pragma('quick_check(1)')
database.close()
parentPort.postMessage(answer.quick_check)
`

/** Runs quick_check on a file. Returns the first damage, or undefined if the file is sound. */
export async function quickCheck(file: string): Promise<string | undefined> {
  const module = pathOfDriver()
  const answer = module === undefined || !endsSafely() ? await checkHere(file) : await checkInThread(module, file)
  return answer === 'ok' ? undefined : answer
}

function checkInThread(module: string, file: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(PROGRAM, { eval: true, workerData: { module, file } })
    let answer: unknown
    worker.once('message', (message) => {
      answer = message
    })
    worker.once('error', reject)
    worker.once('exit', () => resolve(String(answer ?? 'the check ended without an answer')))
  })
}

async function checkHere(file: string): Promise<string> {
  const Database = await loadBetterSqlite3()
  const database = new Database(file)
  try {
    const [row] = database.pragma('quick_check(1)') as { quick_check?: string }[] // one row of text for each damage
    return String(row?.quick_check)
  } finally {
    database.close()
  }
}

/** Returns the path of the installed driver. Returns undefined if it cannot be found from here. */
function pathOfDriver(): string | undefined {
  try {
    // A bundle in CommonJS has no import.meta.url.
    return createRequire(import.meta.url ?? join(process.cwd(), 'package.json')).resolve('better-sqlite3')
  } catch {
    return undefined
  }
}
