import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { LocalBytes } from '../../src/blobs/bytes/local.ts'
import { MemoryBytes } from '../../src/blobs/bytes/memory.ts'
import { type ByteRange, readBytes, readStream } from '../../src/blobs/read.ts'
import { temporaryDirectory } from '../setup/temporary.ts'
import { collect, openDescriptors, openStore, put, sha256 } from './fixture.ts'

const CHUNK = 128 * 1024

describe('ranges', () => {
  test('both ends count, on either backend, as in fs.createReadStream and in HTTP', async () => {
    const data = randomBytes(CHUNK + 10)
    const { bytes: local } = await openStore()
    for (const bytes of [new MemoryBytes(), local]) {
      const content = await put(bytes, data)
      const offset = fc.nat(data.length + 5)
      await fc.assert(
        fc.asyncProperty(offset, offset, async (a, b) => {
          const range = { start: Math.min(a, b), end: Math.max(a, b) }
          const read = await collect(await readStream(bytes, content, range))
          expect(read.equals(data.subarray(range.start, range.end + 1))).toBe(true)
        }),
        { numRuns: 50 },
      )
      const hashOf = async (range?: ByteRange) => sha256(await collect(await readStream(bytes, content, range)))
      expect(await hashOf({ start: 3 })).toBe(sha256(data.subarray(3)))
      expect(await hashOf({ end: 3 })).toBe(sha256(data.subarray(0, 4)))
      expect(await hashOf()).toBe(content.hash)
    }
  })

  test('of nothing there is nothing to read', async () => {
    const { bytes } = await openStore()
    const content = await put(bytes, Buffer.alloc(0))
    expect(await readBytes(bytes, content)).toHaveLength(0)
    expect(await collect(await readStream(bytes, content))).toHaveLength(0)
    expect(await collect(await readStream(bytes, content, { start: 0, end: 0 }))).toHaveLength(0)
  })

  test.each([
    { start: -1 },
    { end: -1 },
    { start: 2, end: 1 },
    { start: 0.5 },
    { start: Number.NaN },
    { end: 2 ** 60 },
  ])('%o is refused', async (range) => {
    const bytes = new MemoryBytes()
    const content = await put(bytes, Buffer.from('12345'))
    await expect(readStream(bytes, content, range)).rejects.toMatchObject({ code: 'INVALID_INPUT' })
  })
})

