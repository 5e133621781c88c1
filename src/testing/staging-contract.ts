import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { BytesBackend } from '../blobs/bytes/backend.ts'
import { eachInput } from './contract.ts'
import {
  assertNothingStaged,
  CHUNK,
  commit,
  from,
  GENERATION,
  inOrder,
  list,
  NO_LIMIT,
  placeOf,
  put,
  read,
  sha256,
} from './stored-bytes.ts'

/** Returns what `stage`, `commit` and `discard` of every backend for the bytes of blobs must do. */
export function stagingCases(): Record<string, (bytes: BytesBackend) => Promise<void>> {
  return {
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

    'discard() of one staging leaves another one of the same content': async (bytes) => {
      const [first, second] = await Promise.all(
        [0, 1].map(() => bytes.stage(from([Buffer.from('the same')]), NO_LIMIT)),
      )
      await first?.discard()
      assert.ok(second)
      assert.equal((await read(bytes, await commit(second))).toString(), 'the same')
    },

    'commit() with an aborted signal resolves or rejects with its reason, and may be repeated': async (bytes) => {
      const reason = new Error('nobody waits')
      const staged = await bytes.stage(from([Buffer.from('after all')]), NO_LIMIT)
      await staged.commit(GENERATION, { signal: AbortSignal.abort(reason) }).catch((error) => {
        assert.equal(error, reason)
      })
      assert.equal((await read(bytes, await commit(staged, GENERATION))).toString(), 'after all')
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

    'stage() rejects with the reason of a signal that was aborted before': async (bytes) => {
      const reason = new Error('nobody waits')
      const options = { ...NO_LIMIT, signal: AbortSignal.abort(reason) }
      await assert.rejects(bytes.stage(from([Buffer.from('late')]), options), (error) => error === reason)
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

    'sweepStaged() leaves objects and younger staged contents alone': async (bytes) => {
      const content = await put(bytes, [Buffer.from('object')])
      const staged = await bytes.stage(from([Buffer.from('under way')]), NO_LIMIT)
      assert.equal(await bytes.sweepStaged(new Date(Date.now() - 60_000)), 0)
      assert.equal((await read(bytes, await commit(staged))).toString(), 'under way')
      await bytes.sweepStaged(new Date(Date.now() + 60_000))
      assert.equal((await read(bytes, content)).toString(), 'object')
    },

    'sweepStaged() only counts in a dry run, and else removes what it counts': async (bytes) => {
      const later = new Date(Date.now() + 60_000)
      const counted = await bytes.stage(from([Buffer.from('counted')]), NO_LIMIT)
      const count = await bytes.sweepStaged(later, { dryRun: true })
      assert.ok(count === 0 || count === 1, `one content is staged, and ${count} are counted`)
      assert.equal((await read(bytes, await commit(counted))).toString(), 'counted')
      const swept = await bytes.stage(from([Buffer.from('swept')]), NO_LIMIT)
      assert.equal(await bytes.sweepStaged(later), count)
      await assertNothingStaged(bytes)
      if (count === 0) assert.equal((await read(bytes, await commit(swept))).toString(), 'swept')
      else await assert.rejects(swept.commit(GENERATION), { code: 'INVALID_STATE' })
    },
  }
}
