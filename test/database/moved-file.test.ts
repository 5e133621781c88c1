import { copyFileSync, renameSync, rmSync, symlinkSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { openStorage, type Storage } from 'holdfast'
import { expect, test } from 'vitest'
import { signal, times } from '../../src/testing/contract.ts'
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

test('a read beside a transaction never opens the file that stands in the place of the moved one', async () => {
  const directory = freshDirectory()
  const at = (name: string) => join(directory, name)
  const [path, aside, other] = [at('agent.db'), at('aside.db'), at('other.db')]
  const append = (storage: Storage, content: string) => storage.messages.append('chat', { role: 'user', content })
  const stranger = await openStorage({ database: { type: 'sqlite', path: other } }, quiet)
  await append(stranger, 'of another database')
  await stranger.close()
  await using storage = await openStorage({ database: { type: 'sqlite', path } }, quiet)
  await append(storage, 'own')
  const readBesideTransaction = async () => {
    const [begun, mayEnd] = [signal(), signal()]
    const transaction = storage.transaction(async (tx) => {
      await tx.kv.set('key', 1)
      begun.reach()
      await mayEnd.reached
    })
    await begun.reached
    const [outcome] = await Promise.allSettled([storage.messages.latest('chat', 1)])
    mayEnd.reach()
    await transaction
    return outcome
  }

  renameSync(path, aside)
  renameSync(other, path)
  expect(await readBesideTransaction()).toMatchObject({ reason: { code: 'DATABASE_MOVED' } })
  renameSync(path, other)
  renameSync(aside, path)
  expect(await readBesideTransaction()).toMatchObject({ value: [{ content: 'own' }] })
})

test('reads, exports and backups reject with DATABASE_MOVED if the directory was removed', async () => {
  const directory = join(freshDirectory(), 'data')
  await using storage = await openStorage({ database: { type: 'sqlite', path: join(directory, 'agent.db') } }, quiet)
  rmSync(directory, { recursive: true })
  const target = freshDirectory()
  const calls = [storage.export(join(target, 'export')), storage.backup(join(target, 'backup.db'))]
  expect(await outcomes(calls)).toEqual(['DATABASE_MOVED', 'DATABASE_MOVED'])
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
