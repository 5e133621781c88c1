import { copyFileSync, renameSync, rmSync, symlinkSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { openStorage } from 'holdfast'
import { expect, test } from 'vitest'
import { times } from '../../src/testing/contract.ts'
import { freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { outcomes, read, sqliteDriver } from './drivers.ts'

const moves: [name: string, move: (path: string, aside: string) => void][] = [
  ['deleted', (path) => rmSync(path)],
  ['renamed', (path, aside) => renameSync(path, aside)],
  [
    'replaced',
    (path, aside) => {
      copyFileSync(path, aside)
      renameSync(aside, path) // as an editor or a restore does
    },
  ],
]

test.each(moves)(
  'every call rejects with DATABASE_MOVED after health() has seen that the file was %s',
  async (name, move) => {
    const directory = freshDirectory()
    const path = join(directory, 'agent.db')
    await using storage = await openStorage({ database: { type: 'sqlite', path } }, quiet)
    await storage.kv.set('before', 1)
    expect((await storage.health()).ok).toBe(true)
    move(path, join(directory, 'aside.db'))
    await storage.kv.set('not seen yet', 1) // SQLite alone never notices

    expect((await storage.health()).database).toMatchObject({ ok: false, error: expect.stringContaining(name) })
    const calls = [
      storage.kv.set('key', 1),
      storage.messages.append('session', { role: 'user', content: 'x' }),
      storage.transaction((tx) => tx.kv.set('key', 1)),
      storage.messages.latest('session', 1),
    ]
    expect(await outcomes(calls)).toEqual(times(4, () => 'DATABASE_MOVED'))
  },
)

test('maintain() notices a file that was renamed, and calls succeed again when the file is back', async () => {
  const directory = freshDirectory()
  const [path, aside] = [join(directory, 'agent.db'), join(directory, 'aside.db')]
  await using storage = await openStorage({ database: { type: 'sqlite', path } }, quiet)
  await storage.kv.set('before', 1)
  renameSync(path, aside)
  const failed = async () => (await storage.maintain()).flatMap(({ step, error }) => (error ? [step] : []))
  expect(await failed()).toEqual(['database-file'])
  await expect(storage.kv.set('key', 1)).rejects.toMatchObject({ code: 'DATABASE_MOVED', details: { file: path } })
  renameSync(aside, path)
  expect((await storage.health()).ok).toBe(true)
  await storage.kv.set('key', 2)
  expect(await failed()).toEqual([])
})

test('health() notices a symbolic link that leads to another file', async () => {
  const directory = freshDirectory()
  const path = join(directory, 'agent.db')
  symlinkSync(join(directory, 'one.db'), path)
  await using storage = await openStorage({ database: { type: 'sqlite', path } }, quiet)
  expect((await storage.health()).ok).toBe(true)
  unlinkSync(path)
  symlinkSync(join(directory, 'two.db'), path)
  expect((await storage.health()).database).toMatchObject({ ok: false, error: expect.stringContaining('deleted') })
})

test.each(['full', 'normal'] as const)(
  'the file is flushed through the cache of the disk with synchronous: %s',
  async (synchronous) => {
    const driver = await sqliteDriver({ path: join(freshDirectory(), 'agent.db'), options: { synchronous } })
    for (const pragma of ['fullfsync', 'checkpoint_fullfsync']) {
      expect(await driver.run(read(`pragma ${pragma}`))).toEqual([[1]]) // SQLite heeds both on macOS alone
    }
  },
)
