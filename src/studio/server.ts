import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Storage, StorageError } from '../index.ts'
import { serve } from './node-bridge.ts'
import { Studio } from './studio.ts'
import { newToken, tokenCheck } from './token.ts'
import type { StartStudioOptions, StudioServer } from './types.ts'

const ADDRESS = '127.0.0.1'
/** How long an answer that is under way may take after the end. */
const GRACE_MILLIS = 500

/**
 * Serves Studio, the page to look at what is stored, on 127.0.0.1 until `close()`. The link has a new token each time. The
 * command `holdfast studio` does the same.
 *
 * @throws {INVALID_STATE} when the port is in use, or may not be used
 * @throws {INVALID_INPUT} when the port is not valid
 *
 * @example
 * ```ts
 * import { startStudio } from 'holdfast/studio'
 * await using studio = await startStudio(storage)
 * console.log(studio.url) // http://127.0.0.1:43211/#token=...
 * ```
 */
export async function startStudio(
  storage: Storage,
  { port = 0, write = false }: StartStudioOptions = {},
): Promise<StudioServer> {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    const message = 'must be a whole number from 0 to 65535'
    throw new StorageError('INVALID_INPUT', `The port ${message}`, {
      details: { problems: [{ path: 'options.port', message }] },
    })
  }
  const token = newToken()
  const hosts = new Set<string>()
  const studio = new Studio(storage, {
    gate: { hosts, isLoopback: true },
    authorize: tokenCheck(token),
    isPagePublic: true,
    write,
    basePath: '/',
  })
  const server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000, keepAliveTimeout: 5000 })
  server.on(
    'request',
    (request: IncomingMessage, response) => void serve((given) => studio.handle(given), request, response),
  )
  await listen(server, port)
  const listening = (server.address() as AddressInfo).port // it listens on TCP
  for (const name of [ADDRESS, 'localhost']) hosts.add(`${name}:${listening}`)
  const close = async () => {
    studio.end()
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    server.closeIdleConnections()
    const grace = setTimeout(() => server.closeAllConnections(), GRACE_MILLIS)
    await closed
    clearTimeout(grace)
  }
  return {
    url: `http://${ADDRESS}:${listening}/#token=${token}`,
    port: listening,
    close,
    [Symbol.asyncDispose]: close,
  }
}

async function listen(server: Server, port: number): Promise<void> {
  server.listen({ port, host: ADDRESS })
  try {
    await once(server, 'listening')
  } catch (cause) {
    const code = cause instanceof Error ? Reflect.get(cause, 'code') : undefined
    const why = code === 'EADDRINUSE' ? 'is in use by another program' : `cannot be used (${code})`
    throw new StorageError('INVALID_STATE', `Port ${port} of ${ADDRESS} ${why}: choose another one, or 0 for any`, {
      cause,
    })
  }
}
