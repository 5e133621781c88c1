import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { openStorage } from 'holdfast'
import { expect, it } from 'vitest'
import { makeDirectories } from '../src/make-directories.ts'
import { freshDirectory } from './setup/databases.ts'
import { quiet } from './setup/silent.ts'

it('makeDirectories() creates what is missing, and returns the topmost directory that it has created', async () => {
  const root = freshDirectory()
  const path = join(root, 'a', 'b', 'c')
  expect(await makeDirectories(path)).toBe(join(root, 'a'))
  expect(existsSync(path)).toBe(true)
  expect(await makeDirectories(path)).toBeUndefined()
  await Promise.all(Array.from({ length: 8 }, () => makeDirectories(join(path, 'd', 'e'))))
  expect(existsSync(join(path, 'd', 'e'))).toBe(true)
})

// There is no such directory, and it cannot be made: Linux says ENOENT, as if /proc did not exist.
it.each(['/proc/holdfast', '/proc/holdfast/inside'])(
  '%s is refused by everything that makes a directory',
  async (path) => {
    const failed = { name: 'StorageError', cause: { code: expect.any(String) } }
    const storage = await openStorage({}, quiet)
    await expect(storage.export(path)).rejects.toMatchObject(failed)
    await storage.close()
    const database = { type: 'sqlite', path: join(freshDirectory(), 'a.db') } as const
    await expect(openStorage({ database, blobStore: { type: 'local', storePath: path } }, quiet)).rejects.toMatchObject(
      failed,
    )
    await expect(openStorage({ database: { type: 'sqlite', path: join(path, 'a.db') } }, quiet)).rejects.toMatchObject(
      failed,
    )
  },
)
