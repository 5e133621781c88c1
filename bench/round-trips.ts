import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'

/** Delay of each answer, so that everything the client sends without waiting for the answer comes first. */
const DELAY_MILLIS = 5

/** Starts a proxy to a PostgreSQL server. It counts how often the client waits for an answer. */
export async function countRoundTrips(url: string) {
  const target = new URL(url)
  let roundTrips = 0
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname)
    let waiting = false
    client.on('data', (data) => {
      if (!waiting) roundTrips++
      waiting = true
      upstream.write(data)
    })
    upstream.on('data', (data) => {
      setTimeout(() => {
        waiting = false
        client.write(data)
      }, DELAY_MILLIS)
    })
    client.on('error', () => {}).on('close', () => upstream.destroy())
    upstream.on('error', () => {}).on('close', () => client.destroy())
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo // of a TCP server that listens
  return {
    url: Object.assign(new URL(url), { hostname: '127.0.0.1', port: String(port) }).href,
    roundTrips: () => roundTrips,
    close: () => void server.close(),
  }
}
