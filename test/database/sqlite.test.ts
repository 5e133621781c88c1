import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { openStorage } from 'holdfast'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Database } from '../../src/database/database.ts'
import type { Driver } from '../../src/database/db.ts'
import { times } from '../../src/testing/contract.ts'
import { asNobody } from '../setup/as-nobody.ts'
import { freshDirectory } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { quiet } from '../setup/silent.ts'
import { outcomes, read, sqliteDriver, write } from './drivers.ts'
import { smallDisk } from './small-disk.ts'

const mebibyte = 2 ** 20

// better-sqlite3 12 on Node 24: the destructor of a collected statement asserts that JavaScript is running.
const { version } = JSON.parse(readFileSync('node_modules/better-sqlite3/package.json', 'utf8'))
const abortsOnCollection = Number.parseInt(process.versions.node, 10) >= 24 && version.startsWith('12.')

describe.runIf(abortsOnCollection)('statements and connections that are no longer used', () => {
  test('end no process, while dropped ones do', async () => {
    const drop = (who: string) => runScript('test/database/programs/drop-statements.ts', [who])
    expect(await drop('ours').finished()).toEqual(['ended'])
    const ends: unknown[] = []
    while (ends.length < 10 && !ends.includes('SIGABRT')) ends.push((await drop('naive').exit).signal)
    expect(ends).toContain('SIGABRT')
  })
})

describe('openSqlite()', () => {
  const failures: [string, (path: string) => void, string, RegExp][] = [
    [
      'a file that is not a database',
      (path) => writeFileSync(path, 'not a database'.repeat(100)),
      'CONNECTION_FAILED',
      /not a SQLite database/,
    ],
    ['a directory', (path) => mkdirSync(path), 'CONNECTION_FAILED', /check that it is a file/],
  ]
  test.each(failures)('rejects %s and names the path', async (_, prepare, code, message) => {
    const path = join(freshDirectory(), 'agent.db')
    prepare(path)
    const error = await sqliteDriver({ path }).catch((error) => error)
    expect(error).toMatchObject({ code, message: expect.stringMatching(message), details: { file: path } })
    expect(error.message).toContain(path)
  })

  test('rejects a path whose directory is a file', async () => {
    const path = join(freshDirectory(), 'file')
    writeFileSync(path, '')
    await expect(sqliteDriver({ path: join(path, 'agent.db') })).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
  })

  test('rejects a file that does not exist if readonly is set', async () => {
    const path = join(freshDirectory(), 'absent.db')
    const failed = sqliteDriver({ path, options: { readonly: true } })
    await expect(failed).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
    expect(existsSync(path)).toBe(false)
  })
})

test('openSqlite() creates missing directories', async () => {
  const path = join(freshDirectory(), 'not', 'yet', 'there', 'agent.db')
  const driver = await sqliteDriver({ path })
  expect(await driver.run(read('select 1'))).toEqual([[1]])
})

test('run() rejects with DATABASE_FAILED if the file is damaged', async () => {
  const path = join(freshDirectory(), 'damaged.db')
  const db = new Sqlite(path)
  db.exec('create table t (id integer primary key, text text)')
  db.exec(
    'with recursive n (i) as (select 1 union all select i + 1 from n limit 1000) insert into t select i, hex(randomblob(100)) from n',
  )
  db.close()
  const bytes = readFileSync(path)
  writeFileSync(path, bytes.fill(0x5a, bytes.length / 2, bytes.length / 2 + 3 * 4096))
  const driver = await sqliteDriver({ path })
  await expect(async () => driver.run(read('select sum(length(text)) from t'))).rejects.toMatchObject({
    code: 'DATABASE_FAILED',
    message: expect.stringContaining('damaged'),
  })
})

test('append() that the limit of the size of files refuses says what to check, and leaves nothing', async () => {
  const path = join(freshDirectory(), 'agent.db')
  const program = runScript('test/database/programs/write-too-much.ts', [path], { fileBlocks: 8000 })
  expect(await program.finished()).toEqual([
    { code: 'DATABASE_FAILED', message: expect.stringContaining('quotas and limits of file sizes') },
    { stored: 1 },
  ])
})

test('openStorage() with readonly reads the file, rejects writes with READ_ONLY, and changes no byte', async () => {
  const path = join(freshDirectory(), 'agent.db')
  const writable = await openStorage({ database: { type: 'sqlite', path } }, quiet)
  await writable.kv.set('key', 'value')
  await writable.close()
  const before = readFileSync(path)

  await using storage = await openStorage({ database: { type: 'sqlite', path, options: { readonly: true } } }, quiet)
  expect(await storage.kv.get('key')).toBe('value')
  const writes = [
    storage.kv.set('key', 'other'),
    storage.messages.append('session', { role: 'user', content: 'hello' }),
    storage.transaction((tx) => tx.kv.set('key', 'other')),
  ]
  expect(await outcomes(writes)).toEqual(times(3, () => 'READ_ONLY'))
  expect(await storage.kv.get('key')).toBe('value')
  expect(readFileSync(path)).toEqual(before)
})

