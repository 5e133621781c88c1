import { closeSync, mkdirSync, openSync, readdirSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { openStorage, type StorageConfig } from 'holdfast'
import { Redis } from 'ioredis'
import postgres from 'postgres'
import { expect, it } from 'vitest'
import { emptyDatabases, freshDirectory, freshPostgres, sharedDatabases } from '../setup/databases.ts'
import { startPgBouncer } from '../setup/pgbouncer.ts'
import { startRedis } from '../setup/servers.ts'
import { clockAhead, holdfast, type RunOptions } from './command-line.ts'

interface Finding {
  check: string
  result: string
  message: string
}

/** Runs the doctor on a configuration. Returns its exit code and the findings that are not ok. */
async function diagnosed(storage: StorageConfig, args: readonly string[] = [], options: RunOptions = {}) {
  const cwd = freshDirectory()
  writeFileSync(join(cwd, 'agent.yml'), JSON.stringify({ storage }))
  const { code, stdout, stderr } = await holdfast(['doctor', '--json', ...args], { cwd, ...options })
  if (stdout === '') throw new Error(stderr)
  const { findings }: { findings: Finding[] } = JSON.parse(stdout)
  return { code, all: findings, found: findings.filter(({ result }) => result !== 'ok') }
}

/** Returns a configuration on a database and a local blob store, with a message and a blob in it. */
async function filled(database: StorageConfig['database']): Promise<StorageConfig> {
  const config: StorageConfig = { database, blobStore: { type: 'local', storePath: freshDirectory() } }
  await using storage = await openStorage(config, { maintenance: false })
  await storage.messages.append('chat', { role: 'user', content: 'hello' })
  await storage.lists.append('plan', 'pack')
  await storage.queues.push('chat', 'inbox', { id: 'later' })
  await storage.blobs.put(Buffer.from('bytes'))
  return config
}

const storePath = ({ blobStore }: StorageConfig) => (blobStore?.type === 'local' ? (blobStore.storePath ?? '') : '')

/** Runs SQL on the database of a configuration. */
async function execute({ database }: StorageConfig, statement: string): Promise<void> {
  if (database?.type === 'sqlite') {
    const client = new BetterSqlite3(database.path)
    client.exec(statement)
    client.close()
  } else if (database?.type === 'postgres') {
    const sql = postgres(database.url ?? '', { max: 1 })
    await sql.unsafe(statement)
    await sql.end()
  }
}

it.each(sharedDatabases)('on %s, the doctor finds nothing wrong with a storage that is well', async (_, configure) => {
  const { code, found, all } = await diagnosed(await filled(await configure()))
  expect({ code, found }).toEqual({ code: 0, found: [] })
  expect(all.length).toBeGreaterThan(12)
})

it.each(emptyDatabases)('on %s, the doctor finds pending migrations', async (_, configure) => {
  const { code, found } = await diagnosed({ database: await configure() })
  expect({ code, found }).toMatchObject({ code: 3, found: [{ check: 'migrations', result: 'fail' }] })
})

it.each(sharedDatabases)('on %s, the doctor finds wrong counters, and repairs them', async (_, configure) => {
  const config = await filled(await configure())
  await execute(
    config,
    'update sessions set message_count = 7, last_seq = 0; update lists set length = 9; update queues set gaps = 5',
  )
  const { code, found } = await diagnosed(config)
  expect(code).toBe(3)
  expect(found.map(({ check, result }) => [check, result])).toEqual([
    ['sessions-counters', 'fail'],
    ['lists-counters', 'fail'],
    ['queues-counters', 'fail'],
  ])
  expect(found[0]?.message).toContain('(chat)')
  expect(await diagnosed(config, ['--repair'])).toMatchObject({
    code: 0,
    found: [{ result: 'warn' }, { result: 'warn' }, { result: 'warn' }],
  })
  expect(await diagnosed(config)).toMatchObject({ code: 0, found: [] })
  await using storage = await openStorage(config)
  expect(await storage.sessions.summary('chat')).toMatchObject({ messageCount: 1, lastSeq: 1 })
  expect(await storage.lists.length('plan')).toBe(1)
  expect((await storage.queues.list('chat', 'inbox')).items).toMatchObject([{ id: 'later' }])
})

it.each(sharedDatabases)('on %s, the doctor finds lost bytes, and bytes of nobody', async (_, configure) => {
  const config = await filled(await configure())
  const { hash } = await openStorage(config).then(async (storage) => {
    const blob = await storage.blobs.put(Buffer.from('lost'))
    await storage.close()
    return blob
  })
  const objects = join(storePath(config), 'objects')
  const folder = join(objects, hash.slice(0, 2))
  for (const name of readdirSync(folder)) if (name.startsWith(hash)) rmSync(join(folder, name))
  const stray = 'ab'.repeat(32)
  mkdirSync(join(objects, stray.slice(0, 2)), { recursive: true })
  writeFileSync(join(objects, stray.slice(0, 2), stray), 'stray')
  const { code, found } = await diagnosed(config)
  expect(code).toBe(3)
  expect(found.map(({ check }) => check)).toEqual(['blobs-missing', 'blobs-strays'])
  expect(found[0]?.message).toContain(hash)
  expect(found[1]?.message).toContain(stray)
})

it('the doctor finds a clock that is two hours off', async () => {
  const config = await filled({ type: 'postgres', url: await freshPostgres() })
  const { code, found } = await diagnosed(config, [], { env: clockAhead(7_200_000) })
  expect({ code, found }).toMatchObject({ code: 3, found: [{ check: 'clock', result: 'fail' }] })
  expect(found[0]?.message).toMatch(/7\d\d\d seconds ahead of that of the database/)
})

it('the doctor finds a pooler in statement mode', async () => {
  const { database } = await filled({ type: 'postgres', url: await freshPostgres() })
  const pooler = await startPgBouncer(database?.type === 'postgres' ? (database.url ?? '') : '', {
    poolMode: 'statement',
  })
  const { code, found } = await diagnosed({
    database: { type: 'postgres', url: pooler.url, options: { prepare: false } },
  })
  await pooler.stop()
  expect(code).toBe(3)
  expect(found[0]?.message).toMatch(/pool_mode/)
})

it('the doctor finds a full Redis that evicts nothing', async () => {
  const server = await startRedis()
  const redis = new Redis(server.url)
  const used = Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1])
  await redis.config('SET', 'maxmemory', String(used - 1000))
  redis.disconnect()
  const { code, found } = await diagnosed({ cache: { type: 'redis', url: server.url } })
  await server.stop()
  expect(code).toBe(3)
  expect(found.find(({ check }) => check === 'cache-memory')?.message).toMatch(
    /noeviction: it is full; set maxmemory-policy/,
  )
})

