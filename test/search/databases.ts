import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import type { StorageConfig } from 'holdfast'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'

/** A configuration with the search switched on, and the same with it switched off. */
export interface Switched {
  on: StorageConfig
  off: StorageConfig
  /** The file, on SQLite. */
  file?: string
}

export const memory = (): Switched => ({
  on: { database: { type: 'in-memory', options: { search: true } } },
  off: { database: { type: 'in-memory' } },
})

/** The databases that outlive a storage, by name. */
export const lasting: Record<string, () => Promise<Switched>> = {
  SQLite: async () => {
    const file = join(freshDirectory(), 'agent.db')
    const database = { type: 'sqlite', path: file } as const
    return { on: { database: { ...database, options: { search: true } } }, off: { database }, file }
  },
  PostgreSQL: async () => {
    const database = { type: 'postgres', url: await freshPostgres() } as const
    return { on: { database: { ...database, options: { search: true } } }, off: { database } }
  },
}

/** Fails if the index of a SQLite file is damaged, or has tokens without an entry, or an entry without tokens. */
export function checkIndex(file: string): void {
  const db = new BetterSqlite3(file)
  try {
    for (const kind of ['message', 'memory']) {
      db.exec(`insert into ${kind}_terms (${kind}_terms) values ('integrity-check')`)
      const ids = (sql: string) => db.prepare(sql).pluck().all().join()
      const entries = ids(`select doc from ${kind}_search order by doc`)
      if (ids(`select id from ${kind}_terms_docsize order by id`) !== entries) throw new Error(`${kind}_terms differs`)
    }
  } finally {
    db.close()
  }
}
