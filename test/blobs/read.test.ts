import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Location } from '../../src/blobs/bytes/backend.ts'
import type { LocalBytes } from '../../src/blobs/bytes/local.ts'
import { MemoryBytes } from '../../src/blobs/bytes/memory.ts'
import { type ByteRange, rangeSchema } from '../../src/blobs/types.ts'
import { parseInput } from '../../src/validation/input.ts'
import { temporaryDirectory } from '../setup/temporary.ts'
import { collect, openDescriptors, openStore, put, readBytes, readStream, sha256, writable } from './fixture.ts'

const CHUNK = 128 * 1024

describe('ranges', () => {
  it.each([
    ['in-memory', async () => new MemoryBytes()],
    ['local', async () => (await openStore()).bytes],
  ])('readStream() includes both ends of a range, as fs.createReadStream and HTTP do, %s', async (_, open) => {
    const data = randomBytes(CHUNK + 10)
    const bytes = await open()
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
  })

  it('readBytes() and readStream() return nothing when the blob is empty', async () => {
    const { bytes } = await openStore()
    const content = await put(bytes, Buffer.alloc(0))
    expect(await readBytes(bytes, content)).toHaveLength(0)
    expect(await collect(await readStream(bytes, content))).toHaveLength(0)
    expect(await collect(await readStream(bytes, content, { start: 0, end: 0 }))).toHaveLength(0)
  })

  it.each([{ start: -1 }, { end: -1 }, { start: 2, end: 1 }, { start: 0.5 }, { start: Number.NaN }, { end: 2 ** 60 }])(
    'the range %o is rejected',
    (range) => {
      expect(() => parseInput(rangeSchema, range, 'range')).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }))
    },
  )
})

describe('damage', () => {
  type Damage = (path: string, data: Buffer) => void
  const outside = () => join(temporaryDirectory('outside'), 'file')
  const damages: Record<string, { code: string; inflict: Damage }> = {
    truncated: { code: 'BLOB_CORRUPTED', inflict: (path, data) => truncateSync(path, data.length - 1) },
    emptied: { code: 'BLOB_CORRUPTED', inflict: (path) => truncateSync(path, 0) },
    'extended by a byte': { code: 'BLOB_CORRUPTED', inflict: (path) => writeFileSync(path, 'x', { flag: 'a' }) },
    'changed in one bit': {
      code: 'BLOB_CORRUPTED',
      inflict: (path, data) =>
        writeFileSync(
          path,
          data.map((byte, i) => (i === data.length - 1 ? byte ^ 1 : byte)),
        ),
    },
    'replaced by other bytes of the same length': {
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
      it(`an object of ${size} bytes that was ${name} is never returned, and a put heals it`, async () => {
        const { bytes, storePath } = await openStore()
        const data = randomBytes(size)
        const content = await put(bytes, data)
        const descriptors = openDescriptors()

        inflict(writable(bytes.path(content)), data)
        await expect(readBytes(bytes, content)).rejects.toMatchObject({ code })
        const aside = readdirSync(join(storePath, 'quarantine'))
        expect(aside).toHaveLength(code === 'BLOB_CORRUPTED' ? 1 : 0)
        await expect(readBytes(bytes, content)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
        expect(await put(bytes, data)).toEqual(content)
        expect(sha256(await readBytes(bytes, content))).toBe(content.hash)

        inflict(writable(bytes.path(content)), data)
        const { received, error } = await drain(bytes, content)
        expect(error).toMatchObject({ code })
        expect(received).toBeLessThan(size)
        await put(bytes, data)
        expect(sha256(await collect(await readStream(bytes, content)))).toBe(content.hash)
        expect(openDescriptors()).toBe(descriptors)
      })
    }
  }

  it('readBytes() rejects changed bytes of the same length, which a read without a hash returns', async () => {
    const { bytes } = await openStore()
    const content = await put(bytes, Buffer.from('right'))
    writeFileSync(writable(bytes.path(content)), 'wrong')
    expect(readFileSync(bytes.path(content), 'utf8')).toBe('wrong')
    await expect(readBytes(bytes, content)).rejects.toMatchObject({ code: 'BLOB_CORRUPTED' })
  })

  it('readStream() fails when the file is truncated meanwhile', async () => {
    const { bytes } = await openStore()
    const content = await put(bytes, randomBytes(20 * CHUNK))
    const chunks = (await readStream(bytes, content))[Symbol.asyncIterator]()
    await chunks.next()
    truncateSync(writable(bytes.path(content)), 10 * CHUNK)
    const rest = async () => {
      while (!(await chunks.next()).done);
    }
    await expect(rest()).rejects.toMatchObject({ code: 'BLOB_CORRUPTED' })
  })

  it('readStream() rejects a range when the file has another length', async () => {
    const { bytes } = await openStore()
    const content = await put(bytes, randomBytes(1000))
    truncateSync(writable(bytes.path(content)), 999)
    await expect(collect(await readStream(bytes, content, { end: 10 }))).rejects.toMatchObject({
      code: 'BLOB_CORRUPTED',
    })
  })

  it('readBytes() does not quarantine an intact object when the size in the record is wrong', async () => {
    const { bytes, storePath } = await openStore()
    const content = await put(bytes, Buffer.from('sound'))
    await expect(readBytes(bytes, { ...content, size: 4 })).rejects.toMatchObject({ code: 'BLOB_CORRUPTED' })
    expect(readdirSync(join(storePath, 'quarantine'))).toEqual([])
    expect((await readBytes(bytes, content)).toString()).toBe('sound')
  })

  it('a directory in place of an object is not found, and a put fails with EISDIR', async () => {
    const { bytes } = await openStore()
    const content = await put(bytes, Buffer.from('x'))
    rmSync(bytes.path(content))
    mkdirSync(bytes.path(content))
    await expect(readBytes(bytes, content)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
    await expect(put(bytes, Buffer.from('x'))).rejects.toMatchObject({ details: { errno: 'EISDIR' } })
  })
})

describe('streams', () => {
  it('readStream() rejects with BLOB_NOT_FOUND when the bytes do not exist', async () => {
    const { bytes } = await openStore()
    const content = await put(bytes, Buffer.from('gone'))
    await bytes.remove(content)
    await expect(readStream(bytes, content)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
  })

  it('readStream() reads at most two chunks ahead of its consumer', async () => {
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

  it('a stream holds no file descriptor when it is destroyed or was never read', async () => {
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

/** Returns the number of bytes that a stream yields before it fails, and its error. */
async function drain(bytes: LocalBytes, content: Location) {
  let received = 0
  try {
    for await (const chunk of await readStream(bytes, content)) received += chunk.length
    return { received, error: undefined }
  } catch (error) {
    return { received, error }
  }
}
