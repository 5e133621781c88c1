import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import type { BytesBackend, Location, Staged } from '../blobs/bytes/backend.ts'
import { type ContractCase, eachInput } from './contract.ts'

const CHUNK = 128 * 1024
/** The size of the object that ranges are read from. */
const RANGE_OBJECT = 2 * CHUNK + 100
const HASH = createHash('sha256').update('x').digest('hex')
const GENERATION = '0123456789abcdef'
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
        assert.equal(await bytes.size(staged), size)
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
      assert.equal(staged.hash, sha256(data))
      assert.ok((await read(bytes, await commit(staged))).equals(data))
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
      const location = { hash: staged.hash, size: staged.size, generation: GENERATION }
      assert.equal(await bytes.size(location), undefined)
      assert.equal((await bytes.has?.(location)) ?? false, false)
      await assert.rejects(read(bytes, location), { code: 'BLOB_NOT_FOUND' })
      assert.deepEqual(await list(bytes), [])
      await staged.discard()
      await staged.discard()
      await assert.rejects(staged.commit(GENERATION), { code: 'INVALID_STATE' })
      assert.deepEqual(await list(bytes), [])
      await assertNothingStaged(bytes)
    },

    'commit() may be repeated, and discard() does nothing after it': async (bytes) => {
      const staged = await bytes.stage(from([Buffer.from('twice')]), NO_LIMIT)
      const location = await commit(staged)
      await staged.commit(location.generation)
      await staged.discard()
      assert.equal((await read(bytes, location)).toString(), 'twice')
      await assertNothingStaged(bytes)
    },

    'commit() stores an object for each generation when 8 calls commit the same content at once': async (bytes) => {
      const data = randomBytes(10_000)
      const all = await Promise.all(Array.from({ length: 8 }, () => put(bytes, [data])))
      assert.deepEqual(await list(bytes), all.map(placeOf).sort(inOrder))
      for (const location of all) assert.ok((await read(bytes, location)).equals(data))
      await assertNothingStaged(bytes)
    },

    'commit() stores an object without a generation, as the first version did': async (bytes) => {
      const data = randomBytes(1000)
      const [old, young] = [await put(bytes, [data], ''), await put(bytes, [data])]
      assert.deepEqual(await list(bytes), [placeOf(old), placeOf(young)])
      assert.ok((await read(bytes, old)).equals(data))
      assert.equal(await bytes.remove(old), true)
      assert.ok((await read(bytes, young)).equals(data))
    },

    'remove() of one generation leaves the others, however late it comes': async (bytes) => {
      const data = randomBytes(1000)
      const first = await put(bytes, [data])
      assert.equal(await bytes.remove(first), true)
      const second = await put(bytes, [data])
      assert.equal(await bytes.remove(first), false)
      await bytes.removeMany?.([first])
      assert.equal(await bytes.quarantine(first), false)
      assert.equal(await bytes.size(first), undefined)
      await assert.rejects(read(bytes, first), { code: 'BLOB_NOT_FOUND' })
      assert.ok((await read(bytes, second)).equals(data))
    },

    'has(), if there is one, finds an object of its generation': async (bytes) => {
      if (bytes.has === undefined) return
      const location = await put(bytes, [Buffer.from('here')])
      assert.equal(await bytes.has(location), true)
      assert.equal(await bytes.has({ ...location, generation: GENERATION }), false)
      assert.equal(await bytes.has({ ...location, size: 5 }), false)
      await bytes.remove(location)
      assert.equal(await bytes.has(location), false)
    },

    'removeMany(), if there is one, removes these objects, and may be repeated': async (bytes) => {
      if (bytes.removeMany === undefined) return
      const all = await Promise.all(Array.from({ length: 20 }, (_, i) => put(bytes, [Buffer.alloc(i, 'm')])))
      const [kept, ...gone] = all
      await bytes.removeMany([])
      await bytes.removeMany(gone)
      await bytes.removeMany(gone)
      assert.deepEqual(await list(bytes), kept && [placeOf(kept)])
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

    'stage() rejects with the reason of its signal, stops the source and leaves nothing': async (bytes) => {
      const abort = new AbortController()
      const reason = new Error('nobody waits')
      let stopped = false
      async function* endless() {
        try {
          for (let i = 0; ; i++) {
            if (i === 5) abort.abort(reason)
            yield Buffer.alloc(1000)
          }
        } finally {
          stopped = true
        }
      }
      const staging = bytes.stage(endless(), { ...NO_LIMIT, signal: abort.signal })
      await assert.rejects(staging, (error) => error === reason)
      assert.ok(stopped)
      assert.deepEqual(await list(bytes), [])
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
      assert.equal(await bytes.remove(content), true)
    },

    'open() rejects with BLOB_CORRUPTED if the object has another size than expected': async (bytes) => {
      const location = await put(bytes, [Buffer.from('12345')])
      await assert.rejects(read(bytes, { ...location, size: 6 }), { code: 'BLOB_CORRUPTED' })
      await assert.rejects(read(bytes, { ...location, size: 4 }, 0, 2), { code: 'BLOB_CORRUPTED' })
    },

    'remove() returns true once, and later calls do not find the object': async (bytes) => {
      const content = await put(bytes, [Buffer.from('here')])
      assert.equal(await bytes.remove(content), true)
      assert.equal(await bytes.remove(content), false)
      assert.equal(await bytes.size(content), undefined)
      assert.equal(await bytes.quarantine(content), false)
      assert.deepEqual(await list(bytes), [])
      await assert.rejects(read(bytes, content), { code: 'BLOB_NOT_FOUND' })
    },

    'list() yields every object once, in order, and goes on behind a place': async (bytes) => {
      const all = await Promise.all(Array.from({ length: 40 }, (_, i) => put(bytes, [Buffer.alloc(i % 20, 'x')])))
      const expected = all.map(placeOf).sort(inOrder)
      assert.deepEqual(await list(bytes), expected)
      for (const [i, after] of expected.entries()) {
        if (i % 7 === 0) assert.deepEqual(await list(bytes, after), expected.slice(i + 1))
      }
      const last = expected.at(-1)
      assert.deepEqual(await list(bytes, last), [])
      if (last) await bytes.remove(last)
      assert.deepEqual(await list(bytes, last), [])
    },

    'quarantine() returns false and leaves an undamaged object in place': async (bytes) => {
      const content = await put(bytes, [Buffer.from('sound')])
      assert.equal(await bytes.quarantine(content), false)
      assert.equal((await read(bytes, content)).toString(), 'sound')
    },

    'sweepStaged() leaves objects and younger staged contents alone': async (bytes) => {
      const content = await put(bytes, [Buffer.from('object')])
      const staged = await bytes.stage(from([Buffer.from('under way')]), NO_LIMIT)
      assert.equal(await bytes.sweepStaged(new Date(Date.now() - 60_000)), 0)
      assert.equal((await read(bytes, await commit(staged))).toString(), 'under way')
      await bytes.sweepStaged(new Date(Date.now() + 60_000))
      assert.equal((await read(bytes, content)).toString(), 'object')
    },

    ...eachInput<string, BytesBackend>(
      ['', '../../etc/passwd', '/etc/passwd', `${HASH}/..`, HASH.toUpperCase(), `${HASH}\0`, `${HASH}\n`],
      (hash) => `every call rejects the hash ${inspect(hash)}`,
      async (hash, bytes) => {
        await assertInvalid(bytes, { hash, size: 1, generation: '' })
      },
    ),

    ...eachInput<string, BytesBackend>(
      ['0', '../../etc/passwd', `${GENERATION}0`, GENERATION.toUpperCase(), `${GENERATION}\n`],
      (generation) => `every call rejects the generation ${inspect(generation)}`,
      async (generation, bytes) => {
        await assertInvalid(bytes, { hash: HASH, size: 1, generation })
        const staged = await bytes.stage(from([Buffer.from('x')]), NO_LIMIT)
        await assert.rejects(staged.commit(generation), { code: 'INVALID_INPUT' })
        await staged.discard()
      },
    ),

    'storedAt(), if there is one, returns when an object was staged': async (bytes) => {
      if (bytes.storedAt === undefined) return
      const before = Date.now()
      const location = await put(bytes, [Buffer.from('when')])
      const storedAt = await bytes.storedAt(location)
      assert.ok(storedAt && Math.abs(storedAt.getTime() - before) < 3_600_000, `stored at ${storedAt}`)
      assert.equal(await bytes.storedAt({ ...location, generation: GENERATION }), undefined)
    },

    'ping() resolves': (bytes) => bytes.ping(),
  }
  return Object.entries(cases).map(([name, run]) => ({ name, run: async () => run(await open()) }))
}

