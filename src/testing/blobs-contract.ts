import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { PassThrough, Readable } from 'node:stream'
import { inspect } from 'node:util'
import type { BlobInput } from '../blobs/input/source.ts'
import type { PutBlobOptions } from '../blobs/types.ts'
import { blobCleanupCases } from './blob-cleanup-contract.ts'
import { blobTransactionCases } from './blob-transactions-contract.ts'
import {
  allPages,
  type Cases,
  type ContractCase,
  contractCases,
  eachInput,
  invalid,
  type OpenStorage,
  refused,
  shown,
  times,
} from './contract.ts'

const DAY = 86_400
const ABSENT = '0'.repeat(32)

/**
 * Returns what `storage.blobs` must do, on every blob store and database, as cases for any test runner. Each case calls
 * `open` once and closes the storage. The storages may share one database and blob store. Run one case at a time: cases
 * advance their clocks and compare statistics.
 *
 * @example
 * ```ts
 * import { openStorage } from 'holdfast'
 * import { blobsContract } from 'holdfast/testing'
 * for (const { name, run } of blobsContract((options) => openStorage({}, options))) {
 *   if (name.startsWith('blobs.delete()')) await run() // in a test runner: it(name, run)
 * }
 * ```
 */
export function blobsContract(open: OpenStorage): ContractCase[] {
  return contractCases(open, { blobs: { ...blobCases, ...blobCleanupCases }, 'tx.blobs': blobTransactionCases })
}

const PNG = Buffer.from('89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de', 'hex')

