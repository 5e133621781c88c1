import type { MastraDBMessage } from '@mastra/core/memory'
import { openStorage } from 'holdfast'
import { HoldfastMemory } from 'holdfast/mastra'
import { expect, it } from 'vitest'
import { startLink } from '../database/link.ts'
import { freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

it('takes the round trips that docs/mastra.md names', async () => {
  const url = new URL(await freshPostgres())
  await (await openStorage({ database: { type: 'postgres', url: url.href } }, quiet)).close() // migrates, over no link
  const link = await startLink(Number(url.port), { delayMillis: 10 })
  url.port = String(link.port)
  await using storage = await openStorage({ database: { type: 'postgres', url: url.href, maxConnections: 1 } }, quiet)
  const memory = new HoldfastMemory(storage)
  const resourceId = 'ada'
  const trips: Record<string, number> = {}
  const count = async (name: string, work: () => Promise<unknown>) => {
    const before = link.roundTrips
    await work()
    trips[name] = link.roundTrips - before
  }
  // The server prepares each statement at its first use: the second round counts.
  for (const id of ['first', 'second']) {
    const say = (name: string, text = name): MastraDBMessage => ({
      id: name,
      role: 'user',
      threadId: id,
      resourceId,
      createdAt: new Date(),
      content: { format: 2, parts: [{ type: 'text', text }] },
    })
    const thread = { id, resourceId, createdAt: new Date(), updatedAt: new Date() }
    await memory.saveThread({ thread })
    await count('saveMessages, new', () => memory.saveMessages({ messages: [say('1'), say('2')] }))
    await count('saveMessages, known', () => memory.saveMessages({ messages: [say('2', 'edited'), say('3')] }))
    await count('listMessages', () => memory.listMessages({ threadId: id, resourceId }))
    await count('getThreadById', () => memory.getThreadById({ threadId: id }))
    await count('getResourceById', () => memory.getResourceById({ resourceId }))
    await count('saveResource', () =>
      memory.saveResource({ resource: { id: resourceId, createdAt: new Date(), updatedAt: new Date() } }),
    )
    await count('listThreads', () => memory.listThreads({ filter: { resourceId } }))
  }
  expect(trips).toEqual({
    'saveMessages, new': 2,
    'saveMessages, known': 3,
    listMessages: 1,
    getThreadById: 1,
    getResourceById: 1,
    saveResource: 1,
    listThreads: 2,
  })
})
