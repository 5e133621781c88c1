import { foldSessionSummary, query, type SessionStore } from '@anthropic-ai/claude-agent-sdk'
import type { Embeddings } from '@langchain/core/embeddings'
import type { BaseCheckpointSaver, BaseStore, CheckpointTuple, IndexConfig } from '@langchain/langgraph-checkpoint'
import type { MastraCompositeStore, MemoryStorage } from '@mastra/core/storage'
import type { MastraEmbeddingModel, MastraVector } from '@mastra/core/vector'
import type { AgentInputItem, Session } from '@openai/agents-core'
import { convertToModelMessages, type ModelMessage, type UIMessage } from 'ai'
import type { EmbeddingModel, MessageInput, Storage } from 'holdfast'
import { chatStore, fromUIMessage, toUIMessage } from 'holdfast/ai-sdk'
import { HoldfastSessionStore } from 'holdfast/claude-agent'
import { HoldfastKeyv } from 'holdfast/keyv'
import { HoldfastSaver, HoldfastStore } from 'holdfast/langgraph'
import { HoldfastMemory, mastraStorage, mastraVector } from 'holdfast/mastra'
import {
  fromChatMessage,
  fromModelMessage,
  fromResponseItem,
  toChatMessage,
  toModelMessage,
  toResponseItem,
} from 'holdfast/messages'
import { fromOpenAIItem, HoldfastSession, toOpenAIItem } from 'holdfast/openai-agents'
import Keyv, { type KeyvStoreAdapter } from 'keyv'
import type OpenAI from 'openai'

// Checked by tsc against the newest supported version of each framework, and with tsconfig.lowest.json against the lowest.

/** A message with types of the program's own for metadata, data parts and tools. */
type Mine = UIMessage<
  { rating?: number },
  { chart: { points: number[] } },
  { search: { input: { q: string }; output: string[] } }
>

export async function aiSdk(storage: Storage, messages: Mine[]): Promise<Mine[]> {
  const chats = chatStore<Mine>(storage)
  const base: Mine[] = await chats.load('chat')
  await chats.save('chat', [...base, ...messages], { base })
  const model: ModelMessage[] = await convertToModelMessages(base)
  const stored = await storage.messages.append('chat', [
    fromUIMessage({ ...messages[0], id: 'x', role: 'user', parts: [] }),
  ])
  // @ts-expect-error: another kind of message than that of the store
  await chats.save('chat', [{ id: 'x', role: 'user', parts: [{ type: 'text', content: 'x' }] }])
  // @ts-expect-error: a chat is saved as a list
  await chatStore(storage.scope({ ownerId: 'ada' })).save('chat', base[0])
  await storage.messages.append('chat', model.map(fromModelMessage))
  const models: ModelMessage[] = stored.map((message) => toModelMessage<ModelMessage>(message))
  return [...stored.map((message) => toUIMessage<Mine>(message)), ...(models.length > 0 ? base : [])]
}

export function claudeAgent(storage: Storage): SessionStore {
  const sessionStore = new HoldfastSessionStore(storage.scope({ ownerId: 'ada' }), { foldSessionSummary })
  query({ prompt: 'Book a train', options: { sessionStore } })
  return new HoldfastSessionStore(storage)
}

export function openai(storage: Storage, items: AgentInputItem[]): [Session, MessageInput[]] {
  void toOpenAIItem
  return [new HoldfastSession(storage, { sessionId: 'chat' }), items.map(fromOpenAIItem)]
}

export async function langgraph(storage: Storage): Promise<CheckpointTuple | undefined> {
  const saver: BaseCheckpointSaver = new HoldfastSaver(storage)
  return saver.getTuple({ configurable: { thread_id: 'thread' } })
}

export async function langgraphStore(storage: Storage): Promise<Record<string, unknown> | undefined> {
  const store: BaseStore = new HoldfastStore(storage.scope({ ownerId: 'ada' }), { ttlSeconds: 60 })
  return (await store.get(['notes'], 'tea'))?.value
}

export async function langgraphIndex(
  storage: Storage,
  index: IndexConfig,
  embeddings: Embeddings,
): Promise<number | undefined> {
  const embed = (texts: string[]) => embeddings.embedDocuments(texts)
  const stores: BaseStore[] = [
    new HoldfastStore(storage, { index }),
    new HoldfastStore(storage.scope({ ownerId: 'ada' }), { index: { dims: 64, embeddings, fields: ['said'] } }),
    new HoldfastStore(storage, { index: { dims: 64, embed, model: 'mine', timeoutMillis: 1000 } }),
    await storage.transaction(async (tx) => new HoldfastStore(tx, { index })),
  ]
  // @ts-expect-error: vectors are compared by their cosine alone
  void new HoldfastStore(storage, { index: { dims: 64, embed, distanceMetric: 'l2' } })
  // @ts-expect-error: a model is needed to embed queries as well
  void new HoldfastStore(storage, { index: { dims: 64, embeddings: { embedDocuments: embed } } })
  return (await stores[0]?.search(['notes'], { query: 'tea' }))?.[0]?.score
}

export async function mastra(storage: Storage): Promise<[MastraCompositeStore, MemoryStorage, number | undefined]> {
  const store: MastraCompositeStore = mastraStorage(storage)
  const memory: MemoryStorage | undefined = await store.getStore('memory')
  const page = await memory?.listMessages({
    threadId: 'trip',
    perPage: 10,
    orderBy: { field: 'createdAt', direction: 'DESC' },
  })
  return [store, new HoldfastMemory(storage.scope({ ownerId: 'ada' })), page?.total]
}

export function mastraRecall(
  storage: Storage,
  embedding: EmbeddingModel,
): [MastraVector, MastraEmbeddingModel<string>, MastraVector] {
  const vector = mastraVector(storage, { embedding })
  // @ts-expect-error: the model of the storage is needed
  mastraVector(storage)
  return [vector, vector.embedder, mastraVector(storage.scope({ ownerId: 'ada' }), { embedding, id: 'ada' })]
}

export async function keyv(storage: Storage): Promise<string | undefined> {
  const cache = new Keyv({ store: new HoldfastKeyv(storage.kv), namespace: 'weather' })
  await cache.set('oslo', 'rain', 60_000)
  new HoldfastKeyv(storage.cache) satisfies KeyvStoreAdapter
  new HoldfastKeyv(storage.scope({ ownerId: 'ada' }).cache)
  // @ts-expect-error: neither kv nor cache
  new HoldfastKeyv(storage.lists)
  // @ts-expect-error: the storage has several
  new HoldfastKeyv(storage)
  return cache.get<string>('oslo')
}

export async function converters(
  { messages }: Storage,
  chat: OpenAI.Chat.Completions.ChatCompletionMessageParam[],
  answer: OpenAI.Chat.Completions.ChatCompletionMessage,
  items: (OpenAI.Responses.ResponseInputItem | OpenAI.Responses.ResponseOutputItem)[],
) {
  await messages.append('chat', [...chat, answer].map(fromChatMessage))
  const stored = await messages.append('chat', items.map(fromResponseItem))
  // @ts-expect-error: not a message
  fromChatMessage({ content: 'Hello' })
  return {
    chat: stored.map((message) => toChatMessage<OpenAI.Chat.Completions.ChatCompletionMessageParam>(message)),
    items: stored.map((message) => toResponseItem<OpenAI.Responses.ResponseInputItem>(message)),
  }
}
