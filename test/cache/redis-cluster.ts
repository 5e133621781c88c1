import { Redis } from 'ioredis'
import { expect, onTestFinished, vi } from 'vitest'
import { type RedisServer, startRedis } from '../setup/servers.ts'

/** Starts a private Redis and a client for administration. Both end with the test. */
export async function startRedisWithAdmin(args: string[] = []): Promise<{ server: RedisServer; admin: Redis }> {
  const server = await startRedis({ args })
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
  const args = ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1']
  const [one, two] = [await startRedisWithAdmin(args), await startRedisWithAdmin(args)]
  await one.admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '8191')
  await two.admin.call('CLUSTER', 'ADDSLOTSRANGE', '8192', '16383')
  await one.admin.call('CLUSTER', 'MEET', '127.0.0.1', String(two.server.port))
  for (const { admin } of [one, two]) {
    const state = async () => expect(await admin.call('CLUSTER', 'INFO')).toContain('cluster_state:ok')
    await vi.waitFor(state, { timeout: 20_000, interval: 50 })
  }
  return { one, two, cluster: [{ host: '127.0.0.1', port: one.server.port }] }
}
