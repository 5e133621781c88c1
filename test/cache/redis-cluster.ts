import { Redis } from 'ioredis'
import { expect, onTestFinished, vi } from 'vitest'
import { freePort } from '../setup/server-process.ts'
import { type RedisServer, startRedis } from '../setup/servers.ts'

/** Starts a private Redis and a client for administration. Both end with the test. */
export async function startRedisWithAdmin(
  args: string[] = [],
  port?: number,
): Promise<{ server: RedisServer; admin: Redis }> {
  const server = await startRedis({ args, ...(port !== undefined && { port }) })
  const admin = new Redis(server.url, { retryStrategy: () => 100 })
  admin.on('error', () => {})
  onTestFinished(async () => {
    admin.disconnect()
    await server.stop()
  })
  return { server, admin }
}

/** Starts a cluster of two nodes, each with half of the slots. */
export async function startCluster() {
  // The port between nodes is by default 10,000 above the other, which an outgoing connection may have taken.
  const ports = [await freePort(), await freePort()] as const
  const start = (port: number) =>
    startRedisWithAdmin(['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1', '--cluster-port', `${port}`])
  const [one, two] = [await start(ports[0]), await start(ports[1])]
  await one.admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '8191')
  await two.admin.call('CLUSTER', 'ADDSLOTSRANGE', '8192', '16383')
  await one.admin.call('CLUSTER', 'MEET', '127.0.0.1', String(two.server.port), String(ports[1]))
  for (const { admin } of [one, two]) {
    const state = async () => expect(await admin.call('CLUSTER', 'INFO')).toContain('cluster_state:ok')
    await vi.waitFor(state, { timeout: 20_000, interval: 50 })
  }
  return { one, two, cluster: [{ host: '127.0.0.1', port: one.server.port }] }
}
