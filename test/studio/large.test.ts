import { readdirSync, readlinkSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage, type Storage } from 'holdfast'
import { type StudioServer, startStudio } from 'holdfast/studio'
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { jsonResponse } from '../../src/studio/responses.ts'
import { freshDirectory } from '../setup/databases.ts'
import { collectGarbage } from '../setup/garbage.ts'
import { quiet } from '../setup/silent.ts'
import { served } from './served.ts'

const MIB = 1024 * 1024
const SIZE = 100 * MIB
/** What a stream may hold at once, of both ends, as they are in this process. */
const STREAM_BYTES = 32 * MIB

let storage: Storage
let storePath: string
let blobId: string

beforeAll(async () => {
  const directory = freshDirectory()
  storePath = join(directory, 'blobs')
  const blobStore = { type: 'local', storePath, maxBlobSize: 2 * SIZE } as const
  storage = await openStorage({ database: { type: 'sqlite', path: join(directory, 'agent.db') }, blobStore }, quiet)
  const chunk = Buffer.alloc(MIB, 1)
  blobId = (await storage.blobs.put(Readable.from(Array(SIZE / MIB).fill(chunk)))).id
})
afterAll(() => storage.close())

async function heldBytes(): Promise<number> {
  collectGarbage()
  await sleep(20) // V8 frees the bytes of what it has collected on another thread
  collectGarbage()
  return process.memoryUsage().arrayBuffers
}

/** Asks for the bytes of the blob on a connection of its own. The caller reads. */
function asking({ port, url }: Pick<StudioServer, 'port' | 'url'>): Socket {
  const token = new URL(url).hash.replace('#token=', '')
  const socket = connect(port, '127.0.0.1')
  onTestFinished(() => {
    socket.destroy()
  })
  socket.write(
    `GET /api/blob/bytes?id=${blobId} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nauthorization: Bearer ${token}\r\nconnection: close\r\n\r\n`,
  )
  return socket
}

/** Returns how many files of the blob store this process has open. Node tells it on Linux alone. */
const openBlobs = () =>
  process.platform !== 'linux'
    ? 0
    : readdirSync('/proc/self/fd').filter((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`).startsWith(storePath)
        } catch {
          return false // it was the directory itself
        }
      }).length

it('a blob of 100 MiB is streamed in little memory, as fast as its reader reads', async () => {
  const studio = await served(storage)
  const before = await heldBytes()
  const socket = asking(studio)
  let bytes = 0
  let most = 0
  let hasPaused = false
  for await (const chunk of socket) {
    if (Math.floor((bytes + chunk.length) / MIB / 10) > Math.floor(bytes / MIB / 10))
      most = Math.max(most, (await heldBytes()) - before)
    bytes += chunk.length
    if (hasPaused || bytes < SIZE / 2) continue
    hasPaused = true
    await sleep(200)
    expect(openBlobs()).toBe(process.platform === 'linux' ? 1 : 0) // the rest is not read ahead
    expect((await studio.json('health')).status).toBe(200)
  }
  expect(bytes).toBeGreaterThanOrEqual(SIZE)
  expect(most).toBeLessThan(STREAM_BYTES)
  await expect.poll(openBlobs).toBe(0)
})

it('readers that stop reading hold up nobody, and are let go when Studio ends', async () => {
  const before = await heldBytes()
  const studio = await startStudio(storage)
  const stalled = Array.from({ length: 8 }, () => asking(studio))
  await Promise.all(stalled.map((socket) => new Promise((done) => socket.once('data', () => done(socket.pause())))))
  await sleep(200)
  expect((await heldBytes()) - before).toBeLessThan(STREAM_BYTES)
  const authorization = `Bearer ${new URL(studio.url).hash.replace('#token=', '')}`
  const answer = await fetch(new URL('/api/sessions', studio.url), { headers: { authorization } })
  expect(answer.status).toBe(200)
  await answer.arrayBuffer()
  stalled[0]?.destroy()
  if (process.platform === 'linux') await expect.poll(openBlobs).toBe(stalled.length - 1)
  const begun = performance.now()
  await studio.close()
  expect(performance.now() - begun).toBeLessThan(5000)
  await expect.poll(openBlobs).toBe(0)
})

it('a message of 100 MiB is cut in a list, and refused as a whole', async () => {
  await storage.messages.append('chat', { id: 'huge', role: 'user', content: 'x'.repeat(SIZE) })
  const { json } = await served(storage)
  const refused = await json('message?session=chat&id=huge')
  expect(refused).toMatchObject({ status: 413, json: { error: { code: 'TOO_LARGE' } } })
  expect((await json('messages?session=chat')).json.items[0].content).toHaveLength(4001)
})

it('jsonResponse() refuses 100 MiB before it copies them', () => {
  const value = 'x'.repeat(SIZE)
  const before = process.memoryUsage().arrayBuffers
  expect(() => jsonResponse(value)).toThrow('more than 32 MiB')
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(MIB) // in the same turn, so nothing was collected
})

it('an answer of 32 MiB is refused if it takes more bytes than characters', async () => {
  await storage.messages.append('wide', { id: 'wide', role: 'user', content: 'é'.repeat(17 * MIB) })
  const { json } = await served(storage)
  expect((await json('message?session=wide&id=wide')).status).toBe(413)
})
