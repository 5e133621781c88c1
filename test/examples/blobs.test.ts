import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import type { Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { openStorage, type Storage } from 'holdfast'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fileServer } from '../../examples/blobs/server.ts'
import { freshDirectory } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'

let storage: Storage
let server: Server
let url: string

beforeEach(async () => {
  const directory = freshDirectory()
  storage = await openStorage({
    database: { type: 'sqlite', path: join(directory, 'agent.db') },
    blobStore: { type: 'local', storePath: join(directory, 'blobs'), maxBlobSize: 5_000_000 },
  })
  server = fileServer(storage)
  await new Promise<void>((resolve) => server.listen(0, resolve))
  url = `http://localhost:${(server.address() as AddressInfo).port}` // the server listens on a port, not on a path
})

afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await storage.close()
})

const put = (body: Uint8Array<ArrayBuffer>, name = '') => fetch(`${url}/${name}`, { method: 'PUT', body })

test('the server returns a stored file as a whole and in ranges', async () => {
  const data = Uint8Array.from(randomBytes(3_000_000))
  const stored = await put(data, 'film.mp4')
  expect(stored.status).toBe(201)
  const { uri, size } = (await stored.json()) as { uri: string; size: number } // as the example answers
  expect(size).toBe(data.length)
  expect(await storage.blobs.get(uri)).toMatchObject({ name: 'film.mp4', mimeType: 'video/mp4' })

  const whole = await fetch(`${url}/${uri}`)
  expect([whole.status, whole.headers.get('content-type')]).toEqual([200, 'video/mp4'])
  expect(Buffer.from(await whole.arrayBuffer()).equals(data)).toBe(true)
  const ranges: [header: string, start: number, end: number][] = [
    ['bytes=0-0', 0, 1],
    ['bytes=1000-1999', 1000, 2000],
    ['bytes=2999990-', 2_999_990, 3_000_000],
    ['bytes=-5', 2_999_995, 3_000_000],
    ['bytes=2000000-9999999', 2_000_000, 3_000_000],
  ]
  for (const [range, start, end] of ranges) {
    const part = await fetch(`${url}/${uri}`, { headers: { range } })
    expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes ${start}-${end - 1}/3000000`])
    expect(Buffer.from(await part.arrayBuffer()).equals(data.subarray(start, end))).toBe(true)
  }
  expect((await fetch(`${url}/${uri}`, { headers: { range: 'bytes=3000000-' } })).status).toBe(416)
  const head = await fetch(`${url}/${uri}`, { method: 'HEAD' })
  expect([head.status, head.headers.get('content-length')]).toEqual([200, '3000000'])
})

test('the server rejects bad requests, and stores nothing of an upload that breaks off', async () => {
  expect((await fetch(`${url}/${encodeURIComponent('../../etc/passwd')}`)).status).toBe(400)
  expect((await fetch(`${url}/blob:${'0'.repeat(32)}`)).status).toBe(404)
  expect((await put(new Uint8Array(5_000_001)).catch(() => ({ status: 413 }))).status).toBe(413)

  const socket = connect((server.address() as AddressInfo).port) // the server listens on a port, not on a path
  socket.write('PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf of it')
  await new Promise((resolve) => setTimeout(resolve, 50))
  socket.destroy()
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(await storage.blobs.stats()).toMatchObject({ count: 0, bytes: 0 })
  expect(await storage.blobs.verify()).toMatchObject({ ok: true })
})

test('the server answers 400 to a path that cannot be decoded, and goes on', async () => {
  for (const path of ['%', '%ff', 'a%2']) {
    expect((await fetch(`${url}/${path}`)).status).toBe(400)
    expect((await put(new Uint8Array(1), path)).status).toBe(400)
  }
  expect((await fetch(`${url}//`)).status).toBe(400)
  expect((await fetch(`${url}/`, { method: 'DELETE' })).status).toBe(405)
  expect((await put(new Uint8Array(1))).status).toBe(201)
  expect(await storage.blobs.stats()).toMatchObject({ count: 1 })
})

test('the server never lets a browser run what was stored', async () => {
  const page = Uint8Array.from(Buffer.from('<script>alert(document.domain)</script>'))
  const stored = await put(page, encodeURIComponent('evil "ü\r\n\'.html'))
  const { uri } = (await stored.json()) as { uri: string } // as the example answers
  const served = await fetch(`${url}/${uri}`)
  expect(served.headers.get('content-type')).toBe('text/html')
  expect(served.headers.get('content-disposition')).toBe("attachment; filename*=UTF-8''evil%20%22%C3%BC%0D%0A%27.html")
  expect(served.headers.get('content-security-policy')).toBe("sandbox; default-src 'none'")
  expect(served.headers.get('x-content-type-options')).toBe('nosniff')
})

test.each(['SIGTERM', 'SIGINT'] as const)('the program ends by itself at %s, after the downloads', async (signal) => {
  const file = join(freshDirectory(), 'agent.yml')
  writeFileSync(file, 'storage: { database: { type: sqlite, path: a.db }, blobStore: { type: local } }')
  const program = runScript('examples/blobs/server.ts', [file], { env: { PORT: '0' } })
  let address: string | undefined
  for (let tries = 0; address === undefined && tries < 600; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    address = /http:\S+/.exec(program.output)?.[0]
  }
  const stored = await fetch(`${address}a.bin`, { method: 'PUT', body: new Uint8Array(4_000_000) })
  const { uri } = (await stored.json()) as { uri: string } // as the example answers
  const download = await fetch(`${address}${uri}`)
  const ended = program.kill(signal)
  expect((await download.arrayBuffer()).byteLength).toBe(4_000_000)
  expect(await ended).toEqual({ code: 0, signal: null })
})
