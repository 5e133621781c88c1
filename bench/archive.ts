import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { copyStorage, importInto, openStorage, type StorageConfig } from 'holdfast'
import postgres from 'postgres'
import { startPostgres } from '../test/setup/servers.ts'
import { quiet } from '../test/setup/silent.ts'

// Export, import and copy of 100,000 messages beside a loader written by hand: `node --import tsx bench/archive.ts`.

const SESSIONS = 100
const EACH = 1000
const ROWS = SESSIONS * EACH
const ROUNDS = 3
const BATCH = 2000

type Line = Record<string, string | number | null>
const directory = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
const server = await startPostgres()
const admin = postgres(server.url, { max: 1, onnotice: () => {} })
let created = 0

const sqliteConfig = (): StorageConfig => ({
  database: { type: 'sqlite', path: join(directory, `${created++}.db`) },
})
async function postgresConfig(): Promise<StorageConfig> {
  const name = `bench_${created++}`
  await admin.unsafe(`CREATE DATABASE ${name} TEMPLATE template0`)
  return { database: { type: 'postgres', url: Object.assign(new URL(server.url), { pathname: `/${name}` }).href } }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await work()
  return (performance.now() - begun) / 1000
}

const archive = join(directory, 'archive')

/** Reads the lines of a file as a program would that is written for the purpose. */
const linesOf = (table: string): Line[] =>
  readFileSync(join(archive, `${table}.jsonl`), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))

async function loadIntoSqlite({ database }: StorageConfig): Promise<void> {
  const db = new Database(String(Reflect.get(Object(database), 'path')))
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON')
  for (const [table, sqlName] of [
    ['sessions', 'sessions'],
    ['messages', 'messages'],
  ] as const) {
    const rows = linesOf(table)
    const names = Object.keys(rows[0] ?? {})
    const one = `(${names.map(() => '?').join()})`
    const columns = names.map((name) => `"${name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}"`)
    const insertOf = (width: number) =>
      db.prepare(`insert into ${sqlName} (${columns}) values ${Array.from({ length: width }, () => one).join()}`)
    const wide = insertOf(50)
    for (let start = 0; start < rows.length; start += BATCH) {
      db.transaction(() => {
        for (let at = start; at < Math.min(start + BATCH, rows.length); at += 50) {
          const some = rows.slice(at, at + 50)
          const values = some.flatMap((row) => names.map((name) => cellOf(name, row[name])))
          ;(some.length === 50 ? wide : insertOf(some.length)).run(values)
        }
      })()
    }
  }
  db.close()
}

const cellOf = (name: string, value: unknown) =>
  (name === 'content' || name === 'metadata') && value !== null ? JSON.stringify(value) : value

async function loadIntoPostgres({ database }: StorageConfig): Promise<void> {
  const sql = postgres(String(Reflect.get(Object(database), 'url')), { max: 1 })
  for (const table of ['sessions', 'messages'] as const) {
    const rows = linesOf(table)
    const names = Object.keys(rows[0] ?? {})
    const columns = names.map((name) => `"${name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}"`)
    const isInstant = (name: string) => name.endsWith('At')
    for (let start = 0; start < rows.length; start += BATCH) {
      const some = rows.slice(start, start + BATCH)
      const values = some.map((_, i) => `(${names.map((_, j) => `$${i * names.length + j + 1}`)})`)
      const params = some.flatMap((row) =>
        names.map((name) => {
          const value = row[name] ?? null
          if (isInstant(name)) return value === null ? null : new Date(Number(value)).toISOString()
          return cellOf(name, value) as string | number | null
        }),
      )
      await sql.begin((tx) =>
        tx.unsafe(`insert into ${table} (${columns}) values ${values}`, params, { prepare: true }),
      )
    }
  }
  await sql.end()
}

/** Opens a storage on a new database, runs the work on it, and returns the seconds that the work took. */
async function into(
  configure: () => StorageConfig | Promise<StorageConfig>,
  work: (target: Awaited<ReturnType<typeof openStorage>>, config: StorageConfig) => Promise<unknown>,
) {
  const config = await configure()
  await using target = await openStorage(config, quiet)
  return await timed(() => work(target, config))
}

const seconds: Record<string, number[]> = {}
const note = (name: string, each: number) => {
  seconds[name] = [...(seconds[name] ?? []), each]
}

const ofSqlite = await openStorage(sqliteConfig(), quiet)
for (let i = 0; i < SESSIONS; i++) {
  const message = (j: number) => ({
    role: 'user',
    content: [{ type: 'text', text: `message ${j} of ${i} ${'lorem ipsum '.repeat(12)}` }],
  })
  await ofSqlite.messages.append(
    `s${i}`,
    Array.from({ length: EACH }, (_, j) => message(j)),
  )
}
await ofSqlite.export(archive)
const ofPostgres = await openStorage(await postgresConfig(), quiet)
await copyStorage(ofSqlite, ofPostgres)

for (let round = 0; round < ROUNDS; round++) {
  note('export from SQLite', await timed(() => ofSqlite.export(join(directory, `s${round}`))))
  note('export from PostgreSQL', await timed(() => ofPostgres.export(join(directory, `p${round}`))))
  note('by hand into SQLite', await into(sqliteConfig, (_, config) => loadIntoSqlite(config)))
  note('import into SQLite', await into(sqliteConfig, (target) => importInto(target, archive)))
  note('by hand into PostgreSQL', await into(postgresConfig, (_, config) => loadIntoPostgres(config)))
  note('import into PostgreSQL', await into(postgresConfig, (target) => importInto(target, archive)))
  note('copy SQLite to PostgreSQL', await into(postgresConfig, (target) => copyStorage(ofSqlite, target)))
  note('copy PostgreSQL to SQLite', await into(sqliteConfig, (target) => copyStorage(ofPostgres, target)))
}

const median = (name: string) => seconds[name]?.toSorted((a, b) => a - b)[ROUNDS >> 1] ?? Number.NaN
for (const name of Object.keys(seconds)) console.log(`${name}: ${Math.round(ROWS / median(name))} messages/s`)
for (const kind of ['SQLite', 'PostgreSQL']) {
  console.log(
    `import / by hand, ${kind}: ${(median(`import into ${kind}`) / median(`by hand into ${kind}`)).toFixed(2)}`,
  )
}

await ofSqlite.close()
await ofPostgres.close()
await admin.end()
await server.stop('immediate')
rmSync(directory, { recursive: true, force: true })
