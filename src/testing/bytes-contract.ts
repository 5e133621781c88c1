import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { BytesBackend, Content, Staged } from '../blobs/bytes/backend.ts'
import type { ContractCase } from './contract.ts'

const CHUNK = 128 * 1024
const NO_LIMIT = { maxBytes: Number.MAX_SAFE_INTEGER }

/**
 * What every backend for the bytes of blobs must do, as cases for any test runner. `open` gives an empty backend; each
 * case calls it once.
 *
 * ```ts
 * for (const { name, run } of bytesContract(() => MyBytes.open(newBucket()))) test(name, run)
 * ```
 */
export function bytesContract(open: () => Promise<BytesBackend>): ContractCase[] {
  const cases: Record<string, (bytes: BytesBackend) => Promise<void>> = {
    'gives back what was committed, at every size around a chunk': async (bytes) => {
      for (const size of [0, 1, 4095, 4096, 4097, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7]) {
        const data = randomBytes(size)
        const staged = await put(bytes, [data])
        assert.equal(staged.size, size)
        assert.equal(staged.hash, sha256(data))
        assert.deepEqual(Buffer.from(staged.head), data.subarray(0, 4096))
        assert.equal(await bytes.size(staged.hash), size)
        assert.ok((await read(bytes, staged)).equals(data), `${size} bytes came back different`)
      }
    },

    'takes chunks of any size, and a source that reuses its buffer': async (bytes) => {
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

    'keeps its own copy, and gives copies away': async (bytes) => {
      const data = randomBytes(5000)
      const before = Buffer.from(data)
      const content = await put(bytes, [data])
      data.fill(0)
      content.head.fill(0)
      for await (const chunk of bytes.open(content)) chunk.fill(0)
      assert.ok((await read(bytes, content)).equals(before))
    },

    'chunks are the reader’s to keep': async (bytes) => {
      const data = randomBytes(5 * CHUNK + 1)
      const content = await put(bytes, [data])
      const kept: Uint8Array[] = []
      for await (const chunk of bytes.open(content)) kept.push(chunk)
      assert.ok(Buffer.concat(kept).equals(data))
    },

    'shows nothing before it is committed, and nothing after it is discarded': async (bytes) => {
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

    'commit is safe to repeat, and discard does nothing after it': async (bytes) => {
      const staged = await bytes.stage(from([Buffer.from('twice')]), NO_LIMIT)
      await staged.commit()
      await staged.commit()
      await staged.discard()
      assert.equal((await read(bytes, staged)).toString(), 'twice')
      await assertNothingStaged(bytes)
    },

    'the same content is one object, however many put it at once': async (bytes) => {
      const data = randomBytes(10_000)
      const all = await Promise.all(Array.from({ length: 8 }, () => put(bytes, [data])))
      assert.deepEqual(await list(bytes), [{ hash: sha256(data), size: data.length }])
      for (const content of all) assert.ok((await read(bytes, content)).equals(data))
      await assertNothingStaged(bytes)
    },

    'many at once do not mix': async (bytes) => {
      const all = Array.from({ length: 24 }, (_, i) => Buffer.alloc(i * 30_000 + 1, randomBytes(64)))
      const contents = await Promise.all(all.map((data) => put(bytes, [data.subarray(0, 9), data.subarray(9)])))
      const back = await Promise.all(contents.map((content) => read(bytes, content)))
      back.forEach((data, i) => {
        assert.equal(sha256(data), sha256(all[i] ?? Buffer.alloc(0)))
      })
    },

    'exactly maxBytes is allowed; one more is BLOB_TOO_LARGE, stops the source and leaves nothing': async (bytes) => {
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

    'an error of the source is thrown as it is and leaves nothing': async (bytes) => {
      for (const before of [0, 10, CHUNK, 2 * CHUNK + 1]) {
        const failure = new Error('the connection was lost')
        async function* failing() {
          yield Buffer.alloc(before)
          throw failure
        }
        await assert.rejects(bytes.stage(failing(), NO_LIMIT), (error) => error === failure)
      }
      assert.deepEqual(await list(bytes), [])
      await assertNothingStaged(bytes)
    },

    'asks for the next chunk only when it has dealt with the one before': async (bytes) => {
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

    'reads from start up to end': async (bytes) => {
      const data = randomBytes(2 * CHUNK + 100)
      const content = await put(bytes, [data])
      const spans: [number, number][] = [
        [0, 1],
        [0, data.length],
        [100, 100],
        [CHUNK - 1, CHUNK + 1],
        [1, 2 * CHUNK + 50],
        [data.length - 1, data.length],
        [data.length, data.length],
      ]
      for (const [start, end] of spans) {
        assert.ok((await read(bytes, content, start, end)).equals(data.subarray(start, end)), `${start} to ${end}`)
      }
      assert.ok((await read(bytes, content, 7)).equals(data.subarray(7)))
    },

    'reads into a buffer that it is given': async (bytes) => {
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

    'a reader may stop early': async (bytes) => {
      const content = await put(bytes, [randomBytes(4 * CHUNK)])
      for await (const chunk of bytes.open(content)) {
        assert.ok(chunk.length > 0)
        break
      }
      assert.equal(await bytes.remove(content.hash), true)
    },

    'an object of another length is BLOB_CORRUPTED, whole and in part': async (bytes) => {
      const { hash } = await put(bytes, [Buffer.from('12345')])
      await assert.rejects(read(bytes, { hash, size: 6 }), { code: 'BLOB_CORRUPTED' })
      await assert.rejects(read(bytes, { hash, size: 4 }, 0, 2), { code: 'BLOB_CORRUPTED' })
    },

    'what is not there is not found, and removed no more than once': async (bytes) => {
      const content = await put(bytes, [Buffer.from('here')])
      assert.equal(await bytes.remove(content.hash), true)
      assert.equal(await bytes.remove(content.hash), false)
      assert.equal(await bytes.size(content.hash), undefined)
      assert.equal(await bytes.quarantine(content.hash), false)
      await assert.rejects(read(bytes, content), { code: 'BLOB_NOT_FOUND' })
      await put(bytes, [Buffer.from('here')])
      assert.equal((await read(bytes, content)).toString(), 'here')
    },

    'lists every object once': async (bytes) => {
      const contents = await Promise.all(Array.from({ length: 40 }, (_, i) => put(bytes, [Buffer.alloc(i, 'x')])))
      const expected = contents.map(({ hash, size }) => ({ hash, size }))
      assert.deepEqual(sorted(await list(bytes)), sorted(expected))
    },

    'a sound object is not put into quarantine': async (bytes) => {
      const content = await put(bytes, [Buffer.from('sound')])
      assert.equal(await bytes.quarantine(content.hash), false)
      assert.equal((await read(bytes, content)).toString(), 'sound')
    },

    'sweeping leaves objects and what is younger alone': async (bytes) => {
      const content = await put(bytes, [Buffer.from('object')])
      const staged = await bytes.stage(from([Buffer.from('under way')]), NO_LIMIT)
      assert.equal(await bytes.sweepStaged(new Date(Date.now() - 60_000)), 0)
      await staged.commit()
      assert.equal((await read(bytes, staged)).toString(), 'under way')
      await bytes.sweepStaged(new Date(Date.now() + 60_000))
      assert.equal((await read(bytes, content)).toString(), 'object')
    },

    'nothing but a SHA-256 is taken for a hash': async (bytes) => {
      const hash = sha256(Buffer.from('x'))
      const hostile = [
        '',
        '../../etc/passwd',
        '/etc/passwd',
        `${hash}/..`,
        hash.toUpperCase(),
        `${hash}\0`,
        `${hash}\n`,
      ]
      for (const bad of hostile) {
        const refused = { code: 'INVALID_INPUT' }
        await assert.rejects(read(bytes, { hash: bad, size: 1 }), refused)
        await assert.rejects(async () => bytes.size(bad), refused)
        await assert.rejects(async () => bytes.remove(bad), refused)
        await assert.rejects(async () => bytes.quarantine(bad), refused)
        assert.throws(() => bytes.path(bad), refused)
      }
    },

    'answers a ping': (bytes) => bytes.ping(),
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

const sorted = (contents: Content[]) => contents.toSorted((a, b) => a.hash.localeCompare(b.hash))

const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')