describe('damage', () => {
  type Damage = (path: string, data: Buffer) => void
  const outside = () => join(temporaryDirectory('outside'), 'file')
  const damages: Record<string, { code: string; inflict: Damage }> = {
    'cut short': { code: 'BLOB_CORRUPTED', inflict: (path, data) => truncateSync(path, data.length - 1) },
    emptied: { code: 'BLOB_CORRUPTED', inflict: (path) => truncateSync(path, 0) },
    'grown longer': { code: 'BLOB_CORRUPTED', inflict: (path) => writeFileSync(path, 'x', { flag: 'a' }) },
    'altered in one bit': {
      code: 'BLOB_CORRUPTED',
      inflict: (path, data) =>
        writeFileSync(
          path,
          data.map((byte, i) => (i === data.length - 1 ? byte ^ 1 : byte)),
        ),
    },
    'replaced by other bytes of its length': {
      code: 'BLOB_CORRUPTED',
      inflict: (path, data) => writeFileSync(path, randomBytes(data.length)),
    },
    removed: { code: 'BLOB_NOT_FOUND', inflict: (path) => rmSync(path) },
    'replaced by a link to its own bytes': {
      code: 'BLOB_NOT_FOUND',
      inflict: (path, data) => {
        const target = outside()
        writeFileSync(target, data)
        rmSync(path)
        symlinkSync(target, path)
      },
    },
    'replaced by a pipe': {
      code: 'BLOB_NOT_FOUND',
      inflict: (path) => {
        rmSync(path)
        execFileSync('mkfifo', [path])
      },
    },
  }

  for (const [name, { code, inflict }] of Object.entries(damages)) {
    for (const size of [100, 3 * CHUNK]) {
      test(`${name}, ${size} bytes: never wrong bytes, and the same content heals it`, async () => {
        const { bytes, storePath } = await openStore()
        const data = randomBytes(size)
        const content = await put(bytes, data)
        const descriptors = openDescriptors()

        inflict(bytes.path(content.hash), data)
        await expect(readBytes(bytes, content)).rejects.toMatchObject({ code })
        const aside = readdirSync(join(storePath, 'quarantine'))
        expect(aside).toHaveLength(code === 'BLOB_CORRUPTED' ? 1 : 0)
        await expect(readBytes(bytes, content)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
        expect(await put(bytes, data)).toEqual(content)
        expect(sha256(await readBytes(bytes, content))).toBe(content.hash)

        inflict(bytes.path(content.hash), data)
        const { received, error } = await drain(bytes, content)
        expect(error).toMatchObject({ code })
        expect(received).toBeLessThan(size)
        await put(bytes, data)
        expect(sha256(await collect(await readStream(bytes, content)))).toBe(content.hash)
        expect(openDescriptors()).toBe(descriptors)
      })
    }
  }

  test('read without a look at the hash, altered bytes come back as if they were right', async () => {
    const { bytes } = await openStore()
    const content = await put(bytes, Buffer.from('right'))
    writeFileSync(bytes.path(content.hash), 'wrong')
    expect(readFileSync(bytes.path(content.hash), 'utf8')).toBe('wrong')
    await expect(readBytes(bytes, content)).rejects.toMatchObject({ code: 'BLOB_CORRUPTED' })
  })

  test('a file cut short while it is streamed fails the stream', async () => {
    const { bytes } = await openStore()
    const content = await put(bytes, randomBytes(20 * CHUNK))
    const chunks = (await readStream(bytes, content))[Symbol.asyncIterator]()
    await chunks.next()
    truncateSync(bytes.path(content.hash), 10 * CHUNK)
    const rest = async () => {
      while (!(await chunks.next()).done);
    }
    await expect(rest()).rejects.toMatchObject({ code: 'BLOB_CORRUPTED' })
  })

  test('a range of a file of another length is refused', async () => {
    const { bytes } = await openStore()
    const content = await put(bytes, randomBytes(1000))
    truncateSync(bytes.path(content.hash), 999)
    await expect(collect(await readStream(bytes, content, { end: 10 }))).rejects.toMatchObject({
      code: 'BLOB_CORRUPTED',
    })
  })

  test('a wrong size in the record does not condemn a sound object', async () => {
    const { bytes, storePath } = await openStore()
    const content = await put(bytes, Buffer.from('sound'))
    await expect(readBytes(bytes, { ...content, size: 4 })).rejects.toMatchObject({ code: 'BLOB_CORRUPTED' })
    expect(readdirSync(join(storePath, 'quarantine'))).toEqual([])
    expect((await readBytes(bytes, content)).toString()).toBe('sound')
  })

  test('a directory in the place of an object is nothing, and a put says what is in the way', async () => {
    const { bytes } = await openStore()
    const content = await put(bytes, Buffer.from('x'))
    rmSync(bytes.path(content.hash))
    mkdirSync(bytes.path(content.hash))
    await expect(readBytes(bytes, content)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
    await expect(put(bytes, Buffer.from('x'))).rejects.toMatchObject({ details: { errno: 'EISDIR' } })
  })

  test('what a put heals between the look and the move does not stay in quarantine', async () => {
    const data = Buffer.from('healed in time')
    const { bytes: healer, storePath } = await openStore()
    const { bytes } = await openStore(async (step) => {
      if (step === 'quarantine.rename') await put(healer, data)
    }, storePath)
    const content = await put(bytes, data)
    writeFileSync(bytes.path(content.hash), 'damaged')
    expect(await bytes.quarantine(content.hash)).toBe(false)
    expect(await readBytes(bytes, content)).toEqual(data)
    expect(readdirSync(join(storePath, 'quarantine'))).toEqual([])
    expect(readdirSync(dirname(bytes.path(content.hash)))).toEqual([content.hash])
  })
})

describe('streams', () => {
  test('what is not there fails before there is a stream', async () => {
    const { bytes } = await openStore()
    const content = await put(bytes, Buffer.from('gone'))
    await bytes.remove(content.hash)
    await expect(readStream(bytes, content)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
  })

  test('a consumer that does not read stops the reading', async () => {
    let chunks = 0
    const { bytes } = await openStore((step) => {
      if (step === 'read.chunk') chunks += 1
    })
    const content = await put(bytes, randomBytes(40 * CHUNK))
    const stream = await readStream(bytes, content)
    await new Promise((resolve) => stream.once('readable', resolve))
    await sleep(100)
    expect(chunks).toBeLessThanOrEqual(2)
    await collect(stream)
    expect(chunks).toBe(40)
  })

  test('destroyed, or never read, a stream holds no descriptor', async () => {
    const { bytes } = await openStore()
    const content = await put(bytes, randomBytes(10 * CHUNK))
    const before = openDescriptors()
    const stream = await readStream(bytes, content)
    await new Promise((resolve) => stream.once('readable', resolve))
    expect(openDescriptors()).toBe(before + 1)
    stream.destroy()
    await readStream(bytes, content)
    await sleep(50)
    expect(openDescriptors()).toBe(before)
  })
})

/** How many bytes a stream gives before it fails, and what it fails with. */
async function drain(bytes: LocalBytes, content: { hash: string; size: number }) {
  let received = 0
  try {
    for await (const chunk of await readStream(bytes, content)) received += chunk.length
    return { received, error: undefined }
  } catch (error) {
    return { received, error }
  }
}
