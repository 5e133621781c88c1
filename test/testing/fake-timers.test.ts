import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage } from 'holdfast'
import { expect, inject, it, vi } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

it('every call works while Date and the timers by time are fake, as docs/testing.md says', async () => {
  const config = {
    cache: { type: 'redis', url: inject('redisUrl') },
    database: { type: 'postgres', url: await freshPostgres() },
  } as const
  await using storage = await openStorage(config, quiet)
  await sleep(150) // the connections are no longer used at once
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] })
  try {
    await storage.messages.append('chat', { role: 'user', content: 'Hello' })
    await storage.transaction((tx) => tx.kv.set('key', 'value'))
    const { uri } = await storage.blobs.put(Buffer.from('bytes'))
    expect(await storage.kv.get('key')).toBe('value')
    expect(await storage.blobs.exists(uri)).toBe(true)
  } finally {
    vi.useRealTimers()
  }
})
