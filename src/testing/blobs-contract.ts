import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import type { BlobInput } from '../blobs/input/source.ts'
import {
  allPages,
  type Cases,
  type ContractCase,
  contractCases,
  invalid,
  type OpenStorage,
  refused,
  times,
} from './contract.ts'

const DAY = 86_400

/** What `storage.blobs` must do, whatever the blob store and the database are; as `repositoryContract`. */
export function blobsContract(open: OpenStorage): ContractCase[] {
  return contractCases(open, { blobs: blobCases, 'blobs in transactions': transactionCases })
}

const blobCases: Cases = {
  async 'gives back what was put, in every form'({ storage: { blobs }, name, clock }) {
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

  async 'takes bytes, streams, iterables, Blobs, base64 and data URIs'({ storage: { blobs }, name }) {
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

  async 'tells the type by the bytes, then by the name, unless it is given'({ storage: { blobs } }) {
    const png = Buffer.from('89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de', 'hex')
    const type = async (...args: Parameters<typeof blobs.put>) => (await blobs.put(...args)).mimeType
    assert.equal(await type(png, { name: 'misleading.txt' }), 'image/png')
    assert.equal(await type(Buffer.from('# Hi'), { name: 'notes.md' }), 'text/markdown')
    assert.equal(await type(png, { mimeType: 'application/x-own' }), 'application/x-own')
    await invalid(blobs.put(png, { mimeType: 'no type' }), 'options.mimeType')
  },

  async 'refuses what is no input, and changes nothing'({ storage: { blobs } }) {
    const before = await blobs.stats()
    const wrong: unknown[] = ['text', '/etc/passwd', 1, null, undefined, {}, { base64: 1 }, []]
    for (const input of wrong) await invalid(blobs.put(input as BlobInput), 'input') // not as the types have it
    await invalid(blobs.put({ base64: '?' }), 'input.base64')
    for (const dataUri of ['data:', 'data:text,x', 'data:;base64,?']) {
      await invalid(blobs.put({ dataUri }), 'input.dataUri')
    }
    for (const path of ['', '/', '/no/such/file']) await invalid(blobs.put({ path }), 'input.path')
    await invalid(blobs.put(Buffer.from('x'), { name: 'a\0b' }), 'options.name')
    await invalid(blobs.put(Buffer.from('x'), { metadata: { at: new Date() } }), 'options.metadata.at')
    await invalid(blobs.put(Readable.from(['a string'])), 'input')
    await invalid(blobs.put(Readable.from([]).destroy()), 'input')
    assert.deepEqual(await blobs.stats(), before)
  },

  async 'reads ranges as HTTP counts them'({ storage: { blobs } }) {
    const data = randomBytes(600_000)
    const { id } = await blobs.put(data)
    const ranges: [start: number | undefined, end: number | undefined][] = [
      [0, 0],
      [undefined, 9],
      [262_143, 262_144],
      [599_999, undefined],
      [100, 10_000_000],
      [600_000, undefined],
    ]
    for (const [start, end] of ranges) {
      const expected = data.subarray(start ?? 0, (end ?? data.length) + 1)
      assert.ok((await read(await blobs.stream(id, { start, end }))).equals(expected), `${start} to ${end}`)
    }
    await invalid(blobs.stream(id, { start: -1 }), 'range.start')
    await invalid(blobs.stream(id, { start: 2, end: 1 }), 'range')
  },

  async 'takes nothing but references, and finds only what is there'({ storage: { blobs } }) {
    const absent = '0'.repeat(32)
    assert.equal(await blobs.get(absent), undefined)
    assert.equal(await blobs.exists(`blob:${absent}`), false)
    assert.equal(await blobs.delete(absent), false)
    for (const call of [blobs.bytes(absent), blobs.text(absent), blobs.stream(absent), blobs.path(absent)]) {
      await refused(call, 'BLOB_NOT_FOUND')
    }
    const hostile = [
      '',
      '../../etc/passwd',
      '/etc/passwd',
      'file:///etc/passwd',
      `${absent}\0`,
      'A'.repeat(32),
      'blob:',
    ]
    for (const reference of hostile) {
      const methods = ['get', 'bytes', 'stream', 'path', 'fileUrl', 'exists', 'delete'] as const
      for (const method of methods) await refused(blobs[method](reference), 'BLOB_REFERENCE_INVALID')
    }
  },

  async 'a deleted blob is gone, and its bytes are no longer counted'({ storage: { blobs } }) {
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

  async 'lists by source, the newest first, in pages'({ storage: { blobs }, name, clock }) {
    const ids: string[] = []
    for (let i = 0; i < 7; i++) {
      if (i % 2 === 0) clock.advance(1) // the others are ties
      ids.push((await blobs.put(Buffer.from(`${i}`), { source: name() })).id)
      await blobs.put(Buffer.from(`${i}`), { source: name('other') })
    }
    const listed = await allPages((page) => blobs.list({ ...page, source: name() }), 2)
    assert.deepEqual(listed.map(({ id }) => id).sort(), [...ids].sort(), 'each is in one page')
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

  async 'hides what has expired, and removes it'({ storage: { blobs, maintain }, clock }) {
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

  async 'cleans up what has not been used for so long, and counts it before'({ storage: { blobs }, name, clock }) {
    await blobs.cleanup({ olderThan: clock.after(DAY) }) // what others left
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

  async 'many at once neither mix nor miscount'({ storage: { blobs } }) {
    const before = await blobs.stats()
    const all = times(24, (i) => Buffer.alloc(i * 1000 + 1, randomBytes(32)))
    const records = await Promise.all([...all, ...all].map((data) => blobs.put(data)))
    const back = await Promise.all(records.map(({ id }) => blobs.bytes(id)))
    for (const [i, data] of back.entries()) assert.ok(data.equals(all[i % all.length] ?? Buffer.alloc(0)))
    await Promise.all(records.map(({ id }) => blobs.delete(id)))
    assert.deepEqual(await blobs.stats(), before)
  },

  async 'verify finds nothing wrong, and says what it looked at'({ storage: { blobs } }) {
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

const transactionCases: Cases = {
  async 'what is put is there inside, and after the commit outside'({ storage }) {
    const data = randomBytes(1000)
    const { id } = await storage.transaction(async (tx) => {
      const record = await tx.blobs.put(data)
      assert.ok((await tx.blobs.bytes(record.id)).equals(data))
      assert.deepEqual(await tx.blobs.get(record.id), record)
      return record
    })
    assert.ok((await storage.blobs.bytes(id)).equals(data))
  },

  async 'a rollback leaves neither record nor bytes'({ storage }) {
    const before = await storage.blobs.stats()
    const undone = storage.transaction(async (tx) => {
      const { id } = await tx.blobs.put(randomBytes(1000))
      await tx.transaction((inner) => inner.blobs.put(randomBytes(1000)))
      throw new Error(id)
    })
    const id = await undone.catch((error: Error) => error.message)
    assert.equal(await storage.blobs.exists(String(id)), false)
    assert.deepEqual(await storage.blobs.stats(), before)
    assert.equal((await storage.blobs.verify()).ok, true)
  },

  async 'a savepoint undoes its own alone'({ storage }) {
    const [kept, shared] = [randomBytes(1000), randomBytes(1000)]
    const { id } = await storage.transaction(async (tx) => {
      const failing = tx.transaction(async (inner) => {
        await inner.blobs.put(shared)
        await inner.blobs.put(randomBytes(1000))
        throw new Error('of the program')
      })
      await assert.rejects(failing, /of the program/)
      await tx.blobs.put(shared)
      return tx.blobs.put(kept)
    })
    assert.ok((await storage.blobs.bytes(id)).equals(kept))
    assert.equal((await storage.blobs.verify()).ok, true)
  },

  async 'a delete that is rolled back has lost nothing'({ storage }) {
    const data = randomBytes(1000)
    const { id } = await storage.blobs.put(data)
    const deleting = (end: () => void) =>
      storage.transaction(async (tx) => {
        assert.equal(await tx.blobs.delete(id), true)
        assert.equal(await tx.blobs.exists(id), false)
        end()
      })
    await assert.rejects(
      deleting(() => {
        throw new Error('of the program')
      }),
    )
    assert.ok((await storage.blobs.bytes(id)).equals(data))
    const before = await storage.blobs.stats()
    await deleting(() => {})
    const { contents, bytes } = await storage.blobs.stats()
    assert.deepEqual([contents, bytes], [before.contents - 1, before.bytes - 1000])
  },

  async 'inside a transaction the storage’s own blobs are misuse, and so is tidying up'({ storage }) {
    await storage.transaction(async (tx) => {
      await tx.blobs.put(randomBytes(10))
      await refused(storage.blobs.put(randomBytes(10)), 'TRANSACTION_MISUSE')
      await refused(storage.blobs.list(), 'TRANSACTION_MISUSE')
      await refused(tx.blobs.cleanup(), 'TRANSACTION_MISUSE')
      await refused(tx.blobs.verify(), 'TRANSACTION_MISUSE')
    })
  },
}

async function read(stream: Readable): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}