it('the doctor finds a missing right', async () => {
  const config = await filled({ type: 'postgres', url: await freshPostgres() })
  const url = new URL(config.database?.type === 'postgres' ? (config.database.url ?? '') : '')
  const user = `reader_${url.pathname.slice(1)}`
  await execute(
    config,
    `create role ${user} login password 'x'; grant select, insert, update, delete on all tables in schema public to ${user};
     revoke insert on kv from ${user}; revoke select on list_items from ${user}`,
  )
  Object.assign(url, { username: user, password: 'x' })
  const { code, found } = await diagnosed({ ...config, database: { type: 'postgres', url: url.href } })
  await execute(config, `drop owned by ${user}; drop role ${user}`)
  const unread = { check: 'lists-counters', result: 'fail', code: 'PRIVILEGE_MISSING' }
  expect({ code, found }).toMatchObject({ code: 3, found: [{ check: 'privileges', result: 'fail' }, unread] })
  expect(found[0]?.message).toContain('kv INSERT')
})

it('the doctor finds a database with the encoding LATIN1', async () => {
  const url = new URL(await freshPostgres())
  const name = `${url.pathname.slice(1)}_latin1`
  const admin = postgres(url.href, { max: 1 })
  await admin.unsafe(`create database ${name} template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'`)
  url.pathname = `/${name}`
  const { code, found } = await diagnosed({ database: { type: 'postgres', url: url.href } })
  await admin.unsafe(`drop database ${name} with (force)`)
  await admin.end()
  expect({ code, found }).toMatchObject({ code: 3, found: [{ check: 'open', result: 'fail' }] })
  expect(found[0]?.message).toContain('LATIN1')
})