async function put(bytes: BytesBackend, chunks: Uint8Array[], generation?: string): Promise<Location & Staged> {
  const staged = await bytes.stage(from(chunks), NO_LIMIT)
  return { ...staged, ...(await commit(staged, generation)) }
}

async function commit(staged: Staged, generation = randomBytes(8).toString('hex')): Promise<Location> {
  await staged.commit(generation)
  return { hash: staged.hash, size: staged.size, generation }
}

async function read(bytes: BytesBackend, location: Location, start?: number, end?: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes.open(location, start, end)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function list(bytes: BytesBackend, after?: Location): Promise<Location[]> {
  const locations: Location[] = []
  for await (const location of after ? bytes.list({ after }) : bytes.list()) locations.push(location)
  return locations
}

async function assertNothingStaged(bytes: BytesBackend): Promise<void> {
  assert.equal(await bytes.sweepStaged(new Date(Date.now() + 60_000), { dryRun: true }), 0, 'something was left staged')
}

async function assertInvalid(bytes: BytesBackend, location: Location): Promise<void> {
  const invalid = { code: 'INVALID_INPUT' }
  await assert.rejects(read(bytes, location), invalid)
  await assert.rejects(async () => bytes.size(location), invalid)
  await assert.rejects(async () => bytes.remove(location), invalid)
  await assert.rejects(async () => bytes.quarantine(location), invalid)
  assert.throws(() => bytes.path(location), invalid)
  if (bytes.has) await assert.rejects(async () => bytes.has?.(location), invalid)
  if (bytes.storedAt) await assert.rejects(async () => bytes.storedAt?.(location), invalid)
}

async function* from(chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}

const placeOf = ({ hash, size, generation }: Location): Location => ({ hash, size, generation })

const inOrder = (a: Location, b: Location) => (`${a.hash}.${a.generation}` < `${b.hash}.${b.generation}` ? -1 : 1)

const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')
