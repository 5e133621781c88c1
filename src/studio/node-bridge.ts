import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { SECURITY_HEADERS } from './headers.ts'

/** Answers a request of node:http with a handler of the web's requests. Never rejects. */
export async function serve(
  handle: (request: Request) => Promise<Response>,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const ending = new AbortController()
  outgoing.once('close', () => ending.abort())
  const request = requestOf(incoming, ending.signal)
  if (request === undefined) {
    outgoing.writeHead(400, { ...SECURITY_HEADERS, connection: 'close' }).end()
    return
  }
  const response = await handle(request)
  const headers = Object.fromEntries(response.headers)
  // What was not read of a body would be taken for the next request.
  if (!incoming.complete) headers.connection = 'close'
  outgoing.writeHead(response.status, headers)
  if (response.body === null) {
    outgoing.end()
    return
  }
  try {
    // The types of Node's streams and of the web's differ in name only.
    await pipeline(Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]), outgoing)
  } catch {
    outgoing.destroy() // the reader is gone, or the bytes cannot be read: a cut answer says so
  }
}

/** Returns the request, or undefined if it is none that a browser sends. */
function requestOf(incoming: IncomingMessage, signal: AbortSignal): Request | undefined {
  const { method = 'GET', url = '', headers } = incoming
  if (!url.startsWith('/') || headers.host === undefined) return undefined
  const pairs = Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value]],
  )
  const hasBody = method !== 'GET' && method !== 'HEAD'
  try {
    return new Request(`http://${headers.host}${url}`, {
      method,
      headers: pairs,
      signal,
      // The types of Node's streams and of the web's differ in name only.
      ...(hasBody && { body: Readable.toWeb(incoming) as ReadableStream, duplex: 'half' }),
    })
  } catch {
    return undefined // such as TRACE, or a host that is none
  }
}
