import net from 'node:net'
import type { PostgresAddress as Connection } from '../../config/resolved.ts'
import type { DatabaseAddress } from '../../errors.ts'

/** Returns the addresses of a configuration. postgres.js reads several hosts from a url only for sockets that it opens itself. */
export function addressesOf(connection: Connection): DatabaseAddress[] {
  if (!('url' in connection)) {
    const { host, port, database, user } = connection
    return [{ host, port, database, user }]
  }
  const [authority = '', database] = connection.url.replace(/^\w+:\/\//, '').split(/[/?]/)
  const hosts = authority.slice(authority.lastIndexOf('@') + 1)
  const [user] = authority.slice(0, Math.max(authority.lastIndexOf('@'), 0)).split(':')
  const names = { database: decoded(database), user: decoded(user) }
  return hosts.split(',').map((each) => {
    const { hostname, port } = new URL(`postgres://${each || 'localhost'}`)
    const host = decodeURIComponent(hostname).replace(/^\[(.*)\]$/, '$1')
    return { host, port: Number(port) || 5432, ...names }
  })
}

/** Decodes a part of a url. Returns undefined for an empty part, and a part that cannot be decoded as it is. */
function decoded(part: string | undefined): string | undefined {
  try {
    return part === undefined || part === '' ? undefined : decodeURIComponent(part)
  } catch {
    return part
  }
}

/** Starts to connect a socket. */
export function connect({ host, port }: DatabaseAddress): net.Socket {
  const socket = host.startsWith('/') ? net.connect(`${host}/.s.PGSQL.${port}`) : net.connect({ host, port })
  return socket.setNoDelay(true).setKeepAlive(true, 60_000)
}

/** Waits until a socket is connected. Rejects with the socket's error, or with `closed()` if it closes before. */
export function connected(socket: net.Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket
      .once('connect', resolve)
      .once('error', reject)
      .once('close', () => reject(closed()))
  })
}

/**
 * Closes a socket at once, and says so before. TLS over the socket listens, and ends first: what postgres.js still writes would
 * fail over the closed socket, when nobody listens for errors any more, and end the process.
 */
export function drop(socket: net.Socket): void {
  if (!socket.destroyed) socket.emit('close', false)
  socket.destroy()
}

/** Makes the error that postgres.js gives for a closed connection. */
export function closed(): Error {
  return Object.assign(new Error('the connection was closed'), { code: 'CONNECTION_CLOSED' })
}
