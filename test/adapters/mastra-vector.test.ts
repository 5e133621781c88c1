import { randomUUID } from 'node:crypto'
import { Agent } from '@mastra/core/agent'
import { Mastra } from '@mastra/core/mastra'
import type { MastraDBMessage } from '@mastra/core/memory'
import type { VectorFilter } from '@mastra/core/vector/filter'
import { Memory } from '@mastra/memory'
import fc from 'fast-check'
import type { EmbeddingModel, Storage, StorageScope } from 'holdfast'
import { mastraStorage, mastraVector } from 'holdfast/mastra'
import { wordEmbedding } from 'holdfast/testing'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { textEmbedder, textOfNumbers } from '../../src/adapters/mastra-embedder.ts'
import { eachDatabase } from '../repositories/databases.ts'

/** A model that notes what it was asked for, and fails if a test wants that. */
function notingModel() {
  const words = wordEmbedding({ dimensions: 64 })
  const noted = { queries: [] as string[], isFailing: false }
  const embedding: EmbeddingModel = {
    ...words,
    async embed(texts, call) {
      if (call.purpose === 'query') noted.queries.push(...texts)
      if (noted.isFailing) throw new Error('503')
      return words.embed(texts, call)
    },
  }
  return { embedding, noted }
}

const call = { purpose: 'query' as const, signal: new AbortController().signal }

/** Returns the cosine of the angle between what the model makes of two texts, calculated by hand. */
async function cosine(a: string, b: string): Promise<number> {
  const [left = [], right = []] = await wordEmbedding({ dimensions: 64 }).embed([a, b], call)
  const dot = (x: ArrayLike<number>, y: ArrayLike<number>) =>
    Array.from(x).reduce((sum, value, i) => sum + value * (y[i] ?? 0), 0)
  return dot(left, right) / Math.sqrt(dot(left, left) * dot(right, right))
}

let second = 0
function say(threadId: string, resourceId: string, text: string): MastraDBMessage {
  const content = { format: 2 as const, parts: [{ type: 'text' as const, text }] }
  return {
    id: randomUUID(),
    role: 'user',
    threadId,
    resourceId,
    createdAt: new Date(Date.UTC(2026, 0, 1, 0, 0, second++)),
    content,
  }
}

const textsOf = (messages: readonly MastraDBMessage[]) =>
  messages.map(({ content }) => content.parts.map((part) => (part.type === 'text' ? part.text : '')).join())

