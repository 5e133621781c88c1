// Files over HTTP, streamed in both directions: no file is ever in memory as a whole.
//
//   node --import tsx examples/blobs/server.ts agent.yml
//   curl -T film.mp4 http://localhost:8080/             -> {"uri":"blob:...","size":...}
//   curl -r 0-1023 http://localhost:8080/blob:<id>      -> the first KiB, as video players ask for it

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { pathToFileURL } from 'node:url'
import { openStorageFromFile, type Storage, StorageError } from 'holdfast'

/** Returns a server: PUT stores the body as a blob, GET and HEAD return a blob or a range of it. */
export function fileServer(storage: Storage): Server {
  return createServer((request, response) => {
    handle(storage, request, response).catch((error) => fail(response, error))
  })
}

async function handle(storage: Storage, request: IncomingMessage, response: ServerResponse) {
  const name = nameIn(request.url ?? '/')
  if (name === undefined) return void response.writeHead(400, { connection: 'close' }).end('The path is malformed\n')
  if (request.method === 'PUT') return store(storage, name, request, response)
  if (request.method === 'GET' || request.method === 'HEAD') return serve(storage, name, request, response)
  response.writeHead(405, { allow: 'GET, HEAD, PUT', connection: 'close' }).end()
}

/** Returns the path of a URL, decoded and without the first slash, or undefined if it cannot be decoded. */
function nameIn(url: string): string | undefined {
  const [path = ''] = url.split('?', 1)
  try {
    return decodeURIComponent(path.replace(/^\//, ''))
  } catch {
    return undefined
  }
}

async function store({ blobs }: Storage, name: string, request: IncomingMessage, response: ServerResponse) {
  // The request is the stream: if the disk is slower than the network, backpressure reaches the sender.
  const { uri, size, hash } = await blobs.put(request, { name: basename(name) || undefined })
  response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify({ uri, size, hash }))
}

async function serve({ blobs }: Storage, reference: string, request: IncomingMessage, response: ServerResponse) {
  const record = await blobs.get(reference)
  if (!record) return void response.writeHead(404).end()
  const { size, hash, mimeType, name } = record
  const range = rangeOf(request.headers.range, size)
  if (range === 'none') return void response.writeHead(416, { 'content-range': `bytes */${size}` }).end()
  const headers = {
    'content-type': mimeType,
    'content-length': range ? range.end - range.start + 1 : size,
    'accept-ranges': 'bytes',
    etag: `"${hash}"`,
    // The bytes and their type come from strangers. A browser must not run them as a page of this server.
    'x-content-type-options': 'nosniff',
    'content-security-policy': "sandbox; default-src 'none'",
    'content-disposition': `attachment; filename*=UTF-8''${encodeName(name ?? 'blob')}`,
    ...(range && { 'content-range': `bytes ${range.start}-${range.end}/${size}` }),
  }
  const stream = request.method === 'HEAD' ? undefined : await blobs.stream(reference, range)
  response.writeHead(range ? 206 : 200, headers)
  if (stream) await pipeline(stream, response)
  else response.end()
}

/** Encodes a file name for a header, as RFC 8187 says. */
function encodeName(name: string): string {
  return encodeURIComponent(name).replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)
}

/** Returns the range of `bytes=0-99`, `bytes=100-` or `bytes=-100`, undefined for the whole blob, or 'none' if the range is empty. */
function rangeOf(header: string | undefined, size: number): { start: number; end: number } | 'none' | undefined {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? []
  if (first === '' && last === '') return undefined
  const start = first === '' ? Math.max(size - Number(last), 0) : Number(first)
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1)
  return start > end ? 'none' : { start, end }
}

const STATUS: Partial<Record<StorageError['code'], number>> = {
  BLOB_REFERENCE_INVALID: 400,
  INVALID_INPUT: 400,
  BLOB_NOT_FOUND: 404,
  BLOB_TOO_LARGE: 413,
  BLOB_QUOTA_EXCEEDED: 507,
}

function fail(response: ServerResponse, error: unknown): void {
  if (response.headersSent) return void response.destroy() // the client notices that the body is too short
  const known = error instanceof StorageError ? STATUS[error.code] : undefined
  response.writeHead(known ?? 500, { connection: 'close' }).end(known ? `${(error as Error).message}\n` : undefined)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const storage = await openStorageFromFile(process.argv[2] ?? 'agent.yml')
  const server = fileServer(storage)
  server.listen(Number(process.env.PORT ?? 8080), () => {
    console.log(`http://localhost:${(server.address() as AddressInfo).port}/`) // it listens on a port, not on a path
  })
  const stop = () => {
    server.close(() => storage.close())
    // Transfers that take longer are cut off, so that the storage is closed before the platform kills the process.
    setTimeout(() => server.closeAllConnections(), 5000).unref()
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)
}
