import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Sqlite from 'better-sqlite3'
import { expect, onTestFinished, test } from 'vitest'
import { median } from '../../bench/harness.ts'
import { Database } from '../../src/database/database.ts'
import { openMemory } from '../../src/database/sqlite/open.ts'
import { times } from '../../src/testing/contract.ts'
import { freshDirectory } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { outcomes, read, sqliteDriver, write } from './drivers.ts'

async function openTable(options: Record<string, unknown> = {}) {
  const file = join(freshDirectory(), 'test.db')
  const driver = await sqliteDriver({ path: file, options })
  await driver.run(write('create table t (id integer primary key, name text not null)'))
  const ids = async () => (await driver.run(read('select id from t order by rowid'))).flat()
  return { file, driver, ids }
}

const insert = (id: number, name: string | null = 'name') => write('insert into t values (?, ?)', id, name)

/** Opens another connection to the file, as another process would. */
function beside(file: string, options?: Sqlite.Options): Sqlite.Database {
  const db = new Sqlite(file, options)
  onTestFinished(() => void db.close())
  return db
}

/** Returns the number of commits in the write-ahead log. The last frame of a commit holds the size of the database. */
function commits(file: string): number {
  const wal = readFileSync(`${file}-wal`)
  const frame = 24 + wal.readUInt32BE(8)
  let count = 0
  for (let at = 32; at + frame <= wal.length; at += frame) if (wal.readUInt32BE(at + 4) > 0) count++
  return count
}

test('begin() whose caller waits no longer leaves the writer to the next call', async () => {
  const { driver, ids } = await openTable()
  const holder = await driver.begin()
  const check = () => {
    throw new Error('too late')
  }
  const late = expect(driver.begin({ check })).rejects.toThrow('too late')
  const next = driver.run(insert(1))
  await holder.commit()
  await next
  await late
  expect(await ids()).toEqual([1])
})

test('run() commits concurrent writes together, and sequential writes one by one', async () => {
  const { file, driver } = await openTable()
  const before = commits(file)
  await Promise.all(times(64, (i) => driver.run(insert(i))))
  expect(commits(file) - before).toBe(1)
  for (let i = 64; i < 74; i++) await driver.run(insert(i))
  expect(commits(file) - before).toBe(11)
  await Promise.all(times(64, (i) => driver.run(insert(100 + i))))
  expect(commits(file) - before).toBe(12)
})

test('run() lets the event loop turn when a program writes sequentially', async () => {
  const { file, driver } = await openTable()
  let turns = 0
  const timer = setInterval(() => turns++, 1)
  onTestFinished(() => void clearInterval(timer))
  for (let i = 0; i < 1000; i++) await driver.run(insert(i))
  expect(turns).toBeGreaterThan(0)

  // The naive variant: each write commits synchronously.
  turns = 0
  const naive = beside(file).prepare("insert into t values (?, 'name')")
  for (let i = 1000; i < 2000; i++) await naive.run(i)
  expect(turns).toBe(0)
})

test('run() and batch() reject with their own errors, and the other writes of the commit succeed', async () => {
  const { driver, ids } = await openTable()
  const ended = await outcomes([
    ...times(10, (i) => driver.run(insert(i))),
    driver.run(insert(3)),
    driver.run(insert(100, null)),
    driver.batch([insert(200), insert(201), insert(4)]),
    driver.batch([insert(300), insert(301)]),
    driver.run(write('insert into nowhere values (1)')),
    driver.run(insert(400)),
  ])
  expect(ended.slice(10)).toEqual([
    'ALREADY_EXISTS',
    'DATABASE_FAILED',
    'ALREADY_EXISTS',
    'ok',
    'DATABASE_FAILED',
    'ok',
  ])
  expect(await ids()).toEqual([...times(10, (i) => i), 300, 301, 400])
})

test('run() and batch() resolve after the commit', async () => {
  const { file, driver } = await openTable()
  const other = beside(file, { readonly: true })
  const seen = other.prepare('select count(*) from t where id = ?').pluck()
  const acknowledged = async (id: number, done: unknown) => {
    await done
    return seen.get(id)
  }
  const writes = times(50, (i) =>
    acknowledged(i, i % 2 === 0 ? driver.run(insert(i)) : driver.batch([insert(i), insert(i + 100)])),
  )
  expect(await Promise.all(writes)).toEqual(times(50, () => 1))
})

