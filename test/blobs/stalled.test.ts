import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PutBlobOptions, Storage, StorageConfig } from 'holdfast'
import { startS3Server } from 'holdfast/testing'
import { afterAll, afterEach, expect, it } from 'vitest'
import { signal } from '../../src/testing/contract.ts'
import { freshDirectory } from '../setup/databases.ts'
import { eachStore, INSIDE, MAIN_RECORDS } from './stores.ts'

const server = startS3Server()
const inBucket = async (): Promise<StorageConfig> => ({
  database: { type: 'sqlite', path: join(freshDirectory(), 'test.db') },
  blobStore: (await server).config,
})

afterAll(async () => (await server).close())

const endings: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of endings.splice(0)) await end()
})

eachStore({ ...MAIN_RECORDS, ...INSIDE, bucket: inBucket }, (open) => {
  it('put() of an upload that stalls fails with TIMEOUT after idleTimeoutMillis, and disconnects the client', async () => {
    await using storage = await open()
    const { put, disconnected } = await stalledUpload(storage, { idleTimeoutMillis: 300 })
    expect(await put).toMatchObject({ name: 'StorageError', code: 'TIMEOUT', retryable: false })
    await disconnected
    await expectNothingStored(storage)
  })

  it('put() of an upload that stalls ends when its signal is aborted', async () => {
    await using storage = await open()
    const abort = new AbortController()
    const { put, disconnected } = await stalledUpload(storage, { signal: abort.signal })
    const reason = new Error('the user pressed cancel')
    abort.abort(reason)
    expect(await put).toMatchObject({ name: 'StorageError', code: 'ABORTED', cause: reason })
    await disconnected
    await expectNothingStored(storage)
  })

  it('close() ends the puts of uploads that stall: they reject with CLOSED, and nothing staged remains', async () => {
    const storage = await open({ closeTimeoutMillis: 300 })
    const { put, disconnected } = await stalledUpload(storage)
    const inside = new PassThrough()
    inside.write(randomBytes(100_000))
    const transaction = storage.transaction((tx) => tx.blobs.put(inside)).catch((error) => error)
    await storage.close()
    expect(await put).toMatchObject({ name: 'StorageError', code: 'CLOSED' })
    expect(await transaction).toMatchObject({ name: 'StorageError', code: 'CLOSED' })
    expect(inside.destroyed).toBe(true)
    expect(stagedFiles(storage)).toEqual([])
    await disconnected
    await using again = await open()
    await expectNothingStored(again)
  })

  it('put() with an aborted signal rejects without reading, and destroys the source', async () => {
    await using storage = await open()
    const source = Readable.from([randomBytes(10)])
    const aborted = AbortSignal.abort()
    const put = storage.blobs.put(source, { signal: aborted })
    await expect(put).rejects.toMatchObject({ code: 'ABORTED', cause: aborted.reason })
    expect([source.destroyed, source.readableDidRead]).toEqual([true, false])
    await expect(storage.blobs.put(randomBytes(10), { signal: aborted })).rejects.toMatchObject({ code: 'ABORTED' })
    await expectNothingStored(storage)
  })

  it('put() that ended is not changed by its signal, and lets go of it', async () => {
    await using storage = await open()
    const abort = new AbortController()
    const { id } = await storage.blobs.put(Readable.from([randomBytes(10)]), { signal: abort.signal })
    abort.abort()
    expect((await storage.blobs.bytes(id)).length).toBe(10)
    await storage.blobs.delete(id)
  })
})

// A source is the same in front of every store.
eachStore({ 'in-memory': () => ({}) }, (open) => {
  it('put() gives up a web stream, a generator and an iterator that never end', async () => {
    await using storage = await open()
    const given: string[] = []
    const never = new Promise<never>(() => {})
    const web = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(randomBytes(10)),
      cancel: () => void given.push('web'),
    })
    async function* generator() {
      yield randomBytes(10)
      await never
    }
    const iterator = { [Symbol.asyncIterator]: () => ({ next: () => never }) }
    for (const source of [web, generator(), iterator]) {
      await expect(storage.blobs.put(source, { idleTimeoutMillis: 100 })).rejects.toMatchObject({ code: 'TIMEOUT' })
    }
    expect(given).toEqual(['web'])
    await expectNothingStored(storage)
  })

  it('put() of a source that is slow but gives something within idleTimeoutMillis succeeds', async () => {
    await using storage = await open()
    async function* slow() {
      for (let i = 0; i < 10; i++) {
        await sleep(300)
        yield Buffer.from(`${i}`)
      }
    }
    const { id } = await storage.blobs.put(slow(), { idleTimeoutMillis: 2500 })
    expect(await storage.blobs.text(id)).toBe('0123456789')
    await storage.blobs.delete(id)
  })
})

/** Lets a client send a tenth of a file over HTTP, and then nothing. Resolves when the bytes are being put. */
async function stalledUpload(storage: Storage, options: PutBlobOptions = {}) {
  let put: Promise<unknown> = Promise.resolve()
  let socket: Socket | undefined
  const { reached: requested, reach } = signal()
  const upload = createServer((incoming) => {
    put = storage.blobs.put(incoming, options).catch((error: unknown) => error)
    socket = incoming.socket
    reach()
  })
  await once(upload.listen(0, '127.0.0.1'), 'listening')
  const { port } = upload.address() as AddressInfo // it listens on a port
  const client = request({ port, host: '127.0.0.1', method: 'PUT', headers: { 'content-length': 1_000_000 } })
  const disconnected = new Promise<void>((resolve) => client.once('close', resolve))
  client.on('error', () => {}) // it is disconnected
  client.write(randomBytes(100_000))
  endings.push(async () => {
    client.destroy()
    upload.closeAllConnections()
    await new Promise((resolve) => upload.close(resolve))
  })
  await requested
  const isLocal = storage.config.blobStore.type === 'local'
  while (isLocal && stagedFiles(storage).length === 0) await sleep(5)
  while ((socket?.bytesRead ?? 0) < 100_000) await sleep(5)
  return { put, disconnected }
}

function stagedFiles({ config: { blobStore } }: Storage): string[] {
  return blobStore.type === 'local' ? readdirSync(join(blobStore.storePath, 'tmp')) : []
}

async function expectNothingStored(storage: Storage): Promise<void> {
  expect(stagedFiles(storage)).toEqual([])
  expect(await storage.blobs.stats()).toMatchObject({ count: 0, contents: 0, bytes: 0 })
  expect(await storage.blobs.verify()).toMatchObject({ ok: true })
  if (storage.config.blobStore.type === 's3') expect([...(await server).objects.keys()]).toEqual(['store-id'])
}
