import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { isAbsolute } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import type { BytesBackend, Location } from '../blobs/bytes/backend.ts'
import { type ContractCase, eachInput } from './contract.ts'
import { type BytesContractOptions, damageCases } from './damage-contract.ts'
import { stagingCases } from './staging-contract.ts'
import { CHUNK, from, GENERATION, inOrder, list, NO_LIMIT, placeOf, put, read, sha256 } from './stored-bytes.ts'

/** The size of the object that ranges are read from. */
const RANGE_OBJECT = 2 * CHUNK + 100
const HASH = createHash('sha256').update('x').digest('hex')
/** More objects than one answer of a bucket lists. */
const MANY = 1_100
const URL_OPTIONS = { expiresSeconds: 60, disposition: 'attachment; filename="a b.txt"', mimeType: 'text/plain' }

/**
 * Returns what every backend for the bytes of blobs must do, as cases for any test runner. Each case calls `open` once,
 * expects an empty backend, and closes it. Some cases damage an object: by its `path()` if the backend has files, else by
 * `options.damage`. A backend of the type 'in-memory' may do without.
 *
 * @example
 * ```ts
 * import type { BytesBackend } from 'holdfast'
 * import { bytesContract } from 'holdfast/testing'
 * const casesFor = (open: () => Promise<BytesBackend>) => bytesContract(open)
 * // in a test runner: for (const { name, run } of casesFor(() => MyBytes.open(newBucket()))) test(name, run)
 * ```
 */
export function bytesContract<Backend extends BytesBackend>(
  open: () => Promise<Backend>,
  options: BytesContractOptions<Backend> = {},
): ContractCase[] {
  const cases: Record<string, (bytes: BytesBackend) => Promise<void>> = {
    ...stagingCases(),

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
      await bytes.removeMany(gone.slice(0, 5))
      await bytes.removeMany(gone)
      await bytes.removeMany(gone)
      assert.deepEqual(await list(bytes), kept && [placeOf(kept)])
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
      await assert.rejects(read(bytes, { ...location, size: 6 }, 2, 2), { code: 'BLOB_CORRUPTED' })
    },

    'size(), quarantine() and remove() do not compare the size': async (bytes) => {
      const location = await put(bytes, [Buffer.from('12345')])
      const other = { ...location, size: 6 }
      assert.equal(await bytes.size(other), 5)
      assert.equal(await bytes.quarantine(other), false)
      assert.equal((await read(bytes, location)).toString(), '12345')
      assert.equal(await bytes.remove(other), true)
      assert.deepEqual(await list(bytes), [])
    },

    'remove() returns true once, and later calls do not find the object': async (bytes) => {
      const content = await put(bytes, [Buffer.from('here')])
      assert.equal(await bytes.remove(content), true)
      assert.equal(await bytes.remove(content), false)
      assert.equal(await bytes.size(content), undefined)
      assert.equal(await bytes.quarantine(content), false)
      assert.deepEqual(await list(bytes), [])
      await assert.rejects(read(bytes, content), { code: 'BLOB_NOT_FOUND' })
      await assert.rejects(read(bytes, content, 2, 2), { code: 'BLOB_NOT_FOUND' })
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

    [`list() yields all of ${MANY} objects`]: async (bytes) => {
      let next = 0
      const putSome = async () => {
        while (next < MANY) await put(bytes, [Buffer.from(`object ${next++}`)])
      }
      await Promise.all(Array.from({ length: 16 }, putSome))
      const found = await list(bytes)
      assert.deepEqual([found.length, new Set(found.map(({ hash }) => hash)).size], [MANY, MANY])
    },

    'quarantine() returns false and leaves an undamaged object in place': async (bytes) => {
      const content = await put(bytes, [Buffer.from('sound')])
      assert.equal(await bytes.quarantine(content), false)
      assert.equal((await read(bytes, content)).toString(), 'sound')
      for await (const { hash } of bytes.quarantined?.() ?? []) assert.notEqual(hash, content.hash)
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
      await sleep(20)
      assert.deepEqual(await bytes.storedAt(location), storedAt)
      assert.equal(await bytes.storedAt({ ...location, generation: GENERATION }), undefined)
    },

    'path() returns undefined, or the absolute path of a file with the bytes': async (bytes) => {
      const data = randomBytes(1000)
      const path = bytes.path(await put(bytes, [data]))
      if (path === undefined) return
      assert.ok(isAbsolute(path), path)
      assert.ok((await readFile(path)).equals(data))
    },

    'url(), if there is one, lets anybody read the object, as its options say, until it expires': async (bytes) => {
      if (bytes.url === undefined) return
      const data = randomBytes(1000)
      const location = await put(bytes, [data])
      const brief = await bytes.url(location, { ...URL_OPTIONS, expiresSeconds: 1 })
      const answer = await get(await bytes.url(location, URL_OPTIONS))
      assert.ok(answer.body.equals(data), `the answer with status ${answer.status} has other bytes`)
      assert.equal(answer.headers.get('content-disposition'), URL_OPTIONS.disposition)
      assert.match(answer.headers.get('content-type') ?? '', /^text\/plain\b/)
      await sleep(2100) // a server may count whole seconds
      const late = await get(brief)
      assert.ok(late.status >= 400, `the URL is over, and the status is ${late.status}`)
      assert.equal(late.body.includes(data), false)
    },

    'ping() resolves': (bytes) => bytes.ping(),
  }
  const runCase = async (body: (bytes: Backend) => Promise<void>) => {
    const bytes = await open()
    try {
      await body(bytes)
    } finally {
      await bytes.close?.()
    }
  }
  return Object.entries({ ...cases, ...damageCases(options) }).map(([name, body]) => ({
    name,
    run: () => runCase(body),
  }))
}

async function get(url: string): Promise<{ status: number; headers: Headers; body: Buffer }> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(10_000) })
  return { status: answer.status, headers: answer.headers, body: Buffer.from(await answer.arrayBuffer()) }
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
  if (bytes.removeMany) await assert.rejects(async () => bytes.removeMany?.([location]), invalid)
  if (bytes.url) await assert.rejects(async () => bytes.url?.(location, URL_OPTIONS), invalid)
}
