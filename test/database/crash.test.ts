import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { openStorage, type StorageConfig } from 'holdfast'
import postgres from 'postgres'
import { expect, onTestFinished, test } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { startPostgres } from '../setup/servers.ts'
import { quiet } from '../setup/silent.ts'
import { type Acknowledged, violations } from './acknowledged.ts'
import { postgresDriver } from './drivers.ts'
import { Load } from './load.ts'

/** Kills a program at random moments, `count` times. `settled` waits until the database has ended its connections. */
async function killRepeatedly(
  count: number,
  database: StorageConfig['database'],
  settled: () => Promise<void>,
): Promise<void> {
  const start = (name: string) =>
    runScript<Acknowledged>('test/database/programs/write-forever.ts', [JSON.stringify({ database }), name])
  let next = start('round 0')
  for (let round = 0; round < count; round++) {
    const script = next
    next = start(`round ${round + 1}`)
    await script.next()
    script.send('go')
    // In every third round the program may still be opening the storage.
    if (round % 3 > 0) for (let i = 0; i < Math.random() * 100; i++) await script.next()
    await sleep(Math.random() * 20)
    await script.kill()
    await settled()

    const begun = performance.now()
    await using storage = await openStorage({ database }, quiet)
    expect(performance.now() - begun).toBeLessThan(2000)
    expect(await violations(storage, `round ${round}`, script.messages)).toEqual([])
  }
}

test(
  'a SQLite database has every acknowledged write, and no half write, when its process is killed at random moments',
  async () => {
    const path = join(freshDirectory(), 'crash.db')
    await killRepeatedly(rounds(8, 100), { type: 'sqlite', path }, async () => {})
    const db = new Database(path)
    expect(db.pragma('integrity_check')).toEqual([{ integrity_check: 'ok' }])
    expect(db.pragma('foreign_key_check')).toEqual([])
    db.close()
  },
  rounds(90_000, 900_000),
)

test(
  'a PostgreSQL database has every acknowledged write, and no half write, when a client is killed at random moments',
  async () => {
    const url = await freshPostgres()
    const sql = postgres(url, { max: 1 })
    onTestFinished(() => sql.end())
    const settled = async () => {
      for (;;) {
        const others =
          await sql`select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`
        if (others.length === 0) return
        await sleep(10)
      }
    }
    await killRepeatedly(rounds(4, 100), { type: 'postgres', url, maxConnections: 4 }, settled)
  },
  rounds(90_000, 900_000),
)

test(
  'a PostgreSQL database has every acknowledged write when the server is killed under load',
  async () => {
    const server = await startPostgres({ fsync: true })
    onTestFinished(() => server.stop('immediate'))
    const driver = await postgresDriver({ url: server.url, maxConnections: 5 })
    const load = await Load.start(driver)
    for (let round = 0; round < rounds(2, 10); round++) {
      await load.progress(100 + Math.random() * 300)
      await server.kill9()
      await server.start()
    }
    await load.progress(1)
    await load.stop()
    expect(load.failures.read).toBeUndefined()
    expect(await load.violations()).toEqual([])
  },
  rounds(60_000, 300_000),
)
