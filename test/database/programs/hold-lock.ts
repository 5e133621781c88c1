/** Holds the write lock of a SQLite file for some milliseconds. */
import Database from 'better-sqlite3'
import { say } from '../../setup/say.ts'

const [file = '', millis = ''] = process.argv.slice(2)
const db = new Database(file)
db.exec('BEGIN IMMEDIATE')
say({ locked: true })
setTimeout(() => {
  db.exec('COMMIT')
  db.close()
}, Number(millis))
