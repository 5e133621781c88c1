import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** A proxy between clients and a server on this machine. It ends with the test. */
export interface Link {
  readonly port: number
  /** The number of times that a client sent something after the server had: the round trips that were waited for. */
  readonly roundTrips: number
  /** The number of bytes that clients have sent. */
  readonly bytesSent: number
  /** Passes on nothing from now on, and keeps the connections open. */
  freeze(): void
  /** Passes on everything over new connections. Those that were frozen stay open and silent. */
  thaw(): void
}

/** Starts a proxy that delays what the server sends, so that everything a client sends without waiting comes first. */
export async function startLink(serverPort: number, { delayMillis = 0 } = {}): Promise<Link> {
  let roundTrips = 0
  let bytesSent = 0
  let frozen = false
  let thaws = 0
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ port: serverPort, host: '127.0.0.1', allowHalfOpen: true })
    let serverSpokeLast = true
    const openedAfter = thaws
    const isSilent = () => frozen || openedAfter !== thaws
    client.on('data', (chunk) => {
      if (isSilent()) return
      if (serverSpokeLast) roundTrips += 1
      serverSpokeLast = false
      bytesSent += chunk.length
      upstream.write(chunk)
    })
    upstream.on('data', (chunk) => {
      setTimeout(() => {
        if (isSilent()) return
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
      socket.on('end', () => isSilent() || setTimeout(() => other.end(), delayMillis))
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
    get bytesSent() {
      return bytesSent
    },
    freeze() {
      frozen = true
    },
    thaw() {
      frozen = false
      thaws++
    },
  }
}

/** Makes each call three times, and returns how many round trips it took the last time: by then everything is prepared. */
export async function tripsOf(
  link: Link,
  calls: Readonly<Record<string, () => Promise<unknown>>>,
): Promise<Record<string, number>> {
  const trips: Record<string, number> = {}
  for (let round = 0; round < 3; round++) {
    for (const [name, call] of Object.entries(calls)) {
      const before = link.roundTrips
      await call()
      trips[name] = link.roundTrips - before
    }
  }
  return trips
}
