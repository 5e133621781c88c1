import { lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { rm, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { LocalBytes } from '../../src/blobs/bytes/local.ts'
import { blobSource } from '../../src/blobs/input/source.ts'
import { temporaryDirectory } from '../setup/temporary.ts'
import { collect, list, NO_LIMIT, openDescriptors, openStore, put, sha256, source } from './fixture.ts'

const HOUR = 3_600_000

describe('layout', () => {
  test('objects lie under the first two digits of their hash; files are 0600 and directories 0700, whatever the umask', async () => {
    const storePath = join(temporaryDirectory('blobs'), 'not', 'there', 'yet')
    const umask = process.umask(0)
    try {
      const bytes = await LocalBytes.open({ storePath })
      const { hash } = await put(bytes, Buffer.from('hello'))
      const staged = await bytes.stage(source(Buffer.from('staged')), NO_LIMIT)
      expect(bytes.path(hash)).toBe(join(storePath, 'objects', hash.slice(0, 2), hash))
      expect(readdirSync(storePath).toSorted()).toEqual(['objects', 'quarantine', 'tmp'])
      const entries = readdirSync(storePath, { recursive: true, withFileTypes: true })
      const modes = (files: boolean) =>
        entries
          .filter((entry) => entry.isFile() === files)
          .map((entry) => (lstatSync(join(entry.parentPath, entry.name)).mode & 0o777).toString(8))
      expect(modes(true)).toEqual(['600', '600'])
      expect(new Set(modes(false))).toEqual(new Set(['700']))
      for (let path = storePath; path.endsWith('yet') || path.endsWith('there'); path = dirname(path)) {
        expect(lstatSync(path).mode & 0o777).toBe(0o700)
      }
      await staged.discard()
    } finally {
      process.umask(umask)
    }
  })

  test('many may open it at once, and it is there when it is opened again', async () => {
    const storePath = join(temporaryDirectory('blobs'), 'store')
    const [first] = await Promise.all(Array.from({ length: 8 }, () => LocalBytes.open({ storePath })))
    const content = await put(first ?? (await LocalBytes.open({ storePath })), Buffer.from('kept'))
    const again = await LocalBytes.open({ storePath })
    expect(await list(again)).toEqual([content])
    expect((await collect(again.open(content))).toString()).toBe('kept')
  })

  test('a shard that somebody removed is made again', async () => {
    const { bytes } = await openStore()
    const content = await put(bytes, Buffer.from('again'))
    await rm(dirname(bytes.path(content.hash)), { recursive: true })
    await expect(collect(bytes.open(content))).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
    expect(await bytes.size(content.hash)).toBeUndefined()
    expect(await list(bytes)).toEqual([])
    await put(bytes, Buffer.from('again'))
    expect((await collect(bytes.open(content))).toString()).toBe('again')
  })

  test('a file in the place of the store, or of a directory in it, is refused by name', async () => {
    const directory = temporaryDirectory('blobs')
    const storePath = join(directory, 'file')
    writeFileSync(storePath, '')
    await expect(LocalBytes.open({ storePath })).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
    for (const name of ['objects', 'tmp', 'quarantine']) {
      const inside = join(directory, name)
      mkdirSync(inside)
      writeFileSync(join(inside, name), '')
      await expect(LocalBytes.open({ storePath: inside })).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
    }
  })

  test('what is no object is not listed', async () => {
    const { bytes, storePath } = await openStore()
    const content = await put(bytes, Buffer.from('object'))
    const shard = dirname(bytes.path(content.hash))
    const other = sha256(Buffer.from('other'))
    writeFileSync(join(shard, 'README'), '')
    writeFileSync(join(shard, `${content.hash}.bak`), '')
    writeFileSync(join(storePath, 'objects', other), '')
    mkdirSync(join(storePath, 'objects', 'zz'))
    writeFileSync(join(storePath, 'objects', 'zz', other), '')
    writeFileSync(join(storePath, 'objects', other.startsWith('00') ? '01' : '00', other), '')
    expect(await list(bytes)).toEqual([content])
  })

  test('a ping fails when the store is gone', async () => {
    const { bytes, storePath } = await openStore()
    await bytes.ping()
    await rm(storePath, { recursive: true })
    await expect(bytes.ping()).rejects.toMatchObject({ name: 'StorageError', code: 'DATABASE_FAILED' })
  })
})

describe('symbolic links', () => {
  test('the directories of the store may not be links; the store itself may be reached by one', async () => {
    const outside = temporaryDirectory('outside')
    for (const name of ['objects', 'tmp', 'quarantine']) {
      const storePath = temporaryDirectory('blobs')
      symlinkSync(outside, join(storePath, name))
      await expect(LocalBytes.open({ storePath })).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
    }
    const { storePath } = await openStore()
    const link = join(temporaryDirectory('blobs'), 'link')
    symlinkSync(storePath, link)
    await put(await LocalBytes.open({ storePath: link }), Buffer.from('through a link'))
  })

  test('a link in the place of an object is never followed, not even to the right bytes', async () => {
    const { bytes } = await openStore()
    const data = Buffer.from('the right bytes')
    const content = await put(bytes, data)
    const outside = join(temporaryDirectory('outside'), 'file')
    writeFileSync(outside, data)
    const path = bytes.path(content.hash)
    await rm(path)
    symlinkSync(outside, path)

    await expect(collect(bytes.open(content))).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
    expect(await bytes.size(content.hash)).toBeUndefined()
    expect(await list(bytes)).toEqual([])
    expect(await bytes.quarantine(content.hash)).toBe(false)
    await put(bytes, data)
    expect(lstatSync(path).isFile()).toBe(true)
    expect(lstatSync(outside).isFile()).toBe(true)
    expect(await collect(bytes.open(content))).toEqual(data)
  })

  test('nothing is read, written, moved or removed through a linked shard', async () => {
    const { bytes, storePath } = await openStore()
    const data = Buffer.from('sharded')
    const content = await put(bytes, data)
    const outside = temporaryDirectory('outside')
    writeFileSync(join(outside, content.hash), 'damaged')
    const shard = dirname(bytes.path(content.hash))
    await rm(shard, { recursive: true })
    symlinkSync(outside, shard)

    await expect(collect(bytes.open(content))).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
    expect(await bytes.size(content.hash)).toBeUndefined()
    expect(await bytes.remove(content.hash)).toBe(false)
    expect(await bytes.quarantine(content.hash)).toBe(false)
    expect(await list(bytes)).toEqual([])
    const staged = await bytes.stage(source(data), NO_LIMIT)
    await expect(staged.commit()).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
    await staged.discard()
    expect(readdirSync(join(storePath, 'tmp'))).toEqual([])
    expect(readdirSync(outside)).toEqual([content.hash])

    await rm(shard)
    await put(bytes, data)
    expect(await collect(bytes.open(content))).toEqual(data)
  })
})

describe('staging', () => {
  test('an aborted stream leaves neither a file nor a descriptor', async () => {
    const { bytes, storePath } = await openStore()
    const before = openDescriptors()
    for (const bytesBefore of [0, 1000, 3_000_000]) {
      const controller = new AbortController()
      async function* endless() {
        for (let sent = 0; ; sent += 1000) {
          if (sent >= bytesBefore) controller.abort()
          yield Buffer.alloc(1000)
        }
      }
      const input = Readable.from(endless(), { objectMode: false, signal: controller.signal })
      const { source } = await blobSource(input)
      await expect(bytes.stage(source, NO_LIMIT)).rejects.toMatchObject({
        code: 'INVALID_INPUT',
        cause: { name: 'AbortError' },
      })
      expect(input.destroyed).toBe(true)
    }
    expect(readdirSync(join(storePath, 'tmp'))).toEqual([])
    expect(openDescriptors()).toBe(before)
  })

  test('a reader that stops early, or fails, leaves no descriptor', async () => {
    const { bytes } = await openStore()
    const content = await put(bytes, Buffer.alloc(2_000_000))
    const before = openDescriptors()
    for await (const _ of bytes.open(content)) break
    await expect(collect(bytes.open({ ...content, size: 1 }))).rejects.toMatchObject({ code: 'BLOB_CORRUPTED' })
    bytes.open(content)
    expect(openDescriptors()).toBe(before)
  })

  test('sweeping takes what is old, by its last write, and can be tried dry', async () => {
    const { bytes, storePath } = await openStore()
    const tmp = join(storePath, 'tmp')
    const old = await bytes.stage(source(Buffer.from('old')), NO_LIMIT)
    const [name = ''] = readdirSync(tmp)
    const hourAgo = new Date(Date.now() - HOUR)
    await utimes(join(tmp, name), hourAgo, hourAgo)
    const young = await bytes.stage(source(Buffer.from('young')), NO_LIMIT)
    mkdirSync(join(tmp, 'directory'))
    const before = new Date(Date.now() - HOUR / 2)

    expect(await bytes.sweepStaged(before, { dryRun: true })).toBe(1)
    expect(readdirSync(tmp)).toHaveLength(3)
    expect(await bytes.sweepStaged(before)).toBe(1)
    expect(await bytes.sweepStaged(before)).toBe(0)
    await young.commit()
    await expect(old.commit()).rejects.toMatchObject({ code: 'INVALID_STATE', retryable: true })
    await old.discard()
    expect(await list(bytes)).toEqual([{ hash: young.hash, size: 5 }])
  })
})