it('the doctor exits with 4 if there is no server, and says where it looked', async () => {
  const { code, found } = await diagnosed({ database: { type: 'postgres', url: 'postgres://agent@127.0.0.1:1/agent' } })
  expect({ code, found }).toMatchObject({ code: 4, found: [{ check: 'open', result: 'fail' }] })
  expect(found[0]?.message).toContain('host 127.0.0.1, port 1')
})

it.each(sharedDatabases)('on %s, the doctor finds a second database on the blob store', async (_, configure) => {
  const { blobStore } = await filled(await configure())
  const database = await configure()
  await openStorage({ database }).then((storage) => storage.close())
  const { code, found } = await diagnosed({ database, blobStore })
  expect({ code, found }).toMatchObject({ code: 3, found: [{ check: 'open', result: 'fail' }] })
  expect(found[0]?.message).toContain('BLOB_STORE_MISMATCH')
})

it('the doctor finds rows that refer to nothing, and a damaged file', async () => {
  const path = join(freshDirectory(), 'agent.db')
  const config = await filled({ type: 'sqlite', path })
  await execute(config, `pragma foreign_keys = off; delete from sessions`)
  expect(await diagnosed(config)).toMatchObject({ code: 3, found: [{ check: 'foreign-keys', result: 'fail' }] })
  damage(path, 'messages_id')
  const { code, found } = await diagnosed(config)
  expect(code).toBe(3)
  expect(found.map(({ check }) => check)).toContain('integrity')
})

it.each(['kv', 'messages', 'sessions'])('the doctor finds a damaged table, %s', async (table) => {
  const path = join(freshDirectory(), 'agent.db')
  const config = await filled({ type: 'sqlite', path })
  damage(path, table)
  const { code, found } = await diagnosed(config)
  expect(code).toBe(3)
  expect(found[0]).toMatchObject({ check: 'integrity', message: expect.stringContaining('restore a copy') })
})

it.each(sharedDatabases)('on %s, the doctor finds tables that are missing', async (_, configure) => {
  for (const table of ['approvals', 'messages']) {
    const config = await filled(await configure())
    await execute(config, `drop table ${table} ${config.database?.type === 'postgres' ? 'cascade' : ''}`)
    const { code, found } = await diagnosed(config)
    expect(code).toBe(3)
    expect(found).toContainEqual(
      expect.objectContaining({ check: 'tables', message: expect.stringContaining(`The database lacks ${table},`) }),
    )
  }
})

it('diagnose() finds the directory of the blobs gone', async () => {
  const directory = join(freshDirectory(), 'mounted')
  const blobStore = { type: 'local', storePath: join(directory, 'agents/blobs') } as const
  await using storage = await openStorage({ database: { type: 'sqlite', path: freshDirectory() }, blobStore })
  rmSync(directory, { recursive: true })
  const found = await storage.diagnose()
  expect(found).toContainEqual(expect.objectContaining({ check: 'blobs-disk', result: 'fail' }))
  expect(found).toContainEqual(expect.objectContaining({ check: 'search', result: 'ok' }))
})

/** Overwrites the first page of a table or an index with zeros. */
function damage(path: string, index: string): void {
  const client = new BetterSqlite3(path)
  const page = client.prepare('select rootpage from sqlite_master where name = ?').pluck().get(index)
  const size = client.pragma('page_size', { simple: true })
  client.close()
  const file = openSync(path, 'r+')
  writeSync(file, Buffer.alloc(Number(size)), 0, Number(size), (Number(page) - 1) * Number(size))
  closeSync(file)
}
