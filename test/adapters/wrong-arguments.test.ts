import { openStorage } from 'holdfast'
import { chatStore } from 'holdfast/ai-sdk'
import { HoldfastSessionStore } from 'holdfast/claude-agent'
import { dextoStores } from 'holdfast/dexto'
import { HoldfastKeyv } from 'holdfast/keyv'
import { HoldfastSaver, HoldfastStore } from 'holdfast/langgraph'
import { HoldfastMemory, mastraStorage, mastraVector } from 'holdfast/mastra'
import { fromChatMessage } from 'holdfast/messages'
import { HoldfastSession } from 'holdfast/openai-agents'
import { wordEmbedding } from 'holdfast/testing'
import { expect, it } from 'vitest'

const adapters: Record<string, (storage: never) => unknown> = {
  HoldfastSaver: (storage) => new HoldfastSaver(storage),
  HoldfastStore: (storage) => new HoldfastStore(storage),
  HoldfastSession: (storage) => new HoldfastSession(storage),
  chatStore: (storage) => chatStore(storage),
  HoldfastSessionStore: (storage) => new HoldfastSessionStore(storage),
  dextoStores: (storage) => dextoStores(storage),
  mastraStorage: (storage) => mastraStorage(storage),
  mastraVector: (storage) => mastraVector(storage, { embedding: wordEmbedding() }),
}

it.each(Object.entries(adapters))('%s says what it needs instead of a configuration or a promise', async (_, make) => {
  const opening = openStorage()
  for (const wrong of [undefined, null, 'agent.db', { database: { type: 'sqlite', path: 'agent.db' } }, opening])
    expect(() => make(wrong as never)).toThrow(
      'storage: must be a storage, such as `await openStorage(config)` returns',
    )
  await (await opening).close()
})

it('other arguments that are no such thing are refused by their names', async () => {
  await using storage = await openStorage()
  for (const wrong of [storage, 'sqlite://agent.db', undefined])
    expect(() => new HoldfastKeyv(wrong as never)).toThrow('store: must be `storage.kv` or `storage.cache`')
  for (const wrong of [undefined, {}, { embedding: 'openai/small' }])
    expect(() => mastraVector(storage, wrong as never)).toThrow('options.embedding: must be the model')
  const session = new HoldfastSession(storage)
  for (const wrong of ['Hello', null])
    await expect(session.addItems([wrong as never])).rejects.toThrow('message: must be a message or an item')
  expect(() => fromChatMessage([] as never)).toThrow('message: must be a message or an item')
})

it('a history transaction of OpenAI without an id, or of another type than the two, changes nothing', async () => {
  await using storage = await openStorage()
  const session = new HoldfastSession(storage)
  const items = [{ role: 'user' as const, content: 'Hello' }]
  await session.addItems(items)
  const append = { type: 'append_items', items }
  for (const operationId of [undefined, null, 5, ''])
    await expect(session.applyHistoryTransaction({ operationId, transaction: append } as never)).rejects.toThrow(
      'Id: must',
    )
  for (const wrong of [null, undefined, { type: 'replace_all', expectedSuffix: items, replacement: [] }]) {
    const operation = { operationId: 'o', transaction: wrong }
    await expect(session.applyHistoryTransaction(operation as never)).rejects.toThrow('transaction.type: must be')
  }
  expect(await session.getItems()).toEqual(items)
})

it('the id of a resource of Mastra is refused by its name, and may have 750 bytes', async () => {
  await using storage = await openStorage()
  const memory = new HoldfastMemory(storage)
  const save = (resourceId: string) => {
    const now = new Date()
    return memory.saveThread({ thread: { id: 't'.repeat(255), resourceId, createdAt: now, updatedAt: now } })
  }
  const named = 'resourceId: must be text of 1 to 750 bytes'
  for (const wrong of ['', 'r'.repeat(751), 'a\0', '\ud800', 5 as never]) {
    const calls = [
      save(wrong),
      memory.listThreads({ filter: { resourceId: wrong } }),
      memory.listMessagesByResourceId({ resourceId: wrong }),
      memory.getResourceById({ resourceId: wrong }),
      memory.updateResource({ resourceId: wrong, workingMemory: 'x' }),
    ]
    for (const call of calls) await expect(call).rejects.toThrow(named)
  }
  const longest = 'r'.repeat(750)
  await save(longest)
  await memory.updateResource({ resourceId: longest, workingMemory: 'x' })
  expect(await memory.listThreads({ filter: { resourceId: longest } })).toMatchObject({ total: 1 })
})
