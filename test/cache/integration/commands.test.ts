import { Redis } from 'ioredis'
import { expect, it } from 'vitest'
import { freshPostgres } from '../../setup/databases.ts'
import { startRedis } from '../../setup/servers.ts'
import { open } from './storages.ts'

it('a hit sends one GET, an append to a known session nothing, and a write two scripts', async () => {
  const server = await startRedis()
  const admin = new Redis(server.url)
  const cache = { type: 'redis', url: server.url, options: { commandTimeoutMillis: 20_000 } } as const
  const storage = await open({ cache, database: { type: 'postgres', url: await freshPostgres() } })

  /** Returns how often each command was sent during `work`, without the watch's INFO, and what scripts call. */
  async function sent(work: () => Promise<unknown>): Promise<Record<string, number>> {
    await admin.config('RESETSTAT')
    await work()
    const stats = [...(await admin.info('commandstats')).matchAll(/cmdstat_([a-z]+)\S*:calls=(\d+)/g)]
    const counts = Object.fromEntries(stats.map(([, name = '', calls]) => [name, Number(calls)]))
    const { get = 0, evalsha = 0, eval: whole = 0, mget = 0, unlink = 0 } = counts
    const scripts = evalsha + whole
    return scripts > 0
      ? { scripts }
      : Object.fromEntries(Object.entries({ get, mget, unlink }).filter(([, n]) => n > 0))
  }
  const append = () => storage.messages.append('s', { role: 'user', content: 'hello' })
  const undone = () =>
    storage
      .transaction(async (tx) => {
        await tx.kv.set('a', 3)
        throw new Error('undone')
      })
      .catch(() => {})

  // Scripts are sent whole once, and by their hash afterwards.
  await append()
  await storage.kv.set('a', 0)
  await storage.kv.get('a')
  await storage.sessions.get('s')
  expect(await sent(() => storage.kv.get('a'))).toEqual({ get: 1 })
  expect(await sent(() => storage.sessions.get('s'))).toEqual({ get: 1 })
  expect(await sent(append)).toEqual({})
  expect(await sent(() => storage.messages.list('s'))).toEqual({})
  expect(await sent(() => storage.kv.set('a', 1))).toEqual({ scripts: 2 })
  const both = (tx: Pick<typeof storage, 'kv' | 'messages'>) =>
    Promise.all([tx.kv.set('a', 2), tx.kv.set('a', 3), tx.kv.set('b', 2)])
  expect(await sent(() => storage.transaction(both))).toEqual({ scripts: 2 })
  expect(await sent(undone)).toEqual({})

  admin.disconnect()
  await storage.close()
  await server.stop()
})
