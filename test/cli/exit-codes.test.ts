import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { openStorage, type StorageConfig } from 'holdfast'
import { startS3Server } from 'holdfast/testing'
import postgres from 'postgres'
import { expect, it } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { holdfast, objects } from './command-line.ts'

/** Makes a directory with agent.yml, and opens the storage once, so that the database is migrated. */
async function directoryWith(storage: StorageConfig): Promise<string> {
  const cwd = freshDirectory()
  writeFileSync(join(cwd, 'agent.yml'), JSON.stringify({ storage }))
  await (await openStorage({ database: storage.database }, { ...quiet, baseDir: cwd })).close()
  return cwd
}

const sqlite = { type: 'sqlite', path: './agent.db' } as const

it('a newer schema is refused with 5 on SQLite and PostgreSQL', async () => {
  const later = `insert into holdfast_migrations (hash, created_at) values ('later', 9999999999999)`
  const cwd = await directoryWith({ database: sqlite })
  const file = new BetterSqlite3(join(cwd, 'agent.db'))
  file.exec(later)
  file.close()
  const url = await freshPostgres()
  const sql = postgres(url, { max: 1 })
  await sql.unsafe(later)
  await sql.end()
  for (const where of [[], ['--database', url]]) {
    expect(await holdfast(['stats', ...where], { cwd })).toMatchObject({
      code: 5,
      stdout: '',
      stderr: expect.stringContaining('SCHEMA_TOO_NEW'),
    })
  }
})

it('a write into a database that is opened read-only is refused with 5', async () => {
  const cwd = await directoryWith({ database: sqlite })
  const storage = { database: { ...sqlite, options: { readonly: true } } }
  writeFileSync(join(cwd, 'agent.yml'), JSON.stringify({ storage }))
  const refused = await holdfast(['sessions', 'rm', 'chat', '--yes'], { cwd })
  expect(refused).toMatchObject({ code: 5, stderr: expect.stringContaining('READ_ONLY') })
})

it('status exits with 4 if Redis or the bucket cannot be reached, and says which', async () => {
  const server = await startS3Server()
  const blobStore = server.config
  const cwd = await directoryWith({ database: sqlite, blobStore })
  await server.close()
  const bucket = await holdfast(['status'], { cwd })
  expect(bucket).toMatchObject({ code: 4, stderr: expect.stringContaining('object store') })
  const cache = { type: 'redis', host: '127.0.0.1', port: 1 } as const
  const redis = await holdfast(['status'], { cwd: await directoryWith({ database: sqlite, cache }) })
  expect(redis.code).toBe(4)
  expect(redis.stdout + redis.stderr).toMatch(/redis/i)
})

it('erase exits with 4 if Redis cannot be reached, since what it has cached of the owner stays', async () => {
  const cache = { type: 'redis', host: '127.0.0.1', port: 1 } as const
  const cwd = await directoryWith({ database: sqlite, cache })
  await using storage = await openStorage({ database: { ...sqlite, path: join(cwd, 'agent.db') } }, quiet)
  await storage.scope({ ownerId: 'ada' }).kv.set('theme', 'dark')
  const { code, stdout, stderr } = await holdfast(['erase', '--owner', 'ada', '--yes', '--json'], { cwd })
  expect(JSON.parse(stdout)).toMatchObject({ total: 1, cacheCleared: false })
  expect(stderr).toMatch(/Redis .*cached values.*erase again/i)
  expect(code).toBe(4)
  expect(await storage.scope({ ownerId: 'ada' }).kv.get('theme')).toBeUndefined()
})

it('a write that Redis must hear of ends with 4 if Redis cannot be reached', async () => {
  const options = { consistency: 'strict' } as const
  const cache = { type: 'redis', host: '127.0.0.1', port: 1, options } as const
  const cwd = await directoryWith({ database: sqlite, cache })
  await using storage = await openStorage({ database: { ...sqlite, path: join(cwd, 'agent.db') } }, quiet)
  await storage.sessions.create({ id: 'chat' })
  const refused = await holdfast(['sessions', 'rm', 'chat', '--yes'], { cwd })
  expect(refused).toMatchObject({ code: 4, stdout: '', stderr: expect.stringContaining('CACHE_UNAVAILABLE') })
  expect(await storage.sessions.get('chat')).toBeDefined()
})

it('no command prints the password of PostgreSQL', async () => {
  const url = new URL(await freshPostgres())
  const sql = postgres(url.href, { max: 1 })
  const user = `operator_${url.pathname.slice(1)}`
  await sql.unsafe(`create role ${user} superuser login password 'geheim'`)
  Object.assign(url, { username: user, password: 'geheim' })
  const cwd = await directoryWith({ database: { type: 'postgres', url: url.href } })
  for (const command of ['status', 'doctor', 'stats']) {
    for (const json of [[], ['--json']]) {
      const { code, stdout, stderr } = await holdfast([command, ...json], { cwd })
      expect(code).toBe(0)
      expect(stdout + stderr).not.toContain('geheim')
    }
  }
  await sql.unsafe('delete from holdfast_migrations where id = (select max(id) from holdfast_migrations)')
  const pending = await holdfast(['status'], { cwd })
  expect(pending.code).toBe(3)
  expect(pending.stdout).toContain(`${user}:***@${url.host}${url.pathname}, PostgreSQL`)
  await sql.unsafe(`drop role ${user}`)
  await sql.end()
  url.port = '1'
  const down = await holdfast(['status', '--database', url.href])
  expect(down.code).toBe(4)
  expect(down.stdout + down.stderr).not.toContain('geheim')
})

it('what blobs get and blobs put are given wrongly ends them with 2, and stores nothing', async () => {
  const cwd = await directoryWith({ database: sqlite, blobStore: { type: 'local', storePath: './blobs' } })
  const wrong = await holdfast(['blobs', 'get', 'no-id'], { cwd })
  expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('BLOB_REFERENCE_INVALID') })
  const directory = await holdfast(['blobs', 'put'], { cwd, stdin: cwd })
  expect(directory).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('is a directory') })
  expect(await objects(['blobs', 'ls'], { cwd })).toEqual([])
})

it('a url that is not valid ends every command with 2, and a path that leads to no file is named', async () => {
  for (const command of [['doctor'], ['status'], ['migrate', 'status'], ['tail', '--once']]) {
    const { code, stdout, stderr } = await holdfast([...command, '--database', 'postgres://agent@host:port/agent'])
    expect({ command, code, stdout }).toEqual({ command, code: 2, stdout: '' })
    expect(stderr).toContain('database.url')
  }
  for (const command of [['doctor'], ['migrate', 'status']]) {
    const { code, stdout } = await holdfast([...command, '--database', 'no-such-file.db'])
    expect(code).toBe(3)
    expect(stdout).toContain('pending: run holdfast migrate, or correct the path, which leads to no file')
  }
})