test('run() and transaction() write in the order of the calls', async () => {
  const { driver, ids } = await openTable()
  const database = new Database(driver)
  const inTransaction = (id: number) =>
    database.transaction(async (tx) => {
      await tx.run(write('insert into t select coalesce(max(id), 0) + 1, ? from t', `transaction ${id}`))
      await sleep(5)
    })
  const next = write("insert into t select coalesce(max(id), 0) + 1, 'write' from t")
  await Promise.all(times(12, (i) => (i % 3 === 2 ? inTransaction(i) : driver.run(next))))
  const names = (await driver.run(read('select name from t order by id'))).flat()
  expect(names).toEqual(times(12, (i) => (i % 3 === 2 ? `transaction ${i}` : 'write')))
  expect(await ids()).toHaveLength(12)
})

test.each(['a file', 'memory'])(
  'calls outside a transaction neither see its writes nor are rolled back with it, in %s',
  async (place) => {
    const driver = place === 'memory' ? await openMemory() : (await openTable()).driver
    if (place === 'memory') {
      onTestFinished(() => driver.close())
      await driver.run(write('create table t (id integer primary key, name text)'))
    }
    const outside: unknown[] = []
    const failed = new Database(driver).transaction(async (tx) => {
      await tx.run(insert(1))
      outside.push(
        driver.run(read('select count(*) from t')),
        driver.run(insert(2)),
        driver.batch([insert(3), insert(4)]),
      )
      await sleep(30)
      throw new Error('rolled back')
    })
    await expect(failed).rejects.toThrow('rolled back')
    expect((await Promise.all(outside))[0]).toEqual([[0]])
    expect((await driver.run(read('select id from t order by id'))).flat()).toEqual([2, 3, 4])
  },
)

// The naive variant: BEGIN on the one connection that all callers write through.
test('better-sqlite3 alone rolls back the writes of other callers with a transaction', async () => {
  const db = beside(join(freshDirectory(), 'naive.db'))
  db.exec('create table t (id integer primary key)')
  const transaction = async () => {
    db.exec('BEGIN')
    db.prepare('insert into t values (1)').run()
    await sleep(10)
    db.exec('ROLLBACK')
  }
  const rolledBack = transaction()
  expect(db.prepare('insert into t values (2)').run().changes).toBe(1) // acknowledged
  await rolledBack
  expect(db.prepare('select count(*) from t').pluck().get()).toBe(0)
})

test('run(), batch() and begin() wait for the lock of another process without blocking the event loop', async () => {
  const { file, driver, ids } = await openTable()
  const locked = async () => {
    const script = runScript('test/database/programs/hold-lock.ts', [file, '1000'])
    await script.next()
    return script
  }
  const ours = await locked()
  const begun = performance.now()
  const delay = await longestDelay(() =>
    Promise.all([
      driver.run(insert(1)),
      driver.batch([insert(2), insert(3)]),
      driver.begin().then((tx) => tx.commit()),
    ]),
  )
  expect(performance.now() - begun).toBeGreaterThan(700)
  expect(delay).toBeLessThan(500)
  expect(await ids()).toEqual([1, 2, 3])
  await ours.finished()

  // The naive variant: SQLite waits synchronously and blocks the program.
  const naive = beside(file, { timeout: 5000 })
  const theirs = await locked()
  expect(await longestDelay(async () => naive.prepare("insert into t values (4, 'name')").run())).toBeGreaterThan(700)
  await theirs.finished()
})

/** Returns the longest time in milliseconds for which the event loop stood still during `work`. */
async function longestDelay(work: () => Promise<unknown>): Promise<number> {
  let longest = 0
  let last = performance.now()
  const tick = () => {
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
  }
  const timer = setInterval(tick, 1)
  await sleep(10)
  await work()
  await sleep(10)
  tick()
  clearInterval(timer)
  return longest
}