eachDatabase((open) => {
  const { embedding, noted } = notingModel()
  let storage: Storage
  beforeAll(async () => {
    storage = await open({ embedding })
  })
  afterAll(() => storage.close())

  /** Makes a memory with semantic recall, as a program does. */
  function remember(over: Storage | StorageScope = storage) {
    const vector = mastraVector(over, { embedding })
    const options = { semanticRecall: { topK: 1, messageRange: 0 }, lastMessages: false as const }
    const memory = new Memory({ storage: mastraStorage(over), vector, embedder: vector.embedder, options })
    const recall = async (threadId: string, resourceId: string, question: string, semanticRecall: object = {}) => {
      const threadConfig = { ...options, semanticRecall: { ...options.semanticRecall, ...semanticRecall } }
      const asked = { threadId, resourceId, vectorSearchString: question, threadConfig, perPage: 0 }
      return textsOf((await memory.recall(asked)).messages)
    }
    return { memory, vector, recall }
  }

  /** Makes threads of a resource, and saves a message for each text. */
  async function begin(memory: Memory, resourceId: string, threads: string[][]): Promise<string[]> {
    const ids: string[] = []
    for (const texts of threads) {
      const { id } = await memory.createThread({ resourceId, threadId: randomUUID() })
      await memory.saveMessages({ messages: texts.map((text) => say(id, resourceId, text)) })
      ids.push(id)
    }
    await storage.embedPending()
    return ids
  }

  it("Mastra's memory recalls messages of a resource, or of a thread, and never those of another resource", async () => {
    const { memory, recall } = remember()
    const [ada, bob] = [randomUUID(), randomUUID()]
    const [first = '', other = ''] = await begin(memory, ada, [
      ['the train to oslo', 'window seats please', 'thanks'],
      ['tea with milk', 'the train to bergen is late'],
    ])
    await begin(memory, bob, [['the train to oslo leaves at nine']])
    expect(noted.queries).toEqual([]) // to save asks for no query, and the embedder of Mastra for nothing
    expect(await recall(first, ada, 'which window seats?')).toEqual(['window seats please'])
    expect(await recall(first, ada, 'milk tea')).toEqual(['tea with milk'])
    expect(await recall(first, ada, 'milk tea', { scope: 'thread' })).not.toEqual(['tea with milk'])
    expect(await recall(other, ada, 'train to oslo', { topK: 2 })).toEqual([
      'the train to oslo',
      'the train to bergen is late',
    ])
    expect(await recall(first, ada, 'window', { messageRange: 1 })).toEqual([
      'the train to oslo',
      'window seats please',
      'thanks',
    ])
    expect(noted.queries).toContain('which window seats?')
    noted.isFailing = true
    await expect(recall(first, ada, 'seats at the window')).rejects.toMatchObject({ code: 'EMBEDDING_FAILED' })
    await memory.saveMessages({ messages: [say(first, ada, 'saved without the model')] })
    noted.isFailing = false
  })

  it('an agent is told what was said in another thread', async () => {
    const prompts: string[] = []
    const content = [{ type: 'text', text: 'Noted.' }]
    const usage = { inputTokens: 1, outputTokens: 1, totalTokens: 2 }
    const model = {
      specificationVersion: 'v2',
      provider: 'none',
      modelId: 'function',
      supportedUrls: {},
      async doGenerate({ prompt }: { prompt: unknown }) {
        prompts.push(JSON.stringify(prompt))
        return { content, finishReason: 'stop', usage, warnings: [] }
      },
    }
    const { vector } = remember()
    const options = { semanticRecall: { topK: 1, messageRange: 0 }, lastMessages: 1 }
    const memory = new Memory({ storage: mastraStorage(storage), vector, embedder: vector.embedder, options })
    // The agent's type asks for all of a model.
    const guide = new Agent({ id: 'guide', name: 'guide', instructions: 'Answer.', model: model as never, memory })
    const mastra = new Mastra({ agents: { guide }, storage: mastraStorage(storage), logger: false })
    const ask = (question: string, thread: string, resource: string) =>
      mastra.getAgent('guide').generate(question, { memory: { thread, resource } })
    const [ada, bob] = [randomUUID(), randomUUID()]
    await ask('my locker code is 4711', randomUUID(), ada)
    await storage.embedPending()
    await ask('what is my locker code', randomUUID(), ada)
    await ask('what is my locker code', randomUUID(), bob)
    expect(prompts.map((prompt) => prompt.includes('4711'))).toEqual([true, true, false])
  })

  it('what is changed, removed, copied or given away is found as it is then', async () => {
    const { memory, recall } = remember()
    const [ada, bob] = [randomUUID(), randomUUID()]
    const [thread = '', other = ''] = await begin(memory, ada, [['green tea', 'black coffee'], ['red wine']])
    const [tea] = (await storage.messages.list(thread)).items
    await memory.updateMessages({
      messages: [{ id: tea?.id ?? '', content: { format: 2, parts: [{ type: 'text', text: 'cold water' }] } }],
    })
    await storage.embedPending()
    expect(await recall(thread, ada, 'cold water')).toEqual(['cold water'])
    expect(await recall(thread, ada, 'green tea', { topK: 9 })).not.toContain('green tea')
    await memory.deleteMessages([tea?.id ?? ''])
    expect(await recall(thread, ada, 'cold water', { topK: 9 })).toEqual(['black coffee', 'red wine'])
    await memory.updateThreadResourceId({ threadId: other, resourceId: bob })
    expect(await recall(thread, ada, 'red wine', { topK: 9 })).toEqual(['black coffee'])
    await storage.embedPending()
    expect(await recall(other, bob, 'red wine', { topK: 9 })).toEqual(['red wine'])
    const { thread: clone } = await memory.cloneThread({ sourceThreadId: other, resourceId: bob })
    await storage.embedPending()
    expect(await recall(clone.id, bob, 'red wine', { topK: 9 })).toEqual(['red wine', 'red wine'])
    await memory.deleteThread(other)
    expect(await recall(clone.id, bob, 'red wine', { topK: 9 })).toEqual(['red wine'])
  })

  it.each(['storage', 'scope'])('query() over a %s returns what a comparison by hand returns', async (kind) => {
    const over = kind === 'storage' ? storage : storage.scope({ ownerId: randomUUID() })
    const word = fc.constantFrom(...'train seat window invoice oslo tea green black ticket hotel'.split(' '))
    const text = fc.array(word, { minLength: 1, maxLength: 4 }).map((words) => words.join(' '))
    const texts = fc.sample(text, { numRuns: 120, seed: 5 })
    const { memory, vector } = remember(over)
    const [ada, bob] = [randomUUID(), randomUUID()]
    await begin(memory, bob, [Array<string>(120).fill('green tea')]) // more than one recall returns
    const threads = await begin(memory, ada, [texts.slice(0, 40), texts.slice(40, 80), texts.slice(80)])
    const [queryVector = []] = await embedding.embed(['green tea'], call)
    const byHand = async (own: string[]) => {
      const scores = await Promise.all(own.map((one) => cosine(one, 'green tea')))
      return scores.sort((a, b) => b - a).map((score) => score.toFixed(4))
    }
    const query = (topK: number, filter: VectorFilter, from = vector) =>
      from.query({ indexName: 'memory_messages', queryVector: Array.from(queryVector), topK, filter })
    const found = await query(20, { resource_id: ada })
    expect(found.map(({ score }) => score.toFixed(4))).toEqual((await byHand(texts)).slice(0, 20))
    expect(new Set(found.map(({ metadata }) => metadata?.resource_id))).toEqual(new Set([ada]))
    const one = await query(50, { $and: [{ thread_id: threads[1] }, { resource_id: { $eq: ada } }] })
    expect(one.map(({ score }) => score.toFixed(4))).toEqual(await byHand(texts.slice(40, 80)))
    const [best] = one
    const metadata = { message_id: best?.id, thread_id: threads[1], resource_id: ada }
    expect(best).toEqual({ id: expect.any(String), score: expect.any(Number), metadata })
    expect(await query(200, { resource_id: bob })).toHaveLength(100)
    expect(await query(5, { thread_id: threads[1], resource_id: bob })).toEqual([])
    expect(await query(5, { resource_id: 'nobody' })).toEqual([])
    const stranger = mastraVector(storage.scope({ ownerId: randomUUID() }), { embedding })
    expect(await query(5, { resource_id: ada }, stranger)).toEqual([])
    expect(await query(5, { thread_id: threads[0] }, stranger)).toEqual([])
    const short = vector.query({ indexName: 'memory_messages', queryVector: [1], filter: { resource_id: ada } })
    await expect(short).rejects.toMatchObject({ code: 'INVALID_INPUT' })
  })

  it('query() finds the messages of a resource in a thread that has mostly those of another', async () => {
    const { memory, vector } = remember()
    const [ada, bob] = [randomUUID(), randomUUID()]
    const [thread = ''] = await begin(memory, ada, [['red wine', 'white wine']])
    await memory.saveMessages({ messages: Array.from({ length: 9 }, () => say(thread, bob, 'green tea')) })
    await storage.messages.append(thread, { role: 'user', content: 'black tea, of no resource' })
    await storage.embedPending()
    const { embeddings } = await vector.embedder.doEmbed({ values: ['green tea'] })
    const query = async (resource_id: string, topK: number) => {
      const filter = { thread_id: thread, resource_id }
      const ask = { indexName: 'memory_messages', queryVector: embeddings[0] ?? [], topK, filter }
      return (await vector.query(ask)).map(({ metadata }) => metadata?.resource_id)
    }
    expect(await query(ada, 2)).toEqual([ada, ada])
    expect(await query(ada, 20)).toEqual([ada, ada, ada])
    expect(await query(bob, 4)).toEqual([bob, bob, bob, bob])
  })

  it('refuses by name what is not the recall of messages', async () => {
    const { vector } = remember()
    const [indexName, other] = ['memory_messages_2', 'memory_observations']
    const filter = { thread_id: 't' }
    const codeOf = (call: Promise<unknown>) =>
      call.then(
        () => 'done',
        ({ code }) => code,
      )
    for (const wrong of [
      undefined,
      {},
      { resource_id: undefined },
      { role: 'user' },
      { ...filter, role: 'user' },
      { $or: [filter] },
      { $and: [] },
      { $and: [filter, { thread_id: 'u' }] },
    ]) {
      expect(await codeOf(vector.query({ indexName, queryVector: [1], filter: wrong as never }))).toBe('INVALID_INPUT')
    }
    expect(await codeOf(vector.query({ indexName, filter }))).toBe('INVALID_INPUT')
    expect(await codeOf(vector.query({ indexName, queryVector: [1], filter, topK: 0 }))).toBe('INVALID_INPUT')
    const refused = [
      vector.query({ indexName: other, queryVector: [1], filter }),
      vector.upsert({ indexName: other, vectors: [[1]] }),
      vector.createIndex({ indexName: other }),
      vector.deleteVectors({ indexName: other }),
      vector.describeIndex({ indexName: other }),
      mastraVector(storage.scope({ ownerId: 'ada' }), { embedding }).describeIndex({ indexName }),
      vector.updateVector(),
      vector.deleteVector(),
      vector.deleteIndex(),
    ]
    expect(new Set(await Promise.all(refused.map(codeOf)))).toEqual(new Set(['INVALID_STATE']))
    await vector.createIndex({ indexName })
    await vector.deleteVectors({ indexName })
    expect(await vector.upsert({ indexName, vectors: [[1], [2]], metadata: [{ message_id: 'm' }] })).toEqual(['m', '1'])
    expect(await vector.listIndexes()).toEqual(['memory_messages'])
    const before = (await storage.stats()).embeddings
    expect(await vector.describeIndex({ indexName })).toEqual({
      dimension: 64,
      count: before?.models['words/64'] ?? 0,
      metric: 'cosine',
    })
  })
})

it('the embedder passes every text on', async () => {
  const { doEmbed } = textEmbedder('words')
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'binary' }), async (text) => {
      expect(textOfNumbers((await doEmbed({ values: [text] })).embeddings[0] ?? [])).toBe(text)
    }),
  )
  expect(textOfNumbers([0.1, 0.2])).toBeUndefined()
})
