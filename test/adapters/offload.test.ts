import { randomBytes } from 'node:crypto'
import type { AgentInputItem } from '@openai/agents-core'
import type { UIMessage } from 'ai'
import { openStorage, type Storage } from 'holdfast'
import { chatStore } from 'holdfast/ai-sdk'
import { HoldfastSessionStore } from 'holdfast/claude-agent'
import { type DextoStoresShape, dextoStores } from 'holdfast/dexto'
import { HoldfastSession } from 'holdfast/openai-agents'
import { expect, it } from 'vitest'
import { quiet } from '../setup/silent.ts'

// Frameworks get back the data that they have stored, though the messages name blobs.

const open = () => openStorage({ blobStore: { type: 'in-memory', offloadAboveBytes: 1000 } }, quiet)
const base64 = randomBytes(3000).toString('base64')
const url = `data:image/png;base64,${base64}`

async function expectNames(storage: Storage, count: number, blobs = count) {
  const [session] = (await storage.sessions.list()).items
  const messages = JSON.stringify(await storage.messages.latest(session?.id ?? '', 100))
  expect(messages).not.toContain(base64)
  expect(messages.match(/blob:[0-9a-f]{32}/g)).toHaveLength(count)
  expect((await storage.blobs.stats()).count).toBe(blobs)
}

it('the chat store of the AI SDK loads what it has saved, and takes it as the base', async () => {
  await using storage = await open()
  const chats = chatStore(storage)
  const picture = (id: string): UIMessage => ({
    id,
    role: 'user',
    parts: [{ type: 'file', mediaType: 'image/png', filename: 'a.png', url }],
  })
  const answer: UIMessage = { id: 'b', role: 'assistant', parts: [{ type: 'text', text: 'A cat.' }] }
  await chats.save('chat', [picture('a')])
  const loaded = await chats.load('chat')
  expect(loaded).toEqual([picture('a')])
  await chats.save('chat', [...loaded, answer], { base: loaded })
  await chats.save('chat', [...loaded, answer], { base: loaded })
  const edited = { ...picture('a'), metadata: { edited: true } }
  await chats.save('chat', [edited, answer], { base: [picture('a'), answer] })
  await expectNames(storage, 1)
  const again = [edited, { ...answer, id: 'c' }]
  await chats.save('chat', again, { base: [edited, answer] })
  expect(await chats.load('chat')).toEqual(again)
  await expect(chats.save('chat', again, { base: [picture('a'), answer] })).resolves.toBeUndefined()
  await expect(chats.save('chat', [answer], { base: [picture('a'), answer] })).rejects.toMatchObject({
    code: 'VERSION_CONFLICT',
  })
  await expectNames(storage, 1)
})

it('the session of the Agents SDK returns, compares and pops the data', async () => {
  await using storage = await open()
  const session = new HoldfastSession(storage, { sessionId: 'chat' })
  const item: AgentInputItem = { role: 'user', content: [{ type: 'input_image', image: url }] }
  await session.addItems([item])
  expect(await session.getItems()).toEqual([item])
  await session.applyHistoryTransaction({
    operationId: 'o1',
    transaction: { type: 'replace_suffix', expectedSuffix: [item], replacement: [item, item] },
  } as Parameters<typeof session.applyHistoryTransaction>[0]) // the SDK's own type has further kinds
  expect(await session.getItems()).toEqual([item, item])
  await expectNames(storage, 2, 3)
  expect(await session.popItem()).toEqual(item)
})

it('the session store of the Claude Agent SDK and the conversations of Dexto return the data', async () => {
  await using claude = await open()
  const store = new HoldfastSessionStore(claude)
  const source = { type: 'base64', media_type: 'image/png', data: base64 }
  const entry = { type: 'user', uuid: 'u1', message: { role: 'user', content: [{ type: 'image', source }] } }
  const key = { projectKey: 'p', sessionId: 's' }
  await store.append(key, [entry])
  await store.append(key, [entry])
  expect(await store.load(key)).toEqual([entry])
  await expectNames(claude, 1)

  await using dexto = await open()
  const conversations: Conversations = dextoStores<DextoStores>(dexto).getStore('conversation')
  const message = { id: 'm', role: 'user', content: [{ type: 'image', image: base64, mimeType: 'image/png' }] }
  await conversations.saveMessage({ sessionId: 's', message })
  expect(await conversations.listMessages({ sessionId: 's' })).toEqual([message])
  await expectNames(dexto, 1)
})

interface Conversations {
  saveMessage(input: object): Promise<void>
  listMessages(input: object): Promise<object[]>
}

interface DextoStores extends DextoStoresShape {
  getStore(name: string): Conversations
}