test('run(), batch() and begin() reject with READ_ONLY if the file may not be written', async () => {
  const directory = freshDirectory()
  const path = join(directory, 'agent.db')
  const first = await sqliteDriver({ path })
  await first.run(write('create table t (id integer)'))
  chmodSync(path, 0o444)
  for (const suffix of ['-wal', '-shm']) chmodSync(path + suffix, 0o666)
  chmodSync(directory, 0o777)
  const driver = await asNobody(() => sqliteDriver({ path }))
  expect(await driver.run(read('select count(*) from t'))).toEqual([[0]])
  const insert = write('insert into t values (1)')
  const inTransaction = new Database(driver).transaction(async (tx) => tx.run(insert))
  expect(await outcomes([driver.run(insert), driver.batch([insert, insert]), inTransaction])).toEqual(
    times(3, () => 'READ_ONLY'),
  )
})

test('openSqlite() says that a file may not be read', async () => {
  const directory = freshDirectory()
  const path = join(directory, 'agent.db')
  await (await sqliteDriver({ path })).close()
  chmodSync(path, 0o000)
  chmodSync(directory, 0o777)
  await expect(asNobody(() => sqliteDriver({ path }))).rejects.toThrow(/that this user may read and write.*agent\.db/)
})

test('openSqlite() names the directory if SQLite may not write its log there', async () => {
  const directory = freshDirectory()
  const path = join(directory, 'agent.db')
  await (await sqliteDriver({ path })).close()
  chmodSync(path, 0o444)
  chmodSync(directory, 0o555)
  await expect(asNobody(() => sqliteDriver({ path }))).rejects.toThrow(
    'The directory of the SQLite file is not writable',
  )
  chmodSync(directory, 0o755)
})

test.each([
  [{}, 2],
  [{ synchronous: 'normal' }, 1],
])('openSqlite() with the options %j sets synchronous to %i, WAL mode and foreign keys', async (options, expected) => {
  const driver = await sqliteDriver({ path: join(freshDirectory(), 'agent.db'), options })
  const setting = async (name: string) => (await driver.run(write(`PRAGMA ${name}`))).flat()
  expect(await setting('synchronous')).toEqual([expected])
  expect(await setting('journal_mode')).toEqual(['wal'])
  expect(await setting('foreign_keys')).toEqual([1])
})

describe('the write-ahead log', () => {
  const inserts = 20_000
  const text = 'x'.repeat(200)

  test('stays below 10 MiB, and is removed by close()', async () => {
    const path = join(freshDirectory(), 'agent.db')
    const driver = await sqliteDriver({ path, options: { synchronous: 'normal' } })
    await driver.run(write('create table t (id integer primary key, text text)'))
    for (let i = 0; i < inserts; i++) {
      await driver.run(write('insert into t (text) values (?) returning id', text))
      if (i % 1000 === 0) await driver.run(read('select count(*) from t'))
    }
    expect(statSync(`${path}-wal`).size).toBeLessThan(10 * mebibyte)
    await driver.close()
    expect(existsSync(`${path}-wal`)).toBe(false)
  })

  // The naive variant: get() does not reset the statement, so its read transaction stays open until the next use.
  test('of better-sqlite3 alone grows to more than 40 MiB when rows are returned with get()', () => {
    const path = join(freshDirectory(), 'naive.db')
    const db = new Sqlite(path)
    onTestFinished(() => void db.close())
    db.pragma('journal_mode = WAL')
    db.pragma('synchronous = NORMAL')
    db.exec('create table t (id integer primary key, text text)')
    const insert = db.prepare('insert into t (text) values (?) returning id')
    for (let i = 0; i < inserts; i++) insert.get(text)
    expect(statSync(`${path}-wal`).size).toBeGreaterThan(40 * mebibyte)
  })
})

test('VACUUM INTO copies all rows while a program writes, and a copy of the file alone does not', async () => {
  const directory = freshDirectory()
  const [path, backup, copy] = ['agent.db', 'backup.db', 'copy.db'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ]
  const open = (path: string) => openStorage({ database: { type: 'sqlite', path } }, quiet)
  await using storage = await open(path)
  const keys = times(200, (i) => `key ${i}`)
  await Promise.all(keys.map((key) => storage.kv.set(key, key)))
  const writing = times(200, (i) => storage.kv.set(`later ${i}`, i))
  new Sqlite(path, { readonly: true }).exec(`VACUUM INTO '${backup}'`).close()
  copyFileSync(path, copy)
  await Promise.all(writing)
  await using fromBackup = await open(backup)
  expect((await fromBackup.kv.getMany(keys)).size).toBe(200)
  await using fromCopy = await open(copy)
  expect((await fromCopy.kv.getMany(keys)).size).toBe(0)
})

