import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import type { BytesBackend, Content, Staged } from '../blobs/bytes/backend.ts'
import { type ContractCase, eachInput } from './contract.ts'

const CHUNK = 128 * 1024
/** The size of the object that ranges are read from. */
const RANGE_OBJECT = 2 * CHUNK + 100
const HASH = createHash('sha256').update('x').digest('hex')
const NO_LIMIT = { maxBytes: Number.MAX_SAFE_INTEGER }

/**
 * Returns what every backend for the bytes of blobs must do, as cases for any test runner. Each case calls `open` once and
 * expects an empty backend.
 *
 * @example
 * ```ts
 * import type { BytesBackend } from 'holdfast'
 * import { bytesContract } from 'holdfast/testing'
 * const casesFor = (open: () => Promise<BytesBackend>) => bytesContract(open)
 * // in a test runner: for (const { name, run } of casesFor(() => MyBytes.open(newBucket()))) test(name, run)
 * ```
 */
export function bytesContract(open: () => Promise<BytesBackend>): ContractCase[] {
  const cases: Record<string, (bytes: BytesBackend) => Promise<void>> = {
    ...eachInput<number, BytesBackend>(
      [0, 1, 4095, 4096, 4097, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7],
      (size) => `open() returns the ${size} bytes that were committed`,
      async (size, bytes) => {
        const data = randomBytes(size)
        const staged = await put(bytes, [data])
        assert.equal(staged.size, size)
        assert.equal(staged.hash, sha256(data))
        assert.deepEqual(Buffer.from(staged.head), data.subarray(0, 4096))
        assert.equal(await bytes.size(staged.hash), size)
        assert.ok((await read(bytes, staged)).equals(data))
      },
    ),

    'stage() accepts chunks of any size and a source that reuses its buffer': async (bytes) => {
      const data = randomBytes(2 * CHUNK + 12_345)
      const reused = Buffer.alloc(CHUNK + 1)
      async function* source() {
        for (let at = 0, length = 0; at < data.length; at += length) {
          length = Math.min(at % 3 === 0 ? 1 + (at % 1000) : reused.length, data.length - at)
          data.copy(reused, 0, at, at + length)
          yield reused.subarray(0, length)
          reused.fill(0)
        }
      }
      const staged = await bytes.stage(source(), NO_LIMIT)
      await staged.commit()
      assert.equal(staged.hash, sha256(data))
      assert.ok((await read(bytes, staged)).equals(data))
    },

    'open() returns copies: neither the source nor a reader changes an object': async (bytes) => {
      const data = randomBytes(5000)
      const before = Buffer.from(data)
      const content = await put(bytes, [data])
      data.fill(0)
      content.head.fill(0)
      for await (const chunk of bytes.open(content)) chunk.fill(0)
      assert.ok((await read(bytes, content)).equals(before))
    },

    'open() does not reuse the chunks that it has yielded': async (bytes) => {
      const data = randomBytes(5 * CHUNK + 1)
      const content = await put(bytes, [data])
      const kept: Uint8Array[] = []
      for await (const chunk of bytes.open(content)) kept.push(chunk)
      assert.ok(Buffer.concat(kept).equals(data))
    },

    'open(), size() and list() show nothing before commit() and after discard()': async (bytes) => {
      const staged = await bytes.stage(from([Buffer.from('secret')]), NO_LIMIT)
      assert.equal(await bytes.size(staged.hash), undefined)
      await assert.rejects(read(bytes, staged), { code: 'BLOB_NOT_FOUND' })
      assert.deepEqual(await list(bytes), [])
      await staged.discard()
      await staged.discard()
      await assert.rejects(staged.commit(), { code: 'INVALID_STATE' })
      assert.deepEqual(await list(bytes), [])
      await assertNothingStaged(bytes)
    },

    'commit() may be repeated, and discard() does nothing after it': async (bytes) => {
      const staged = await bytes.stage(from([Buffer.from('twice')]), NO_LIMIT)
      await staged.commit()
      await staged.commit()
      await staged.discard()
      assert.equal((await read(bytes, staged)).toString(), 'twice')
      await assertNothingStaged(bytes)
    },

    'commit() stores one object when 8 calls commit the same content at once': async (bytes) => {
      const data = randomBytes(10_000)
      const all = await Promise.all(Array.from({ length: 8 }, () => put(bytes, [data])))
      assert.deepEqual(await list(bytes), [{ hash: sha256(data), size: data.length }])
      for (const content of all) assert.ok((await read(bytes, content)).equals(data))
      await assertNothingStaged(bytes)
    },

    'stage() keeps contents apart when 24 calls run at once': async (bytes) => {
      const all = Array.from({ length: 24 }, (_, i) => Buffer.alloc(i * 30_000 + 1, randomBytes(64)))
      const contents = await Promise.all(all.map((data) => put(bytes, [data.subarray(0, 9), data.subarray(9)])))
      const back = await Promise.all(contents.map((content) => read(bytes, content)))
      back.forEach((data, i) => {
        assert.equal(sha256(data), sha256(all[i] ?? Buffer.alloc(0)))
      })
    },

    'stage() rejects with BLOB_TOO_LARGE, stops the source and leaves nothing if it yields more than maxBytes': async (
      bytes,
    ) => {
      const data = randomBytes(CHUNK)
      const staged = await bytes.stage(from([data]), { maxBytes: CHUNK })
      await staged.discard()
      let yielded = 0
      let stopped = false
      async function* endless() {
        try {
          for (; ; yielded += 1000) yield Buffer.alloc(1000)
        } finally {
          stopped = true
        }
      }
      await assert.rejects(bytes.stage(endless(), { maxBytes: CHUNK }), { code: 'BLOB_TOO_LARGE' })
      assert.ok(stopped)
      assert.ok(yielded <= CHUNK, `it took ${yielded} bytes`)
      await assertNothingStaged(bytes)
    },

    ...eachInput<number, BytesBackend>(
      [0, 10, CHUNK, 2 * CHUNK + 1],
      (size) =>
        `stage() rejects with the error of the source and leaves nothing if the source fails after ${size} bytes`,
      async (size, bytes) => {
        const failure = new Error('the connection was lost')
        async function* failing() {
          yield Buffer.alloc(size)
          throw failure
        }
        await assert.rejects(bytes.stage(failing(), NO_LIMIT), (error) => error === failure)
        assert.deepEqual(await list(bytes), [])
        await assertNothingStaged(bytes)
      },
    ),

    'stage() asks for one chunk at a time': async (bytes) => {
      let asked = 0
      let open = 0
      const source: AsyncIterable<Uint8Array> = {
        [Symbol.asyncIterator]: () => ({
          async next() {
            open += 1
            assert.equal(open, 1, 'two chunks were asked for at once')
            await new Promise((resolve) => setImmediate(resolve))
            open -= 1
            asked += 1
            return asked > 20 ? { done: true, value: undefined } : { done: false, value: Buffer.alloc(50_000, asked) }
          },
        }),
      }
      const staged = await bytes.stage(source, NO_LIMIT)
      assert.equal(staged.size, 1_000_000)
      await staged.discard()
    },

    ...eachInput<[start: number, end?: number], BytesBackend>(
      [
        [0, 1],
        [0, RANGE_OBJECT],
        [100, 100],
        [CHUNK - 1, CHUNK + 1],
        [1, 2 * CHUNK + 50],
        [RANGE_OBJECT - 1, RANGE_OBJECT],
        [RANGE_OBJECT, RANGE_OBJECT],
        [7],
      ],
      ([start, end]) => `open() returns the bytes from ${start} up to ${end ?? 'the end'}`,
      async ([start, end], bytes) => {
        const data = randomBytes(RANGE_OBJECT)
        const content = await put(bytes, [data])
        assert.ok((await read(bytes, content, start, end)).equals(data.subarray(start, end)))
      },
    ),

    'open() fills the buffer that it is given': async (bytes) => {
      const data = randomBytes(2 * CHUNK + 100)
      const content = await put(bytes, [data])
      const into = Buffer.alloc(2 * CHUNK)
      let at = 0
      for await (const chunk of bytes.open(content, 50, 50 + into.length, into)) {
        assert.equal(chunk.buffer, into.buffer)
        assert.equal(chunk.byteOffset, into.byteOffset + at)
        at += chunk.length
      }
      assert.ok(into.equals(data.subarray(50, 50 + into.length)))
    },

    'open() leaves nothing open when a reader stops early': async (bytes) => {
      const content = await put(bytes, [randomBytes(4 * CHUNK)])
      for await (const chunk of bytes.open(content)) {
        assert.ok(chunk.length > 0)
        break
      }
      assert.equal(await bytes.remove(content.hash), true)
    },

    'open() rejects with BLOB_CORRUPTED if the object has another size than expected': async (bytes) => {
      const { hash } = await put(bytes, [Buffer.from('12345')])
      await assert.rejects(read(bytes, { hash, size: 6 }), { code: 'BLOB_CORRUPTED' })
      await assert.rejects(read(bytes, { hash, size: 4 }, 0, 2), { code: 'BLOB_CORRUPTED' })
    },

    'remove() returns true once, and later calls do not find the object': async (bytes) => {
      const content = await put(bytes, [Buffer.from('here')])
      assert.equal(await bytes.remove(content.hash), true)
      assert.equal(await bytes.remove(content.hash), false)
      assert.equal(await bytes.size(content.hash), undefined)
      assert.equal(await bytes.quarantine(content.hash), false)
      await assert.rejects(read(bytes, content), { code: 'BLOB_NOT_FOUND' })
      await put(bytes, [Buffer.from('here')])
      assert.equal((await read(bytes, content)).toString(), 'here')
    },

    'list() yields every object once': async (bytes) => {
      const contents = await Promise.all(Array.from({ length: 40 }, (_, i) => put(bytes, [Buffer.alloc(i, 'x')])))
      const expected = contents.map(({ hash, size }) => ({ hash, size }))
      assert.deepEqual((await list(bytes)).sort(byHash), expected.sort(byHash))
    },

    'quarantine() returns false and leaves an undamaged object in place': async (bytes) => {
      const content = await put(bytes, [Buffer.from('sound')])
      assert.equal(await bytes.quarantine(content.hash), false)
      assert.equal((await read(bytes, content)).toString(), 'sound')
    },

    'setAside(), if there is one, leaves the object readable until drop(), and a later put in place': async (bytes) => {
      const data = Buffer.from('about to go')
      const content = await put(bytes, [data])
      const aside = await bytes.setAside?.(content.hash)
      if (aside === undefined) return
      assert.equal((await read(bytes, content)).toString(), 'about to go')
      assert.equal(await bytes.size(content.hash), data.length)
      await put(bytes, [data])
      await aside.drop()
      await aside.drop()
      assert.equal((await read(bytes, content)).toString(), 'about to go')
      await (await bytes.setAside?.(content.hash))?.drop()
      assert.equal(await bytes.size(content.hash), undefined)
      assert.equal(await bytes.setAside?.(content.hash), undefined)
    },

    'setAside(), if there is one, takes nothing away if putBack() follows': async (bytes) => {
      const data = Buffer.from('back again')
      const content = await put(bytes, [data])
      for (const meanwhile of [async () => {}, () => put(bytes, [data])]) {
        const aside = await bytes.setAside?.(content.hash)
        await meanwhile()
        await aside?.putBack()
        await aside?.putBack()
        assert.equal((await read(bytes, content)).toString(), 'back again')
        const found = (await list(bytes)).filter(({ hash }) => hash === content.hash)
        assert.deepEqual(found, [{ hash: content.hash, size: data.length }])
      }
      assert.equal(await bytes.remove(content.hash), true)
      assert.equal(await bytes.size(content.hash), undefined)
    },

    'sweepStaged() leaves objects and younger staged contents alone': async (bytes) => {
      const content = await put(bytes, [Buffer.from('object')])
      const staged = await bytes.stage(from([Buffer.from('under way')]), NO_LIMIT)
      assert.equal(await bytes.sweepStaged(new Date(Date.now() - 60_000)), 0)
      await staged.commit()
      assert.equal((await read(bytes, staged)).toString(), 'under way')
      await bytes.sweepStaged(new Date(Date.now() + 60_000))
      assert.equal((await read(bytes, content)).toString(), 'object')
    },

    ...eachInput<string, BytesBackend>(
      ['', '../../etc/passwd', '/etc/passwd', `${HASH}/..`, HASH.toUpperCase(), `${HASH}\0`, `${HASH}\n`],
      (hash) => `every call rejects the hash ${inspect(hash)}`,
      async (hash, bytes) => {
        const invalid = { code: 'INVALID_INPUT' }
        await assert.rejects(read(bytes, { hash, size: 1 }), invalid)
        await assert.rejects(async () => bytes.size(hash), invalid)
        await assert.rejects(async () => bytes.remove(hash), invalid)
        await assert.rejects(async () => bytes.quarantine(hash), invalid)
        assert.throws(() => bytes.path(hash), invalid)
      },
    ),

    'ping() resolves': (bytes) => bytes.ping(),
  }
  return Object.entries(cases).map(([name, run]) => ({ name, run: async () => run(await open()) }))
}

async function put(bytes: BytesBackend, chunks: Uint8Array[]): Promise<Staged> {
  const staged = await bytes.stage(from(chunks), NO_LIMIT)
  await staged.commit()
  return staged
}

async function read(bytes: BytesBackend, content: Content, start?: number, end?: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes.open(content, start, end)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function list(bytes: BytesBackend): Promise<Content[]> {
  const contents: Content[] = []
  for await (const content of bytes.list()) contents.push(content)
  return contents
}

async function assertNothingStaged(bytes: BytesBackend): Promise<void> {
  assert.equal(await bytes.sweepStaged(new Date(Date.now() + 60_000), { dryRun: true }), 0, 'something was left staged')
}

async function* from(chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}

const byHash = (a: Content, b: Content) => a.hash.localeCompare(b.hash)

const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')
