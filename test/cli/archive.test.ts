import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { openStorage, type StorageConfig } from 'holdfast'
import { expect, it } from 'vitest'
import { emptyPostgres, freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { holdfast, interrupted, objects, onTerminal } from './command-line.ts'

/** Makes a directory with agent.yml on SQLite and other.yml on PostgreSQL, each with a blob store. */
async function prepared(messages = 10) {
  const cwd = freshDirectory()
  const from: StorageConfig = {
    database: { type: 'sqlite', path: './agent.db' },
    blobStore: { type: 'local', storePath: './blobs' },
  }
  const to: StorageConfig = {
    database: { type: 'postgres', url: await emptyPostgres() },
    blobStore: { type: 'local', storePath: './other-blobs' },
  }
  writeFileSync(join(cwd, 'agent.yml'), JSON.stringify({ storage: from }))
  writeFileSync(join(cwd, 'other.yml'), JSON.stringify({ storage: to }))
  await using storage = await openStorage(from, { baseDir: cwd, maintenance: false })
  for (let done = 0; done < messages; done += 1000) {
    const input = Array.from({ length: Math.min(1000, messages - done) }, () => ({ role: 'user', content: 'hello' }))
    await storage.messages.append(`chat ${done}`, input)
  }
  await storage.scope({ ownerId: 'ada' }).kv.set('theme', 'dark')
  await storage.blobs.put(Buffer.from('bytes'))
  return { cwd }
}

it('export and import move everything, and a second import changes nothing', async () => {
  const { cwd } = await prepared()
  const exported = await holdfast(['export', 'archive'], { cwd })
  expect(exported.stdout).toMatch(/^\d+ rows and 1 content of blobs \(5 bytes\) exported: .*messages 10/)
  expect(await holdfast(['export', 'archive'], { cwd })).toMatchObject({ code: 5 }) // not empty any more
  expect(await holdfast(['import', 'archive', '--config', 'other.yml'], { cwd })).toMatchObject({ code: 3 }) // pending
  await holdfast(['migrate', '--config', 'other.yml'], { cwd })
  const [dry] = await objects(['import', 'archive', '--dry-run', '--config', 'other.yml'], { cwd })
  const [report] = await objects(['import', 'archive', '--config', 'other.yml'], { cwd })
  expect(dry).toMatchObject({ inserted: report?.inserted, dryRun: true })
  const again = await holdfast(['import', 'archive', '--config', 'other.yml'], { cwd })
  expect(again.stdout).toMatch(/^0 rows imported: none\n\d+ rows there already\n$/)
  expect((await objects(['stats', '--config', 'other.yml'], { cwd }))[0]).toMatchObject({
    database: { rows: { messages: 10, kv: 1 } },
    blobs: { count: 1 },
  })
})

it('export --owner has nothing of others, and a flipped byte is named', async () => {
  const { cwd } = await prepared()
  expect(await objects(['export', 'hers', '--owner', 'ada'], { cwd })).toMatchObject([{ rows: 1, tables: { kv: 1 } }])
  const file = join(cwd, 'hers', 'kv.jsonl')
  const text = readFileSync(file, 'utf8')
  writeFileSync(file, text.replace('dark', 'dusk'))
  const { code, stderr } = await holdfast(['import', 'hers'], { cwd })
  expect(stderr).toContain('kv.jsonl')
  expect(code).toBe(3)
})

it('export --session and --since leave out the rest', async () => {
  const { cwd } = await prepared()
  const storage = JSON.parse(readFileSync(join(cwd, 'agent.yml'), 'utf8')).storage
  await using opened = await openStorage(storage, { ...quiet, baseDir: cwd })
  await opened.messages.append('other chat', { role: 'user', content: 'hello' })
  const [one] = await objects(['export', 'one', '--session', 'other chat'], { cwd })
  expect(one).toMatchObject({ tables: { sessions: 1, messages: 1 }, blobs: { contents: 0 } })
  const [none] = await objects(['export', 'none', '--since', '2100-01-01'], { cwd })
  expect(none).toMatchObject({ rows: 0 })
  const [all] = await objects(['export', 'all', '--since', '1d'], { cwd })
  expect(all).toMatchObject({ tables: { sessions: 2, messages: 11, kv: 1 }, blobs: { contents: 1 } })
})

it('copy moves everything into a new database of another kind, and back', async () => {
  const { cwd } = await prepared()
  const copied = await holdfast(['copy', '--from', 'agent.yml', '--to', 'other.yml', '--verify'], { cwd })
  expect(copied.stdout).toMatch(/rows copied: .*messages 10.*\nboth sides are equal\n$/)
  writeFileSync(
    join(cwd, 'back.yml'),
    JSON.stringify({
      storage: {
        database: { type: 'sqlite', path: './back.db' },
        blobStore: { type: 'local', storePath: './back-blobs' },
      },
    }),
  )
  const back = await objects(['copy', '--from', 'other.yml', '--to', 'back.yml', '--verify'], { cwd })
  expect(back).toMatchObject([{ equal: true, refused: 0 }])
  const missing = await holdfast(['copy', '--from', 'agent.db', '--to', 'other.yml'], { cwd })
  expect(missing).toMatchObject({ code: 2, stderr: expect.stringContaining('name its configuration file') })
  expect(await holdfast(['copy', '--from', 'agent.yml'], { cwd })).toMatchObject({ code: 2 })
})

it('copy and import say which side is not as it should be', async () => {
  const { cwd } = await prepared()
  await holdfast(['migrate', '--database', 'newer.db'], { cwd })
  const newer = new BetterSqlite3(join(cwd, 'newer.db'))
  newer.exec(`insert into holdfast_migrations (hash, created_at) values ('later', 9999999999999)`)
  newer.close()
  writeFileSync(join(cwd, 'empty.db'), '')
  const said = async (args: readonly string[]) => {
    const { code, stderr } = await holdfast(args, { cwd })
    return `${code} ${stderr}`
  }
  const copied = (from: string, to: string) => said(['copy', '--from', from, '--to', to])
  expect(await copied('empty.db', 'new.db')).toMatch(
    /^3 .*MIGRATION_PENDING: the source \(--from\): The database lacks/,
  )
  expect(await copied('newer.db', 'new.db')).toMatch(/^5 .*SCHEMA_TOO_NEW: the source \(--from\): /)
  expect(await copied('no.yml', 'new.db')).toMatch(/^2 .*CONFIG_INVALID: the source \(--from\): /)
  expect(await copied('agent.db', 'new.db')).toMatch(
    /^2 holdfast: the source \(--from\): .*name its configuration file/,
  )
  expect(existsSync(join(cwd, 'new.db'))).toBe(false)
  expect(await copied('agent.yml', 'no.yml')).toMatch(/^2 .*CONFIG_INVALID: the target \(--to\): /)
  const blobStore = { type: 'local', storePath: './newer-blobs' }
  writeFileSync(
    join(cwd, 'newer.yml'),
    JSON.stringify({ storage: { database: { type: 'sqlite', path: './newer.db' }, blobStore } }),
  )
  expect(await copied('agent.yml', 'newer.yml')).toMatch(/^5 .*SCHEMA_TOO_NEW: the target \(--to\): /)
  await holdfast(['export', 'archive'], { cwd })
  const imported = (database: string) => said(['import', 'archive', '--database', database])
  expect(await imported('empty.db')).toMatch(/^3 .*MIGRATION_PENDING: The database lacks/)
  expect(await imported('newer.db')).toMatch(/^5 .*SCHEMA_TOO_NEW: The database has/)
})

it('a row that the target has with other content is refused with 3, and stays', async () => {
  const { cwd } = await prepared()
  await holdfast(['migrate', '--config', 'other.yml'], { cwd })
  await using other = await openStorage(JSON.parse(readFileSync(join(cwd, 'other.yml'), 'utf8')), { baseDir: cwd })
  await other.scope({ ownerId: 'ada' }).kv.set('theme', 'light')
  const { code, stdout } = await holdfast(['copy', '--from', 'agent.yml', '--to', 'other.yml'], { cwd })
  expect(code).toBe(3)
  expect(stdout).toMatch(/1 row refused\nkv +ada theme /)
  expect(await other.scope({ ownerId: 'ada' }).kv.get('theme')).toBe('light')
})

it('SIGINT ends an export without a manifest and a copy after a batch; after SIGKILL the next copy goes on', async () => {
  const { cwd } = await prepared(40_000)
  const archive = join(cwd, 'archive')
  expect(
    await interrupted(['export', 'archive'], cwd, () => existsSync(join(archive, 'messages.jsonl'))),
  ).toMatchObject({ code: 130 })
  expect(readdirSync(archive)).not.toContain('manifest.json')

  await holdfast(['migrate', '--config', 'other.yml'], { cwd })
  await using other = await openStorage(JSON.parse(readFileSync(join(cwd, 'other.yml'), 'utf8')), { baseDir: cwd })
  const copy = ['copy', '--from', 'agent.yml', '--to', 'other.yml']
  const copied = async () => Number((await other.stats()).database.rows.messages)
  const hasMore = (than: number) => async () => (await copied()) > than
  expect(await interrupted(copy, cwd, hasMore(0))).toMatchObject({ code: 130 })
  expect(await interrupted(copy, cwd, hasMore(await copied()), 'SIGKILL')).toMatchObject({ code: 'SIGKILL' })
  const [next] = await objects([...copy, '--verify'], { cwd })
  expect(next).toMatchObject({ equal: true, tables: { messages: { unchanged: expect.any(Number) } } })
})

it('SIGINT ends an import after a batch, and it and SIGHUP a backup without a file, and the next import goes on', async () => {
  const { cwd } = await prepared(40_000)
  await holdfast(['export', 'archive'], { cwd })
  const blobStore = { type: 'local', storePath: './new-blobs' }
  writeFileSync(
    join(cwd, 'new.yml'),
    JSON.stringify({ storage: { database: { type: 'sqlite', path: './new.db' }, blobStore } }),
  )
  await holdfast(['migrate', '--config', 'new.yml'], { cwd })
  const importing = ['import', 'archive', '--config', 'new.yml']
  expect(await interrupted(importing, cwd, () => existsSync(join(cwd, 'new.db-wal')))).toMatchObject({ code: 130 })
  expect(await objects(importing, { cwd })).toMatchObject([{ refused: 0 }])
  const [counted] = await objects(['stats', '--config', 'new.yml'], { cwd })
  expect(counted).toMatchObject({ database: { rows: { messages: 40_000 } } })

  const copies = () => readdirSync(cwd).filter((name) => name.startsWith('copy.db'))
  await using storage = await openStorage({ database: { type: 'sqlite', path: join(cwd, 'agent.db') } }, quiet)
  for (let i = 0; i < 64; i++) await storage.messages.append('long', { role: 'user', content: 'x'.repeat(1_000_000) })
  const isCopying = () => copies().length > 0
  expect(await interrupted(['backup', 'copy.db'], cwd, isCopying)).toMatchObject({ code: 130 })
  expect(copies()).toEqual([])
  expect(await interrupted(['backup', 'copy.db'], cwd, isCopying, 'SIGHUP')).toMatchObject({ code: 129 })
  expect(copies()).toEqual([])
})

it('on a terminal a copy shows the table, the rate, and the time left', async () => {
  const { cwd } = await prepared(20_000)
  const { shown, code } = await onTerminal(['copy', '--from', 'agent.yml', '--to', 'other.yml'], { cwd })
  expect(code).toBe(0)
  expect(shown).toMatch(/messages: [\d,]+ of 20,000 rows · [\d,]+\/s · \d+ s left/)
})

it('backup copies SQLite, and says how PostgreSQL is backed up', async () => {
  const { cwd } = await prepared()
  expect(await objects(['backup', 'copy.db'], { cwd })).toMatchObject([{ file: join(cwd, 'copy.db') }])
  expect(await objects(['stats', '--database', 'copy.db'], { cwd })).toMatchObject([
    { database: { rows: { messages: 10 } } },
  ])
  const again = await holdfast(['backup', 'copy.db'], { cwd })
  expect(again).toMatchObject({ code: 5, stderr: expect.stringContaining('copy.db') })
  await holdfast(['migrate', '--config', 'other.yml'], { cwd })
  const refused = await holdfast(['backup', 'other.dump', '--config', 'other.yml'], { cwd })
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('pg_dump') })
})

