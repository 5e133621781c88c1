import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage, type StorageConfig } from 'holdfast'
import postgres from 'postgres'
import { expect, it, onTestFinished } from 'vitest'
import { startLink } from '../database/link.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { startPostgres } from '../setup/servers.ts'
import { quiet } from '../setup/silent.ts'
import { type Ended, start } from './command-line.ts'

/** Ends a command in the middle: PostgreSQL falls silent, or refuses connections. */
interface Outage {
  readonly url: string
  /** The same database, and no outage but that of the server. */
  readonly direct: string
  begin(): Promise<void> | void
}

const OUTAGES: readonly [name: string, prepare: () => Promise<Outage>][] = [
  ['is silent', silence],
  [
    'is gone',
    async () => {
      const server = await startPostgres()
      onTestFinished(() => server.stop('immediate').catch(() => {})) // the test has stopped it
      await openStorage({ database: { type: 'postgres', url: server.url } }, quiet).then((storage) => storage.close())
      return { url: server.url, direct: server.url, begin: () => server.stop('immediate') }
    },
  ],
]

/** Makes a database behind a link that falls silent. */
async function silence(): Promise<Outage> {
  const direct = await freshPostgres()
  const url = new URL(direct)
  const link = await startLink(Number(url.port))
  url.port = String(link.port)
  return { direct, url: url.href, begin: () => link.freeze() }
}

/** Writes the configuration of a database that is given up after a second of silence. */
function configured(url: string): { cwd: string; config: StorageConfig } {
  const config: StorageConfig = {
    database: { type: 'postgres', url, connectionTimeoutMillis: 1000 },
    blobStore: { type: 'local', storePath: './blobs' },
  }
  const cwd = freshDirectory()
  writeFileSync(join(cwd, 'agent.yml'), JSON.stringify({ storage: config }))
  return { cwd, config }
}

/** Has every read of a table wait for ten minutes. */
const SLEEPING = (table: string) =>
  `alter table ${table} rename to kept; create view ${table} as select * from kept where (select true from pg_sleep(600))`

/** Runs a command that comes to a statement which does not end. Calls `begin` as soon as it has. */
async function inTheMiddle({ direct, begin }: Outage, sleeping: string, run: () => Promise<Ended>): Promise<Ended> {
  const sql = postgres(direct, { max: 1, onnotice: () => {} })
  await sql.unsafe(sleeping)
  const running = run()
  const sleepers = "from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
  while ((await sql.unsafe(`select 1 ${sleepers}`)).length === 0) await sleep(10)
  await begin()
  const ended = await running
  await sql.unsafe(`select pg_terminate_backend(pid) ${sleepers}`).catch(() => {}) // the server may be gone
  await sql.end()
  return ended
}

async function ended(args: readonly string[], cwd: string): Promise<Ended> {
  const child = start(args, { cwd })
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { code, stdout, stderr }
}

it.each(OUTAGES)('the doctor prints what it has found when PostgreSQL %s in the middle', async (_, prepare) => {
  const outage = await prepare()
  const { cwd } = configured(outage.url)
  await using storage = await openStorage({ database: { type: 'postgres', url: outage.direct } }, quiet)
  await storage.lists.append('plan', 'pack')
  const { code, stdout, stderr } = await inTheMiddle(outage, SLEEPING('list_items'), () => ended(['doctor'], cwd))
  expect({ code, stderr }).toEqual({ code: 4, stderr: '' })
  for (const check of ['migrations', 'database', 'tables', 'clock', 'blobs-disk', 'sessions-counters']) {
    expect(stdout).toMatch(new RegExp(`^ok +${check} `, 'm'))
  }
  expect(stdout).toMatch(
    /^fail +lists-counters +This check could not be finished: .*PostgreSQL.*Not begun: queues-counters, blobs, search$/m,
  )
})
