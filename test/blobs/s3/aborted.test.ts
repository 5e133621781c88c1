import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { openStorage } from 'holdfast'
import { startS3Server } from 'holdfast/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { signal as moment } from '../../../src/testing/contract.ts'
import { freshDirectory } from '../../setup/databases.ts'
import { quiet } from '../../setup/silent.ts'
import { NO_LIMIT, source } from '../fixture.ts'
import { serve } from './fixture.ts'

/** Far less than the 30 s for which an answer is waited for. */
const AT_ONCE_MILLIS = 5000
const REASON = new Error('the user pressed cancel')

/** Opens a storage in a bucket whose first put of a content is never answered. Resolves `reached` when the server has got it. */
async function stalled() {
  const { reached, reach } = moment()
  let puts = 0
  const server = await startS3Server({
    fault({ operation, key }) {
      if (operation !== 'PutObject' || !key.startsWith('objects/')) return undefined
      puts += 1
      if (puts > 1) return undefined
      reach()
      return { after: 'stall' }
    },
  })
  const database = { type: 'sqlite', path: join(freshDirectory(), 'a.db') } as const
  const options = { ...quiet, closeTimeoutMillis: 200 }
  const storage = await openStorage({ database, blobStore: server.config }, options)
  onTestFinished(async () => {
    await storage.close()
    await server.close()
  })
  return { storage, reached, objects: server.objects, puts: () => puts }
}

it('put() whose signal is aborted while it waits for credentials() ends with ABORTED', async () => {
  const server = await startS3Server()
  const { accessKeyId, secretAccessKey, ...config } = server.config
  const { reached, reach } = moment()
  let hangs = false
  const credentials = () => {
    if (!hangs) return { accessKeyId, secretAccessKey, expiration: new Date() } // it is asked each time
    reach()
    return new Promise<never>(() => {})
  }
  const database = { type: 'sqlite', path: join(freshDirectory(), 'a.db') } as const
  const storage = await openStorage({ database, blobStore: { ...config, credentials } }, quiet)
  onTestFinished(async () => {
    await storage.close()
    await server.close()
  })
  hangs = true
  const abort = new AbortController()
  const put = storage.blobs.put(randomBytes(1000), { signal: abort.signal }).catch((error: unknown) => error)
  await reached
  const begun = performance.now()
  abort.abort(REASON)
  expect(await put).toMatchObject({ code: 'ABORTED', cause: REASON })
  expect(performance.now() - begun).toBeLessThan(AT_ONCE_MILLIS)
})

it('put() whose signal is aborted while it removes what was refused ends soon, and says what was refused', async () => {
  const { reached, reach } = moment()
  const server = await startS3Server({
    fault({ operation, key }) {
      if (!key.startsWith('objects/')) return undefined
      if (operation === 'PutObject') return { after: { status: 403, code: 'AccessDenied' } }
      if (operation === 'DeleteObject') reach()
      return operation === 'DeleteObject' ? { before: 'stall' } : undefined
    },
  })
  const database = { type: 'sqlite', path: join(freshDirectory(), 'a.db') } as const
  const storage = await openStorage({ database, blobStore: server.config }, { ...quiet, closeTimeoutMillis: 200 })
  onTestFinished(async () => {
    await storage.close()
    await server.close()
  })
  const abort = new AbortController()
  const put = storage.blobs.put(randomBytes(1000), { signal: abort.signal }).catch((error: unknown) => error)
  await reached
  const begun = performance.now()
  abort.abort(REASON)
  expect(await put).toMatchObject({ name: 'StorageError', code: 'PRIVILEGE_MISSING' })
  expect(performance.now() - begun).toBeLessThan(AT_ONCE_MILLIS)
})

describe('put() whose signal is aborted while the bytes are sent', () => {
  it('ends the upload with ABORTED, does not repeat it, and leaves nothing', async () => {
    const { storage, reached, objects, puts } = await stalled()
    const abort = new AbortController()
    const put = storage.blobs.put(randomBytes(300_000), { signal: abort.signal }).catch((error: unknown) => error)
    await reached
    const begun = performance.now()
    abort.abort(REASON)
    expect(await put).toMatchObject({ name: 'StorageError', code: 'ABORTED', cause: REASON })
    expect(performance.now() - begun).toBeLessThan(AT_ONCE_MILLIS)
    expect(puts()).toBe(1)
    expect(await storage.blobs.stats()).toMatchObject({ count: 0, contents: 0, bytes: 0 })
    expect(await storage.blobs.verify()).toMatchObject({ ok: true })
    expect([...objects.keys()]).toEqual(['store-id'])
  })

  it('leaves its transaction as it was, which may go on', async () => {
    const { storage, reached, objects } = await stalled()
    const data = randomBytes(1000)
    const abort = new AbortController()
    const id = await storage.transaction(async ({ blobs }) => {
      const put = blobs.put(randomBytes(300_000), { signal: abort.signal }).catch((error: unknown) => error)
      await reached
      abort.abort(REASON)
      expect(await put).toMatchObject({ code: 'ABORTED', cause: REASON })
      return (await blobs.put(data)).id
    })
    expect((await storage.blobs.bytes(id)).equals(data)).toBe(true)
    expect(await storage.blobs.stats()).toMatchObject({ count: 1, contents: 1, bytes: 1000 })
    expect(await storage.blobs.verify()).toMatchObject({ ok: true })
    expect([...objects.keys()].filter((key) => key.startsWith('objects/'))).toHaveLength(1)
  })
})

it('close() ends a put that is sending its bytes: it rejects with CLOSED, and leaves nothing', async () => {
  const { storage, reached, objects, puts } = await stalled()
  const put = storage.blobs.put(randomBytes(300_000)).catch((error: unknown) => error)
  await reached
  const begun = performance.now()
  await storage.close()
  expect(await put).toMatchObject({ name: 'StorageError', code: 'CLOSED' })
  expect(performance.now() - begun).toBeLessThan(AT_ONCE_MILLIS)
  expect(puts()).toBe(1)
  expect([...objects.keys()]).toEqual(['store-id'])
})

it('commit() ends its connection when its signal is aborted, while the server takes no bytes', async () => {
  const sockets: Socket[] = []
  const deaf = createServer((socket) => void sockets.push(socket.pause()))
  await once(deaf.listen(0, '127.0.0.1'), 'listening')
  const { port } = deaf.address() as AddressInfo // it listens on a port
  await using server = await serve()
  const { bytes } = server.open({ endpoint: `http://127.0.0.1:${port}`, options: { requestTimeoutMillis: 30_000 } })
  const staged = await bytes.stage(source(randomBytes(12_000_000)), NO_LIMIT)
  const abort = new AbortController()
  const commit = staged.commit('', { signal: abort.signal }).catch((error: unknown) => error)
  await expect.poll(() => sockets.length).toBe(1)
  const [socket = expect.fail()] = sockets
  socket.on('error', () => {}) // it is reset
  // From now on: without a byte on its way, it closes even if nobody reads.
  const closed = new Promise((resolve) => socket.once('close', resolve))
  const begun = performance.now()
  abort.abort(REASON)
  expect(await commit).toBe(REASON)
  await staged.discard()
  socket.resume()
  await closed
  expect(performance.now() - begun).toBeLessThan(AT_ONCE_MILLIS)
  await new Promise((resolve) => deaf.close(resolve))
})