const blobCases: Cases = {
  async 'put() stores bytes that every read returns unchanged'({ storage: { blobs }, name, clock }) {
    const data = Buffer.concat([Buffer.from(`${name()} ü\0`), randomBytes(700_000)])
    const put = await blobs.put(data, { name: 'a.bin', source: name(), metadata: { n: 1 } })
    assert.match(put.id, /^[0-9a-f]{32}$/)
    const { size, mimeType, createdAt, expiresAt } = put
    assert.deepEqual([put.uri, size, createdAt, expiresAt], [`blob:${put.id}`, data.length, clock.now(), null])
    assert.equal(mimeType, 'application/octet-stream')
    for (const reference of [put.id, put.uri]) {
      assert.deepEqual(await blobs.get(reference), put)
      assert.equal(await blobs.exists(reference), true)
      assert.ok((await blobs.bytes(reference)).equals(data))
      assert.equal(await blobs.text(reference), data.toString())
      assert.equal(await blobs.base64(reference), data.toString('base64'))
      assert.equal(await blobs.dataUri(reference), `data:${mimeType};base64,${data.toString('base64')}`)
      assert.ok((await read(await blobs.stream(reference))).equals(data))
    }
  },

  async 'put() stores one content when the same bytes come in every form of input'({ storage: { blobs }, name }) {
    const data = Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg">${name()}</svg>`)
    async function* iterable() {
      for (const byte of data) yield Uint8Array.of(byte)
    }
    const inputs: BlobInput[] = [
      data,
      Uint8Array.from(data),
      Uint8Array.from(data).buffer,
      Readable.from([data]),
      new Blob([data]).stream(),
      iterable(),
      new Blob([data]),
      new File([data], 'x.svg'),
      { base64: data.toString('base64') },
      { dataUri: `data:image/svg+xml;base64,${data.toString('base64')}` },
      { dataUri: `data:,${encodeURIComponent(data.toString())}` },
    ]
    const records = []
    for (const input of inputs) records.push(await blobs.put(input))
    assert.equal(new Set(records.map(({ hash }) => hash)).size, 1)
    assert.equal(new Set(records.map(({ id }) => id)).size, inputs.length)
    assert.deepEqual([records[7]?.name, records[9]?.mimeType], ['x.svg', 'image/svg+xml'])
    const [first, ...others] = records
    for (const { id } of others) assert.equal(await blobs.delete(id), true)
    assert.ok((await blobs.bytes(String(first?.id))).equals(data), 'a record must not lose its bytes to another')
  },

  async 'inline() returns data for the names of blobs that were data, and nothing else'({ storage: { blobs } }) {
    const data = randomBytes(1000)
    const own = await blobs.put(data)
    const [bare, uri] = await Promise.all(
      ['', 'data:a/b;base64,'].map(async ($inline) => (await blobs.put(data, { metadata: { $inline } })).uri),
    )
    const absent = `blob:${ABSENT}`
    const at = new Date(0)
    const named = { at, text: bare, parts: [{ data: bare, url: uri }, [uri]], own: own.uri, absent, in: `see ${uri}` }
    const base64 = data.toString('base64')
    const url = `data:a/b;base64,${base64}`
    assert.deepEqual(await blobs.inline(named), { ...named, parts: [{ data: base64, url }, [url]] })
    assert.equal(await blobs.inline(absent), absent)
  },

  async 'put() takes the MIME type from the options, then from the bytes, then from the name'({ storage: { blobs } }) {
    const type = async (...args: Parameters<typeof blobs.put>) => (await blobs.put(...args)).mimeType
    assert.equal(await type(PNG, { name: 'misleading.txt' }), 'image/png')
    assert.equal(await type(Buffer.from('# Hi'), { name: 'notes.md' }), 'text/markdown')
    assert.equal(await type(PNG, { mimeType: 'application/x-own' }), 'application/x-own')
  },

  ...eachInput<readonly [input: unknown, path: string]>(
    [
      ...['text', '/etc/passwd', 1, null, undefined, {}, { base64: 1 }, []].map((input) => [input, 'input'] as const),
      [{ base64: '?' }, 'input.base64'],
      [{ dataUri: 'data:' }, 'input.dataUri'],
      [{ dataUri: 'data:text,x' }, 'input.dataUri'],
      [{ dataUri: 'data:;base64,?' }, 'input.dataUri'],
      [{ path: '' }, 'input.path'],
      [{ path: '/' }, 'input.path'],
      [{ path: '/no/such/file' }, 'input.path'],
    ],
    ([input]) => `put() rejects ${shown(input)} and stores nothing`,
    async ([input, path], { storage: { blobs } }) => {
      const before = await blobs.stats()
      await invalid(blobs.put(input as BlobInput), path) // not as the type says
      assert.deepEqual(await blobs.stats(), before)
    },
  ),

  async 'put() rejects streams that it cannot read, and stores nothing'({ storage: { blobs } }) {
    const before = await blobs.stats()
    await invalid(blobs.put(Readable.from(['a string'])), 'input')
    await invalid(blobs.put(Readable.from([]).destroy()), 'input')
    assert.deepEqual(await blobs.stats(), before)
  },

  ...eachInput<[options: PutBlobOptions, path: string]>(
    [
      [{ mimeType: 'no type' }, 'options.mimeType'],
      [{ name: 'a\0b' }, 'options.name'],
      [{ metadata: { at: new Date(0) } }, 'options.metadata.at'],
      [{ idleTimeoutMillis: 0 }, 'options.idleTimeoutMillis'],
      [{ signal: Object.create(null) }, 'options.signal'],
    ],
    ([options]) => `put() rejects the options ${shown(options)} and stores nothing`,
    async ([options, path], { storage: { blobs } }) => {
      const before = await blobs.stats()
      await invalid(blobs.put(PNG, options), path)
      assert.deepEqual(await blobs.stats(), before)
    },
  ),

  async 'put() rejects when its signal is aborted or its source stalls, destroys the source and stores nothing'({
    storage: { blobs },
  }) {
    const before = await blobs.stats()
    const stalled = () => {
      const source = new PassThrough()
      source.write(randomBytes(1000))
      return source
    }
    const abort = new AbortController()
    const [aborted, silent, unread] = [stalled(), stalled(), stalled()]
    const put = blobs.put(aborted, { signal: abort.signal })
    setImmediate(() => abort.abort(new Error('cancelled')))
    await refused(put, 'ABORTED')
    await refused(blobs.put(unread, { signal: abort.signal }), 'ABORTED')
    await refused(blobs.put(silent, { idleTimeoutMillis: 50 }), 'TIMEOUT')
    for (const source of [aborted, silent, unread]) assert.equal(source.destroyed, true)
    assert.deepEqual(await blobs.stats(), before)
    assert.equal((await blobs.verify()).ok, true)
  },

  ...eachInput<[start: number | undefined, end: number | undefined]>(
    [
      [0, 0],
      [undefined, 9],
      [262_143, 262_144],
      [599_999, undefined],
      [100, 10_000_000],
      [600_000, undefined],
    ],
    ([start, end]) => `stream() returns the range from ${start ?? 'the first byte'} to ${end ?? 'the last byte'}`,
    async ([start, end], { storage: { blobs } }) => {
      const data = randomBytes(600_000)
      const { id } = await blobs.put(data)
      const expected = data.subarray(start ?? 0, (end ?? data.length) + 1)
      assert.ok((await read(await blobs.stream(id, { start, end }))).equals(expected))
    },
  ),

  async 'stream() rejects a range that begins before the first byte or ends before its start'({ storage: { blobs } }) {
    const { id } = await blobs.put(PNG)
    await invalid(blobs.stream(id, { start: -1 }), 'range.start')
    await invalid(blobs.stream(id, { start: 2, end: 1 }), 'range')
  },

  async 'get(), exists() and delete() resolve if there is no such blob, and reads reject'({ storage: { blobs } }) {
    assert.equal(await blobs.get(ABSENT), undefined)
    assert.equal(await blobs.exists(`blob:${ABSENT}`), false)
    assert.equal(await blobs.delete(ABSENT), false)
    for (const call of [blobs.bytes(ABSENT), blobs.text(ABSENT), blobs.stream(ABSENT), blobs.path(ABSENT)]) {
      await refused(call, 'BLOB_NOT_FOUND')
    }
  },

  ...eachInput(
    ['', '../../etc/passwd', '/etc/passwd', 'file:///etc/passwd', `${ABSENT}\0`, 'A'.repeat(32), 'blob:'],
    (reference) => `every call rejects the reference ${inspect(reference)}`,
    async (reference, { storage: { blobs } }) => {
      const methods = ['get', 'bytes', 'stream', 'path', 'fileUrl', 'url', 'exists', 'delete'] as const
      for (const method of methods) await refused(blobs[method](reference), 'BLOB_REFERENCE_INVALID')
    },
  ),

  async 'delete() removes a blob, and stats() no longer counts its bytes'({ storage: { blobs } }) {
    const before = await blobs.stats()
    const data = randomBytes(10_000)
    const [one, two] = [await blobs.put(data), await blobs.put(data)]
    const counted = { ...before, count: before.count + 2, contents: before.contents + 1, bytes: before.bytes + 10_000 }
    assert.deepEqual(await blobs.stats(), counted)
    assert.equal(await blobs.delete(one.id), true)
    assert.equal(await blobs.delete(one.id), false)
    assert.deepEqual(await blobs.stats(), { ...counted, count: before.count + 1 })
    assert.ok((await blobs.bytes(two.id)).equals(data))
    assert.equal(await blobs.delete(two.id), true)
    assert.deepEqual(await blobs.stats(), before)
    await refused(blobs.bytes(two.id), 'BLOB_NOT_FOUND')
  },

  async 'list() returns the blobs of a source, newest first'({ storage: { blobs }, name, clock }) {
    const ids: string[] = []
    for (let i = 0; i < 7; i++) {
      if (i % 2 === 0) clock.advance(1) // so that the others have equal times
      ids.push((await blobs.put(Buffer.from(`${i}`), { source: name() })).id)
      await blobs.put(Buffer.from(`${i}`), { source: name('other') })
    }
    const listed = await allPages((page) => blobs.list({ ...page, source: name() }), 2)
    assert.deepEqual(listed.map(({ id }) => id).sort(), [...ids].sort(), 'each blob is in one page')
    const order = listed.map(({ createdAt }) => createdAt.getTime())
    assert.deepEqual(
      order,
      order.toSorted((a, b) => b - a),
    )
    const everything = await allPages((page) => blobs.list(page), 100)
    for (const record of listed)
      assert.deepEqual(
        everything.find(({ id }) => id === record.id),
        record,
      )
  },

  async 'get(), list() and reads do not return a blob that has expired, and maintain() removes it'({
    storage: { blobs, maintain },
    clock,
  }) {
    const before = await blobs.stats()
    const { id } = await blobs.put(randomBytes(100), { expiresAt: clock.after(60), source: 'expiring' })
    clock.advance(59.999)
    assert.equal(await blobs.exists(id), true)
    clock.advance(0.001)
    assert.equal(await blobs.get(id), undefined)
    await refused(blobs.bytes(id), 'BLOB_NOT_FOUND')
    assert.deepEqual(await blobs.list({ source: 'expiring' }), { items: [] })
    assert.equal(await blobs.delete(id), false)
    const { id: other } = await blobs.put(randomBytes(100), { expiresAt: clock.after(1) })
    clock.advance(1)
    for (const { error } of await maintain()) assert.equal(error, undefined)
    assert.equal(await blobs.get(other), undefined)
    assert.deepEqual(await blobs.stats(), before)
  },

  async 'cleanup() removes the blobs that were last used before a time, and counts them if dryRun is set'({
    storage: { blobs },
    name,
    clock,
  }) {
    await blobs.cleanup({ olderThan: clock.after(DAY) }) // removes the blobs of other cases
    const [old, read, stored] = await Promise.all(times(3, (i) => blobs.put(Buffer.from(name(`${i}`)))))
    assert.ok(old && read && stored)
    clock.advance(10 * DAY)
    assert.equal((await blobs.get(read.id))?.lastUsedAt.getTime(), clock.now().getTime())
    const again = await blobs.put(await blobs.bytes(stored.id))
    const olderThan = clock.after(-DAY)
    const expected = { removed: 1, bytes: old.size }
    assert.deepEqual(await blobs.cleanup({ olderThan, dryRun: true }), expected)
    assert.equal(await blobs.exists(old.id), true)
    assert.deepEqual(await blobs.cleanup({ olderThan }), expected)
    assert.deepEqual(await blobs.cleanup({ olderThan }), { removed: 0, bytes: 0 })
    assert.equal(await blobs.exists(old.id), false)
    for (const { id } of [read, stored, again]) assert.equal((await blobs.bytes(id)).length > 0, true)
  },

  async 'put(), bytes() and delete() keep blobs apart when 48 calls run at once'({ storage: { blobs } }) {
    const before = await blobs.stats()
    const all = times(24, (i) => Buffer.alloc(i * 1000 + 1, randomBytes(32)))
    const records = await Promise.all([...all, ...all].map((data) => blobs.put(data)))
    const back = await Promise.all(records.map(({ id }) => blobs.bytes(id)))
    for (const [i, data] of back.entries()) assert.ok(data.equals(all[i % all.length] ?? Buffer.alloc(0)))
    await Promise.all(records.map(({ id }) => blobs.delete(id)))
    assert.deepEqual(await blobs.stats(), before)
  },

  async 'verify() reports every step and finds nothing when the store is intact'({ storage: { blobs } }) {
    await blobs.put(randomBytes(1000))
    const seen = new Set<string>()
    const report = await blobs.verify({ repair: true, onProgress: ({ step }) => seen.add(step) })
    assert.equal(report.ok, true)
    assert.deepEqual(
      report.steps.map(({ step }) => step),
      ['staged', 'damaged', 'missing', 'unreferenced', 'strays', 'usage'],
    )
    for (const { found, repaired, items } of report.steps) assert.deepEqual([found, repaired, items], [0, 0, []])
    assert.ok(seen.has('damaged') && seen.has('usage'))
  },
}

async function read(stream: Readable): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}
