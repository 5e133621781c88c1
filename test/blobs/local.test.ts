import { lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { rm, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { LocalBytes } from '../../src/blobs/bytes/local.ts'
import { blobSource } from '../../src/blobs/input/source.ts'
import { temporaryDirectory } from '../setup/temporary.ts'
import { collect, firstOf, list, NO_LIMIT, openDescriptors, openStore, put, sha256, source } from './fixture.ts'

const HOUR = 3_600_000

describe('layout', () => {
  it('an object is at objects/<2 hex>/<64 hex>, with files 0400 and directories 0700 whatever the umask', async () => {
    const storePath = join(temporaryDirectory('blobs'), 'not', 'there', 'yet')
    const umask = process.umask(0)
    try {
      const bytes = await LocalBytes.open({ storePath })
      const { hash } = await put(bytes, Buffer.from('hello'))
      const staged = await bytes.stage(source(Buffer.from('staged')), NO_LIMIT)
      expect(bytes.path(firstOf(hash))).toBe(join(storePath, 'objects', hash.slice(0, 2), hash))
      expect(readdirSync(storePath).toSorted()).toEqual(['objects', 'quarantine', 'tmp'])
      const entries = readdirSync(storePath, { recursive: true, withFileTypes: true })
      const modes = (files: boolean) =>
        entries
          .filter((entry) => entry.isFile() === files)
          .map((entry) => (lstatSync(join(entry.parentPath, entry.name)).mode & 0o777).toString(8))
      expect(modes(true)).toEqual(['400', '400'])
      expect(new Set(modes(false))).toEqual(new Set(['700']))
      for (let path = storePath; path.endsWith('yet') || path.endsWith('there'); path = dirname(path)) {
        expect(lstatSync(path).mode & 0o777).toBe(0o700)
      }
      await staged.discard()
    } finally {
      process.umask(umask)
    }
  })

  it('open() works eight times at once, and finds the objects of an earlier open()', async () => {
    const storePath = join(temporaryDirectory('blobs'), 'store')
    const [first] = await Promise.all(Array.from({ length: 8 }, () => LocalBytes.open({ storePath })))
    const content = await put(first ?? (await LocalBytes.open({ storePath })), Buffer.from('kept'))
    const again = await LocalBytes.open({ storePath })
    expect(await list(again)).toEqual([content])
    expect((await collect(again.open(content))).toString()).toBe('kept')
  })

  it('commit() creates a shard again when it was removed', async () => {
    const { bytes } = await openStore()
    const content = await put(bytes, Buffer.from('again'))
    await rm(dirname(bytes.path(content)), { recursive: true })
    await expect(collect(bytes.open(content))).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
    expect(await bytes.size(content)).toBeUndefined()
    expect(await list(bytes)).toEqual([])
    await put(bytes, Buffer.from('again'))
    expect((await collect(bytes.open(content))).toString()).toBe('again')
  })

  it.each(['.', 'objects', 'tmp', 'quarantine'])('open() rejects a file in place of the directory %s', async (name) => {
    const storePath = join(temporaryDirectory('blobs'), 'store')
    if (name !== '.') mkdirSync(storePath)
    writeFileSync(join(storePath, name), '')
    await expect(LocalBytes.open({ storePath })).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
  })

  it('list() yields only objects', async () => {
    const { bytes, storePath } = await openStore()
    const content = await put(bytes, Buffer.from('object'))
    const shard = dirname(bytes.path(content))
    const other = sha256(Buffer.from('other'))
    writeFileSync(join(shard, 'README'), '')
    writeFileSync(join(shard, `${content.hash}.bak`), '')
    writeFileSync(join(storePath, 'objects', other), '')
    mkdirSync(join(storePath, 'objects', 'zz'))
    writeFileSync(join(storePath, 'objects', 'zz', other), '')
    writeFileSync(join(storePath, 'objects', other.startsWith('00') ? '01' : '00', other), '')
    expect(await list(bytes)).toEqual([content])
  })

  it('ping() fails when the directory was removed', async () => {
    const { bytes, storePath } = await openStore()
    await bytes.ping()
    await rm(storePath, { recursive: true })
    await expect(bytes.ping()).rejects.toMatchObject({ name: 'StorageError', code: 'DATABASE_FAILED' })
  })
})

describe('symbolic links', () => {
  it.each(['objects', 'tmp', 'quarantine'])('open() rejects a link in place of the directory %s', async (name) => {
    const storePath = temporaryDirectory('blobs')
    symlinkSync(temporaryDirectory('outside'), join(storePath, name))
    await expect(LocalBytes.open({ storePath })).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
  })

  it('open() follows a link to the store', async () => {
    const { storePath } = await openStore()
    const link = join(temporaryDirectory('blobs'), 'link')
    symlinkSync(storePath, link)
    await put(await LocalBytes.open({ storePath: link }), Buffer.from('through a link'))
  })

  it('a link in place of an object is never followed, even to the right bytes', async () => {
    const { bytes } = await openStore()
    const data = Buffer.from('the right bytes')
    const content = await put(bytes, data)
    const outside = join(temporaryDirectory('outside'), 'file')
    writeFileSync(outside, data)
    const path = bytes.path(content)
    await rm(path)
    symlinkSync(outside, path)

    await expect(collect(bytes.open(content))).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
    expect(await bytes.size(content)).toBeUndefined()
    expect(await list(bytes)).toEqual([])
    expect(await bytes.quarantine(content)).toBe(false)
    await put(bytes, data)
    expect(lstatSync(path).isFile()).toBe(true)
    expect(lstatSync(outside).isFile()).toBe(true)
    expect(await collect(bytes.open(content))).toEqual(data)
  })

  it('a link in place of a shard is never followed to read, write, move or remove', async () => {
    const { bytes, storePath } = await openStore()
    const data = Buffer.from('sharded')
    const content = await put(bytes, data)
    const outside = temporaryDirectory('outside')
    writeFileSync(join(outside, content.hash), 'damaged')
    const shard = dirname(bytes.path(content))
    await rm(shard, { recursive: true })
    symlinkSync(outside, shard)

    await expect(collect(bytes.open(content))).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
    expect(await bytes.size(content)).toBeUndefined()
    expect(await bytes.remove(content)).toBe(false)
    expect(await bytes.quarantine(content)).toBe(false)
    expect(await list(bytes)).toEqual([])
    const staged = await bytes.stage(source(data), NO_LIMIT)
    await expect(staged.commit('')).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
    await staged.discard()
    expect(readdirSync(join(storePath, 'tmp'))).toEqual([])
    expect(readdirSync(outside)).toEqual([content.hash])

    await rm(shard)
    await put(bytes, data)
    expect(await collect(bytes.open(content))).toEqual(data)
  })
})

describe('staging', () => {
  it.each([0, 1000, 3_000_000])(
    'stage() leaves no file and no descriptor when its stream is aborted after %d bytes',
    async (length) => {
      const { bytes, storePath } = await openStore()
      const before = openDescriptors()
      const controller = new AbortController()
      async function* endless() {
        for (let sent = 0; ; sent += 1000) {
          if (sent >= length) controller.abort()
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
      expect(readdirSync(join(storePath, 'tmp'))).toEqual([])
      expect(openDescriptors()).toBe(before)
    },
  )

  it('open() leaves no descriptor when its reader stops early or fails', async () => {
    const { bytes } = await openStore()
    const content = await put(bytes, Buffer.alloc(2_000_000))
    const before = openDescriptors()
    for await (const _ of bytes.open(content)) break
    await expect(collect(bytes.open({ ...content, size: 1 }))).rejects.toMatchObject({ code: 'BLOB_CORRUPTED' })
    bytes.open(content)
    expect(openDescriptors()).toBe(before)
  })

  it('sweepStaged() removes files by the time of their last write, and only counts them with dryRun', async () => {
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
    await young.commit('')
    await expect(old.commit('')).rejects.toMatchObject({ code: 'INVALID_STATE', retryable: true })
    await old.discard()
    expect(await list(bytes)).toEqual([{ hash: young.hash, size: 5, generation: '' }])
  })
})
