import BetterSqlite3 from 'better-sqlite3'
import type { Storage } from 'holdfast'
import type { Ways } from './harness.ts'
import type { Lab } from './lab.ts'
import { comparison, type Row } from './row.ts'

/** Opening a file whose tables are up to date, with the modules loaded: what a program waits for at its start. */
export const openingRows: Row[] = [
  comparison({ name: 'SQLite, openStorage, up to date', target: { atMost: 1.5 }, open: openings }),
]

async function openings(lab: Lab): Promise<Ways> {
  const path = lab.file()
  const open = () => lab.open({ database: { type: 'sqlite', path } })
  // Keep one open: otherwise each opening would create the WAL, and each close would remove it.
  const first = await open()
  const storages: Storage[] = []
  const clients: BetterSqlite3.Database[] = []
  return {
    ours: {
      call: async () => void storages.push(await open()),
      tidy: async () => {
        for (const storage of storages.splice(0)) await storage.close()
      },
    },
    baseline: {
      call: () => {
        const client = new BetterSqlite3(path)
        client.prepare('SELECT id FROM sessions LIMIT 1').get()
        clients.push(client)
      },
      tidy: async () => {
        for (const client of clients.splice(0)) client.close()
      },
    },
    close: () => first.close(),
  }
}