/** A disk that can be filled, so that the database cannot grow, and emptied again. */
interface Full {
  directory: string
  fill(driver: Driver): Promise<void>
  relieve(driver: Driver): Promise<void>
}

function fullDisks(): [string, Full][] {
  const pages = (count: number) => async (driver: Driver) =>
    void (await driver.run(write(`PRAGMA max_page_count = ${count}`)))
  const limited: Full = { directory: freshDirectory(), fill: pages(200), relieve: pages(100_000) }
  const directory = smallDisk(4 * mebibyte)
  if (directory === undefined) {
    console.warn('No file system can be mounted here: the tests of a full disk use a limit of SQLite')
    return [['a limit of SQLite', limited]]
  }
  const filler = join(directory, 'filler')
  const disk: Full = {
    directory,
    fill: async () => writeFileSync(filler, Buffer.alloc(3 * mebibyte)),
    relieve: async () => rmSync(filler),
  }
  return [
    ['a limit of SQLite', limited],
    ['a full disk', disk],
  ]
}

test.each(fullDisks())(
  'on %s, writes reject with DISK_FULL as a whole, and succeed when there is room again',
  async (_, full) => {
    const path = join(full.directory, 'agent.db')
    const driver = await sqliteDriver({ path })
    const database = new Database(driver)
    await driver.run(write('create table t (id integer, part integer, text text)'))
    await full.fill(driver)
    const insert = (id: number, part: number) => write('insert into t values (?, ?, hex(randomblob(4000)))', id, part)
    const acknowledged: number[] = []
    const failed: unknown[] = []
    const attempt = async (id: number) => {
      const parts = times(3, (part) => insert(id, part))
      try {
        if (id % 3 === 0) await driver.batch(parts)
        else {
          await database.transaction(async (tx) => {
            for (const part of parts) await tx.run(part)
          })
        }
        acknowledged.push(id)
      } catch (error) {
        failed.push(error)
      }
    }
    let id = 0
    for (; failed.length === 0; id += 8) await Promise.all(times(8, (i) => attempt(id + i)))
    for (const end = id + 24; id < end; id++) await attempt(id)
    for (const error of failed) expect(error).toMatchObject({ code: 'DISK_FULL' })
    const storedIds = async () =>
      (await driver.run(read('select id, count(*) from t group by id order by id'))).map(([id, parts]) => {
        expect(parts).toBe(3)
        return id
      })
    const sorted = () => acknowledged.toSorted((a, b) => a - b)
    expect(await storedIds()).toEqual(sorted())

    await full.relieve(driver)
    failed.length = 0
    for (const end = id + 8; id < end; id++) await attempt(id)
    expect(failed).toEqual([])
    expect(await storedIds()).toEqual(sorted())
    expect(await driver.run(write('PRAGMA integrity_check'))).toEqual([['ok']])
  },
)

const oneMore = smallDisk(4 * mebibyte)
test('transaction() rejects all further calls once the full disk has ended it', async () => {
  const driver = await sqliteDriver({ path: join(oneMore ?? freshDirectory(), 'agent.db') })
  await driver.run(write('create table t (text text)'))
  await driver.run(write('PRAGMA cache_size = 10')) // pages beyond the cache are written before the commit
  if (oneMore === undefined) await driver.run(write('PRAGMA max_page_count = 500'))
  const inside: string[] = []
  const ended = new Database(driver).transaction(async (tx) => {
    while (!inside.includes('DISK_FULL')) {
      inside.push(...(await outcomes([tx.run(write('insert into t values (hex(randomblob(100000)))'))])))
    }
    inside.push(...(await outcomes([tx.run(write("insert into t values ('by itself')"))])))
  })
  expect(await outcomes([ended])).not.toEqual(['ok'])
  expect(inside.at(-1)).not.toBe('ok')
  expect(await driver.run(read('select count(*) from t'))).toEqual([[0]])
  await driver.run(write("insert into t values ('afterwards')"))
})

test('a parameter behind a unary plus does not make SQLite plan again at each call, while a bare one does', () => {
  const db = new Sqlite(':memory:')
  onTestFinished(() => void db.close())
  db.exec("create table t (owner text, n integer); create index i on t (owner, n) where owner <> ''")
  /** Returns the milliseconds of a hundred calls, the least of twenty trials. */
  const best = (parameter: string) => {
    const statement = db.prepare(
      `select n from t where owner = ${parameter} and owner <> '' order by n limit ${parameter}`,
    )
    const trial = () => {
      const begun = performance.now()
      for (let i = 0; i < 100; i++) statement.all('ada', 1)
      return performance.now() - begun
    }
    return Math.min(...times(20, trial))
  }
  expect(best('+?')).toBeLessThan(0.6 * best('?')) // 0.1 on a quiet machine
})