it('nothing is written into a storage that would lose it when the command ends', async () => {
  const { cwd } = await prepared()
  await holdfast(['export', 'archive'], { cwd })
  await holdfast(['migrate', '--database', 'bare.db'], { cwd })
  writeFileSync(join(cwd, 'memory.yml'), 'storage: {}')
  writeFileSync(join(cwd, 'file'), 'bytes')
  const refused = { code: 2, stdout: '', stderr: expect.stringContaining('lost when the command ends') }
  for (const target of [
    ['--database', 'bare.db'],
    ['--config', 'memory.yml'],
  ]) {
    expect(await holdfast(['import', 'archive', ...target], { cwd })).toMatchObject(refused)
    expect(await holdfast(['blobs', 'put', 'file', ...target], { cwd })).toMatchObject(refused)
  }
  expect(await holdfast(['copy', '--from', 'agent.yml', '--to', 'new.db'], { cwd })).toMatchObject(refused)
  expect(await holdfast(['copy', '--from', 'agent.yml', '--to', 'memory.yml'], { cwd })).toMatchObject(refused)
  expect(existsSync(join(cwd, 'new.db'))).toBe(false)
  const [stats] = await objects(['stats', '--database', 'bare.db'], { cwd })
  expect(stats).toMatchObject({ database: { rows: { sessions: 0 } } })
  await holdfast(['export', 'hers', '--owner', 'ada'], { cwd }) // without blobs
  expect(await holdfast(['import', 'hers', '--database', 'bare.db'], { cwd })).toMatchObject({ code: 0 })
})
