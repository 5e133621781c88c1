import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { type ArchiveProgress, openStorage } from 'holdfast'
import { expect, it } from 'vitest'
import { quickCheck } from '../../src/database/sqlite/check-file.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { quiet } from '../setup/silent.ts'
import { digests, fill } from './filled.ts'
import { openKind } from './kinds.ts'

const newFile = () => join(freshDirectory(), 'backup.db')

/** Measures the longest time in which the event loop did not turn, until the function that it returns is called. */
function watchStalls(): () => number {
  let longest = 0
  let before = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    longest = Math.max(longest, now - before)
    before = now
  }, 1)
  return () => {
    clearInterval(timer)
    return longest
  }
}

it('backup() copies what was acknowledged before it, while four processes write', { timeout: 60_000 }, async () => {
  const path = join(freshDirectory(), 'agent.db')
  await using storage = await openStorage({ database: { type: 'sqlite', path } }, quiet)
  for (let i = 0; i < 40; i++) {
    const message = { role: 'user', content: 'x'.repeat(1000) }
    await storage.messages.append(
      `old-${i}`,
      Array.from({ length: 500 }, () => message),
    )
  }
  const sessions = ['a', 'b', 'c', 'd']
  const writers = sessions.map((session) =>
    runScript<{ seq: number }>('test/archive/programs/append.ts', [path, session]),
  )
  await Promise.all(writers.map((writer) => writer.next()))
  const acknowledged = () => writers.map(({ messages }) => messages.at(-1)?.seq ?? 0)
  const before = acknowledged()
  const file = newFile()
  const progress: ArchiveProgress[] = []
  const stall = watchStalls()
  const { bytes } = await storage.backup(file, { onProgress: (each) => progress.push(each) })
  const longest = stall()
  await sleep(50)
  for (const writer of writers) writer.end()
  await Promise.all(writers.map((writer) => writer.finished()))
  const after = acknowledged()
  console.log(
    `a backup of ${(bytes / 2 ** 20).toFixed(1)} MiB stalled the event loop for ${longest.toFixed(1)} ms at most`,
  )

  expect(after.every((seq, i) => seq > (before[i] ?? 0))).toBe(true) // they did write meanwhile
  expect(readdirSync(dirname(file))).toEqual(['backup.db'])
  expect(statSync(file)).toMatchObject({ size: bytes })
  expect(statSync(file).mode & 0o077).toBe(0)
  expect(progress.length).toBeGreaterThan(10)
  expect(progress.at(-1)).toMatchObject({ table: 'pages', total: bytes / 4096 })
  await using copy = await openStorage({ database: { type: 'sqlite', path: file } }, quiet)
  for (const [i, session] of sessions.entries()) {
    const messages = await copy.messages.latest(session, 1000)
    const last = messages.at(-1)?.seq ?? 0
    expect(messages).toHaveLength(Math.min(last, 1000)) // without a gap
    expect(last).toBeGreaterThanOrEqual(before[i] ?? 0)
    expect(last).toBeLessThanOrEqual(after[i] ?? 0)
    expect(await copy.sessions.summary(session)).toMatchObject({ lastSeq: last, messageCount: last })
  }
  expect((await copy.stats()).database.rows.messages).toBeGreaterThan(20_000)
})

it('a backup without a read transaction begins anew with each commit of others', async () => {
  const path = join(freshDirectory(), 'agent.db')
  await using storage = await openStorage({ database: { type: 'sqlite', path } }, quiet)
  for (let i = 0; i < 5; i++) {
    const message = { role: 'user', content: 'x'.repeat(1000) }
    await storage.messages.append(
      'old',
      Array.from({ length: 500 }, () => message),
    )
  }
  /** Returns how often a backup went back to an earlier page. */
  const restarts = async (begin: boolean) => {
    const source = new Database(path, { readonly: true })
    if (begin) source.exec('BEGIN; SELECT 1 FROM sqlite_master')
    const done: number[] = []
    let commits = 0
    await source.backup(newFile(), {
      progress: ({ totalPages, remainingPages }) => {
        done.push(totalPages - remainingPages)
        if (commits++ < 10) void storage.kv.set('k', commits)
        return 50
      },
    })
    source.close()
    return done.filter((pages, i) => pages <= (done[i - 1] ?? -1)).length
  }
  expect(await restarts(false)).toBeGreaterThan(0)
  expect(await restarts(true)).toBe(0)
})

