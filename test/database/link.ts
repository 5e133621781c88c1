import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** A stretch of network between a client and a server on this machine; gone when the test ends. */
export interface Link {
  readonly port: number
  /** How many times a client spoke after the server had: the round trips that somebody waited for. */
  readonly roundTrips: number
  /** From now on nothing gets through, and nobody is told. */
  freeze(): void
}

/** What the server says is held back for `delayMillis`, so that all that a client says without waiting comes first. */
export async function startLink(serverPort: number, { delayMillis = 0 } = {}): Promise<Link> {
  let roundTrips = 0
  let frozen = false
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ port: serverPort, host: '127.0.0.1', allowHalfOpen: true })
    let serverSpokeLast = true
    client.on('data', (chunk) => {
      if (frozen) return
      if (serverSpokeLast) roundTrips += 1
      serverSpokeLast = false
      upstream.write(chunk)
    })
    upstream.on('data', (chunk) => {
      setTimeout(() => {
        if (frozen) return
        serverSpokeLast = true
        client.write(chunk)
      }, delayMillis)
    })
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('end', () => frozen || setTimeout(() => other.end(), delayMillis))
      socket.on('close', () => sockets.delete(socket))
    }
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The link has no port')
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return {
    port: address.port,
    get roundTrips() {
      return roundTrips
    },
    freeze() {
      frozen = true
    },
  }
}
