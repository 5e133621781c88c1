import { execFile } from 'node:child_process'
import { cpSync, existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'
import { openStorage } from 'holdfast'
import { expect, onTestFinished, test } from 'vitest'
import { postgresBinaries } from '../setup/binaries.ts'
import { deleteKeys, freshDirectory, redisPrefix, redisUrl } from '../setup/databases.ts'
import { startPostgres } from '../setup/servers.ts'
import { quiet } from '../setup/silent.ts'

/** The steps of docs/backup.md on a SQLite file and a directory of blobs, each to be done in any order. */
function stepsIn(directory: string) {
  const at = (name: string) => join(directory, name)
  return {
    open: (cache?: Parameters<typeof openStorage>[0]) =>
      openStorage(
        {
          ...cache,
          database: { type: 'sqlite', path: at('agent.db') },
          blobStore: { type: 'local', storePath: at('blobs') },
        },
        quiet,
      ),
    async backUpDatabase() {
      const source = new Database(at('agent.db'), { readonly: true })
      await source.backup(at('backup.db'))
      source.close()
    },
    backUpBlobs() {
      cpSync(at('blobs/objects'), at('backup/objects'), { recursive: true })
      cpSync(at('blobs/store-id'), at('backup/store-id'))
    },
    restore() {
      for (const name of ['agent.db', 'agent.db-wal', 'agent.db-shm', 'blobs'])
        rmSync(at(name), { recursive: true, force: true })
      cpSync(at('backup.db'), at('agent.db'))
      cpSync(at('backup/objects'), at('blobs/objects'), { recursive: true })
      cpSync(at('backup/store-id'), at('blobs/store-id'))
    },
  }
}

/** Backs up in an order, with one blob from before and one put in between. Returns what `verify` finds after a restore. */
async function foundAfter(order: 'database first' | 'blobs first') {
  const steps = stepsIn(freshDirectory())
  {
    await using storage = await steps.open()
    await storage.blobs.put(Buffer.from('before'))
    const [first, second] =
      order === 'database first' ? [steps.backUpDatabase, steps.backUpBlobs] : [steps.backUpBlobs, steps.backUpDatabase]
    await first()
    await storage.blobs.put(Buffer.from('between'))
    await second()
  }
  steps.restore()
  await using restored = await steps.open()
  const { steps: report } = await restored.blobs.verify()
  await restored.blobs.verify({ repair: true })
  const { ok } = await restored.blobs.verify()
  const { items } = await restored.blobs.list()
  const found = Object.fromEntries(report.filter(({ found }) => found > 0).map(({ step, found }) => [step, found]))
  return { found, ok, texts: await Promise.all(items.map(({ uri }) => restored.blobs.text(uri))) }
}

test('a restored backup of the database and then of the blobs has strays, and loses nothing', async () => {
  expect(await foundAfter('database first')).toEqual({ found: { strays: 1 }, ok: true, texts: ['before'] })
})

test('a restored backup of the blobs and then of the database lacks bytes', async () => {
  const { found } = await foundAfter('blobs first')
  expect(found).toMatchObject({ missing: 1 })
})

test.each([
  ['is stale if Redis keeps its entries', false, 'after'],
  ['is right if they are removed', true, 'before'],
])('a read after a restore %s', async (_, empties, value) => {
  const keyPrefix = redisPrefix()
  const cache = { cache: { type: 'redis', url: redisUrl(), options: { keyPrefix } } } as const
  const steps = stepsIn(freshDirectory())
  {
    await using storage = await steps.open(cache)
    await storage.kv.set('key', 'before')
    await steps.backUpDatabase()
    steps.backUpBlobs()
    await storage.kv.set('key', 'after')
    await storage.kv.get('key') // fills the cache
  }
  steps.restore()
  if (empties) await deleteKeys([keyPrefix])
  await using restored = await steps.open(cache)
  expect(await restored.kv.get('key')).toBe(value)
})

/** Runs a client program of PostgreSQL: that of the server's own version if it stands beside the server. */
function run(program: string, ...args: string[]) {
  const beside = join(postgresBinaries(), program)
  return promisify(execFile)(existsSync(beside) ? beside : program, args)
}

test('a dump of pg_dump restores into an empty database that needs no migration', async () => {
  const server = await startPostgres()
  onTestFinished(() => server.stop())
  const admin = { database: { type: 'postgres', url: server.url } } as const
  {
    await using storage = await openStorage(admin, quiet)
    await storage.messages.append('chat', [{ role: 'user', content: 'kept' }])
  }
  const url = new URL(server.url)
  url.pathname = '/restored'
  const file = join(freshDirectory(), 'agent.dump')
  await run('pg_dump', '--format=custom', `--file=${file}`, server.url)
  await run('psql', '--command=CREATE DATABASE restored', server.url)
  await run('pg_restore', `--dbname=${url.href}`, file)

  await using restored = await openStorage(
    { database: { type: 'postgres', url: url.href } },
    { ...quiet, migrate: false },
  )
  expect(await restored.messages.latest('chat', 5)).toMatchObject([{ seq: 1, content: 'kept' }])
})
