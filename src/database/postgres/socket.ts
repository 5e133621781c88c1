import net from 'node:net'
import type { PostgresAddress as Connection } from '../../config/resolved.ts'

export interface Address {
  /** Name, IP address, or directory of a Unix socket. */
  host: string
  port: number
}

/** Returns the addresses of a configuration. postgres.js reads several hosts from a url only for sockets that it opens itself. */
export function addressesOf(connection: Connection): Address[] {
  if (!('url' in connection)) return [{ host: connection.host, port: connection.port }]
  const [authority = ''] = connection.url.replace(/^\w+:\/\//, '').split(/[/?]/)
  const hosts = authority.slice(authority.lastIndexOf('@') + 1)
  return hosts.split(',').map((each) => {
    const { hostname, port } = new URL(`postgres://${each || 'localhost'}`)
    return { host: decodeURIComponent(hostname).replace(/^\[(.*)\]$/, '$1'), port: Number(port) || 5432 }
  })
}

/** Starts to connect a socket. */
export function connect({ host, port }: Address): net.Socket {
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

/** Makes the error that postgres.js gives for a closed connection. */
export function closed(): Error {
  return Object.assign(new Error('the connection was closed'), { code: 'CONNECTION_CLOSED' })
}