it('backup() of a database in memory is a file with the same rows', async () => {
  const storage = await openKind('in-memory')
  await fill(storage, 'nobody', 5)
  const file = newFile()
  await storage.backup(file)
  await using copy = await openStorage(
    { database: { type: 'sqlite', path: file }, blobStore: { type: 'in-memory' } },
    quiet,
  )
  const [found, expected] = [await digests(copy), await digests(storage)]
  expect(found.messages).toEqual(expected.messages)
  expect(found.checkpoints).toEqual(expected.checkpoints)
})

it('backup() overwrites nothing, and leaves nothing behind if it is refused or aborted', async () => {
  const storage = await openKind('sqlite')
  await storage.messages.append(
    'chat',
    Array.from({ length: 500 }, () => ({ role: 'user', content: 'x'.repeat(4000) })),
  )
  const file = newFile()
  writeFileSync(file, 'mine')
  const invalid = (what: string) => ({ code: 'INVALID_INPUT', message: expect.stringContaining(what) })
  const exists = (path: string) => ({
    code: 'ALREADY_EXISTS',
    message: expect.stringContaining(path),
    details: { path },
  })
  await expect(storage.backup(file)).rejects.toMatchObject(exists(file))
  await expect(storage.backup(join(dirname(file), 'none/backup.db'))).rejects.toMatchObject(invalid('does not exist'))
  await expect(storage.backup('')).rejects.toMatchObject(invalid('path of a file'))
  await expect(storage.backup(newFile(), { pages: 1 } as object)).rejects.toMatchObject(invalid('options.pages'))
  expect(statSync(file).size).toBe(4)

  // The name is taken while the copy is made.
  const taken = newFile()
  const onProgress = () => existsSync(taken) || writeFileSync(taken, 'theirs')
  await expect(storage.backup(taken, { onProgress })).rejects.toMatchObject(exists(taken))
  expect(statSync(taken).size).toBe(6)
  expect(readdirSync(dirname(taken))).toEqual(['backup.db'])

  const aborted = newFile()
  const controller = new AbortController()
  const aborting = storage.backup(aborted, { signal: controller.signal, onProgress: () => controller.abort() })
  await expect(aborting).rejects.toMatchObject({ code: 'ABORTED' })
  expect(readdirSync(dirname(aborted))).toEqual([])
  const directory = join(dirname(aborted), 'directory')
  mkdirSync(directory)
  await expect(storage.backup(directory)).rejects.toMatchObject(exists(directory))
})

it('backup() of PostgreSQL names the command that backs it up', async () => {
  const database = { type: 'postgres', url: await freshPostgres(), options: { schema: 'agent' } } as const
  await using storage = await openStorage({ database }, quiet)
  await expect(storage.backup(newFile())).rejects.toMatchObject({
    code: 'INVALID_STATE',
    message: expect.stringContaining(
      'pg_dump --format=custom --no-owner --schema=agent --file=agent.dump "$DATABASE_URL"',
    ),
  })
})

it('the check of a copy finds a damaged page', async () => {
  const storage = await openKind('in-memory')
  await fill(storage, 'nobody', 50)
  const file = newFile()
  await storage.backup(file)
  expect(await quickCheck(file)).toBeUndefined()
  const { readFileSync } = await import('node:fs')
  const bytes = readFileSync(file)
  bytes.fill(0xff, 5 * 4096, 60 * 4096)
  writeFileSync(file, bytes)
  await expect(
    quickCheck(file).then(
      (damage) => damage ?? 'sound',
      () => 'refused',
    ),
  ).resolves.not.toBe('sound')
})
