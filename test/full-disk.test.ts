import { randomBytes } from 'node:crypto'
import { existsSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { importInto, openStorage, type Storage } from 'holdfast'
import { startS3Server } from 'holdfast/testing'
import { afterAll, expect, test } from 'vitest'
import { smallDisk } from './database/small-disk.ts'
import { freshDirectory } from './setup/databases.ts'
import { quiet } from './setup/silent.ts'

// On a real file system without room. If none can be mounted, the tests do nothing.

const MEBIBYTE = 1024 * 1024
const disks = Array.from({ length: 4 }, () => smallDisk(4 * MEBIBYTE))
if (disks.includes(undefined)) console.warn('No file system can be mounted here: the tests of a full disk do nothing')
const server = await startS3Server()
afterAll(() => server.close())

/** Defines a test with a small disk, on which `fill` leaves so many bytes and `relieve` makes room again. */
function onDisk(name: string, body: (disk: ReturnType<typeof use>) => Promise<void>) {
  const directory = disks.pop()
  test(name, { timeout: 60_000 }, async () => {
    if (directory !== undefined) await body(use(directory))
  })
}

function use(directory: string) {
  const filler = join(directory, 'filler')
  const free = () => {
    const { bfree, bsize } = statfsSync(directory)
    return bfree * bsize
  }
  const relieve = () => rmSync(filler, { force: true })
  const fill = (left = 0) => {
    relieve()
    writeFileSync(filler, Buffer.alloc(free() - left))
  }
  return { directory, free, fill, relieve }
}

const filesIn = (directory: string) => ({
  database: { type: 'sqlite' as const, path: join(directory, 'agent.db') },
  blobStore: { type: 'local' as const, storePath: join(directory, 'blobs') },
})

async function fillStorage(storage: Storage, blobs: number): Promise<void> {
  for (let i = 0; i < blobs; i++) {
    const { uri } = await storage.blobs.put(randomBytes(20_000))
    await storage.messages.append('chat', { role: 'user', content: `${uri} ${'text '.repeat(100)}` })
  }
}

onDisk('openStorage() says that the disk is full, and opens the files when there is room again', async (disk) => {
  const config = filesIn(disk.directory)
  const storage = await openStorage(config, quiet)
  await fillStorage(storage, 3)
  await storage.close()
  disk.fill()
  await expect(openStorage(config, quiet)).rejects.toMatchObject({ code: 'DISK_FULL' })
  disk.relieve()
  await using again = await openStorage(config, quiet)
  await fillStorage(again, 1)
  expect(await again.blobs.verify()).toMatchObject({ ok: true })
  expect(await again.blobs.stats()).toMatchObject({ count: 4 })
})

onDisk('export() to a full disk leaves no archive, wherever the room ends', async (disk) => {
  await using storage = await openStorage(filesIn(freshDirectory()), quiet)
  await fillStorage(storage, 10)
  const directory = join(disk.directory, 'archive')
  const before = disk.free()
  await storage.export(directory)
  const size = before - disk.free()
  rmSync(directory, { recursive: true })
  await using other = await openStorage({}, quiet)
  const readable = () => importInto(other, directory, { dryRun: true })
  for (const part of [0, 0.05, 0.3, 0.7, 0.9, 0.95, 1]) {
    disk.fill(part === 1 ? size - 4096 : Math.round(size * part)) // the last page is for the manifest
    await expect(storage.export(directory)).rejects.toMatchObject({ code: 'DISK_FULL', details: { errno: 'ENOSPC' } })
    disk.relieve()
    expect(existsSync(join(directory, 'manifest.json'))).toBe(false)
    await expect(readable()).rejects.toMatchObject({ code: 'INVALID_INPUT' })
    await expect(storage.export(directory)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
    rmSync(directory, { recursive: true })
  }
  await storage.export(directory)
  expect(await readable()).toMatchObject({ refused: 0 })
})

onDisk('importInto() goes on in the same process when a full disk has room again', async (disk) => {
  await using source = await openStorage(filesIn(freshDirectory()), quiet)
  await fillStorage(source, 40)
  const archive = join(freshDirectory(), 'archive')
  await source.export(archive)
  await using target = await openStorage(filesIn(disk.directory), quiet)
  for (const left of [100_000, 300_000, 500_000]) {
    disk.fill(left)
    await expect(importInto(target, archive)).rejects.toMatchObject({ code: 'DISK_FULL' })
  }
  disk.relieve()
  expect(await importInto(target, archive)).toMatchObject({ resumed: true, refused: 0 })
  expect(await target.blobs.verify()).toMatchObject({ ok: true })
  expect(await target.blobs.stats()).toEqual(await source.blobs.stats())
})

onDisk('put() into a bucket names the full directory of puts in progress', async (disk) => {
  const { directory } = disk
  const { database } = filesIn(freshDirectory())
  const blobStore = { ...server.config, options: { stagingPath: directory } }
  await using storage = await openStorage({ database, blobStore }, quiet)
  disk.fill(8192)
  await expect(storage.blobs.put(randomBytes(300_000))).rejects.toMatchObject({
    code: 'DISK_FULL',
    message: `The disk of the directory for puts in progress (${directory}) is full (ENOSPC at stage.write)`,
  })
  disk.relieve()
  await storage.blobs.put(randomBytes(300_000))
  expect(await storage.blobs.stats()).toMatchObject({ count: 1 })
})