test('run(), batch() and begin() reject with TIMEOUT when another process holds the lock for busyTimeoutMillis', async () => {
  const { file, driver, ids } = await openTable({ busyTimeoutMillis: 150 })
  const other = beside(file)
  other.exec('BEGIN IMMEDIATE')
  const begun = performance.now()
  const calls = [driver.run(insert(1)), driver.run(insert(2)), driver.batch([insert(3), insert(4)]), driver.begin()]
  expect(await outcomes(calls)).toEqual(times(4, () => 'TIMEOUT'))
  expect(performance.now() - begun).toBeGreaterThan(140)
  expect(await driver.run(read('select 1'))).toEqual([[1]])
  other.exec('COMMIT')
  await driver.run(insert(5))
  expect(await ids()).toEqual([5])
})

test('no call waits longer than busyTimeoutMillis for another process, however many wait', async () => {
  const { file, driver } = await openTable({ busyTimeoutMillis: 1000 })
  const other = beside(file)
  other.exec('BEGIN IMMEDIATE')
  const waits: number[] = []
  const timed = async (call: () => unknown) => {
    const begun = performance.now()
    expect(await outcomes([Promise.resolve(call())])).toEqual(['TIMEOUT'])
    waits.push(performance.now() - begun)
  }
  const round = (from: number) => [
    ...times(600, (i) => timed(() => driver.run(insert(from + i)))),
    timed(() => driver.begin()),
    timed(() => driver.run(insert(from + 600))),
    timed(() => driver.begin()),
    timed(() => driver.run(insert(from + 601))),
  ]
  const first = round(0)
  await sleep(500)
  await Promise.all([...first, ...round(1000)])
  expect(Math.min(...waits)).toBeGreaterThan(950)
  expect(Math.max(...waits)).toBeLessThan(2500) // in groups, one after the other, the last would wait for 5 s
  other.exec('COMMIT')
})

test('batch() is at least 1.5 times as fast with 64 calls in flight as a transaction for each', async () => {
  const { driver } = await openTable()
  const raw = beside(join(freshDirectory(), 'raw.db'))
  raw.pragma('journal_mode = WAL')
  raw.pragma('synchronous = FULL')
  raw.exec('create table t (id integer primary key, name text not null)')
  const rawInsert = raw.prepare('insert into t values (?, ?)')
  const batch = raw.transaction((id: number) => {
    rawInsert.run(2 * id, 'name')
    rawInsert.run(2 * id + 1, 'name')
  })
  const [ours, theirs]: [number[], number[]] = [[], []]
  const count = 640
  for (let round = 0; round < rounds(7, 31); round++) {
    let next = round * count
    const last = next + count
    const addSample = async (samples: number[], work: () => Promise<unknown>) => {
      const begun = performance.now()
      await work()
      samples.push(performance.now() - begun)
    }
    await addSample(theirs, async () => {
      for (let id = round * count; id < last; id++) batch(id)
    })
    const caller = async () => {
      while (next < last) {
        const id = next++
        await driver.batch([insert(2 * id), insert(2 * id + 1)])
      }
    }
    await addSample(ours, () => Promise.all(times(64, caller)))
  }
  const faster = median(theirs) / median(ours)
  console.log(`64 writes in flight: ${faster.toFixed(1)} times the throughput of a transaction each`)
  expect(faster).toBeGreaterThan(1.5)
})

test('close() rejects with CLOSED what waits for the lock of another process', async () => {
  const { file, driver } = await openTable()
  const other = beside(file)
  other.exec('BEGIN IMMEDIATE')
  const waiting = outcomes([driver.run(insert(1)), driver.batch([insert(2), insert(3)]), driver.begin()])
  await sleep(10)
  await driver.close()
  expect(await waiting).toEqual(times(3, () => 'CLOSED'))
  expect(await outcomes([driver.snapshot()])).toEqual(['CLOSED']) // nobody would close its connection
  other.exec('COMMIT')
})

test.each([200, 60])(
  'begin() leaves the file to other processes for a moment after a transaction of %i ms',
  async (millis) => {
    const { file, driver } = await openTable()
    const other = beside(file, { timeout: 0 }) // fails at once if the file is locked
    let taken = 0
    for (let round = 0; round < 4; round++) {
      const first = await driver.begin()
      await sleep(millis)
      await first.commit()
      const next = driver.begin()
      await sleep(1)
      try {
        other.exec('BEGIN IMMEDIATE; COMMIT')
        taken++
      } catch {} // a busy machine may have slept for longer
      await (await next).commit()
    }
    expect(taken).toBeGreaterThan(0)
  },
)
