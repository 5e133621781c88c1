import {
  type IndexStats,
  MastraVector,
  type QueryResult,
  type QueryVectorParams,
  type UpsertVectorParams,
} from '@mastra/core/vector'
import { isStorageError, StorageError } from '../errors.ts'
import type { EmbeddingModel, RecalledMessage } from '../repositories/embeddings/types.ts'
import type { Storage, StorageScope } from '../storage/types.ts'
import { checkStorage, invalid } from './invalid.ts'
import { type MastraTextEmbedder, textEmbedder, textOfNumbers } from './mastra-embedder.ts'
import { resourceOf } from './mastra-messages.ts'
import { Threads } from './mastra-threads.ts'
import { StoreModel } from './store-model.ts'
import { isPlainObject } from './tagged-json.ts'

/** The prefixes of the names of Mastra's message indexes: of its memory, and of its processor. */
const MESSAGES = ['memory_messages', 'mastra_memory_']
/** How many messages one recall returns at most. */
const MAX_RECALLED = 100
/** How many threads are searched at a time. */
const MAX_SEARCHES = 8
const DEFAULT_TOP_K = 10

/** A message that was found, with the id of its resource. */
interface Found extends Pick<RecalledMessage, 'message' | 'score'> {
  resource: string | undefined
}

/** Options of `mastraVector()`. */
export interface MastraVectorOptions {
  /** The model that the storage was opened with. */
  embedding: EmbeddingModel
  /** The id of the vector store within Mastra. Default 'holdfast'. */
  id?: string | undefined
}

/**
 * Returns a vector store for Mastra's semantic recall, over the recall of a storage or a scope. The storage embeds the
 * messages with its own model, and their vectors go with them. Give `embedder` of the vector store to Mastra as well.
 *
 * @throws {INVALID_INPUT} when the model is not valid.
 *
 * @example
 * ```ts
 * import { mastraVector } from 'holdfast/mastra'
 * import { wordEmbedding } from 'holdfast/testing'
 * const vector = mastraVector(storage, { embedding: wordEmbedding() }) // the model of openStorage(config, { embedding })
 * console.log(await vector.listIndexes(), vector.embedder.modelId) // new Memory({ storage, vector, embedder: vector.embedder })
 * ```
 */
export function mastraVector(storage: Storage | StorageScope, options: MastraVectorOptions): HoldfastMastraVector {
  return new HoldfastMastraVector(storage, options)
}

/** A vector store of Mastra for the messages of a storage. Made by `mastraVector()`. */
export class HoldfastMastraVector extends MastraVector {
  /** The embedder for Mastra. It embeds nothing: this vector store embeds the queries. */
  readonly embedder: MastraTextEmbedder
  readonly #storage: Storage | StorageScope
  readonly #threads: Threads
  readonly #embedding: EmbeddingModel
  readonly #model: StoreModel

  /** @internal */
  constructor(storage: Storage | StorageScope, { embedding, id = 'holdfast' }: Partial<MastraVectorOptions> = {}) {
    super({ id })
    checkStorage(storage, 'messages')
    if (typeof embedding?.embed !== 'function')
      throw invalid('options.embedding', 'must be the model that the storage was opened with')
    const { dimensions: dims, timeoutMillis = 30_000 } = embedding
    const embed = (texts: string[]) =>
      embedding.embed(texts, { purpose: 'query', signal: AbortSignal.timeout(timeoutMillis) })
    this.embedder = textEmbedder(embedding.model)
    this.#storage = storage
    this.#threads = new Threads(storage)
    this.#embedding = embedding
    this.#model = new StoreModel({ dims, embed, timeoutMillis }, false)
  }

  /**
   * Returns the most similar messages of a thread, or of all threads of a resource, each with its ids. Up to 100. A message
   * that is not embedded yet is missing.
   *
   * @throws {INVALID_INPUT} when the filter names no thread and no resource, or something else, or the vector is not one of
   * the model.
   * @throws {INVALID_STATE} when the index is not one of messages, or the storage was opened without a model.
   * @throws {EMBEDDING_FAILED} when the model fails.
   */
  override async query({
    indexName,
    queryVector,
    topK = DEFAULT_TOP_K,
    filter,
  }: QueryVectorParams): Promise<QueryResult[]> {
    checkIndex(indexName)
    const { threadId, resourceId } = placeOf(filter)
    if (queryVector === undefined) throw invalid('queryVector', 'must be given')
    if (!Number.isInteger(topK) || topK < 1) throw invalid('topK', 'must be an integer of 1 or more')
    const limit = Math.min(topK, MAX_RECALLED)
    const vector = await this.#vectorOf(queryVector)
    if (vector === undefined) return []
    const found =
      threadId === undefined
        ? await this.#inResource(vector, resourceId, limit)
        : await this.#inThread(vector, threadId, resourceId, limit)
    return found.map(({ message: { id, sessionId }, score, resource }) => {
      return { id, score, metadata: { message_id: id, thread_id: sessionId, resource_id: resource } }
    })
  }

  async #vectorOf(given: readonly number[]): Promise<ArrayLike<number> | undefined> {
    const text = textOfNumbers(given)
    if (text === undefined) return given
    const { maxCharacters = 8000 } = this.#embedding
    const prepared = text.slice(0, maxCharacters).toWellFormed().trim()
    return prepared === '' ? undefined : this.#model.query(prepared)
  }

  async #inThread(
    vector: ArrayLike<number>,
    sessionId: string,
    resourceId: string | undefined,
    limit: number,
  ): Promise<Found[]> {
    const search = async (most: number) => {
      const { items } = await this.#storage.messages.recall('', { vector, mode: 'vector', sessionId, limit: most })
      return { isAll: items.length < most, found: await this.#ofResource(items, resourceId) }
    }
    const { isAll, found } = await search(limit)
    // Messages of another resource have taken places: take as many messages as a recall may return.
    if (found.length < limit && !isAll && limit < MAX_RECALLED)
      return (await search(MAX_RECALLED)).found.slice(0, limit)
    return found
  }

  /**
   * Searches all threads of a resource. In a scope one recall of the owner's messages is often enough: it returns the most
   * similar messages, and enough of them are of the resource. Otherwise each thread is searched, so that messages of other
   * resources take no place in the result.
   */
  async #inResource(vector: ArrayLike<number>, resourceId: string | undefined, limit: number): Promise<Found[]> {
    if ('ownerId' in this.#storage) {
      const items = await this.#ofOwner(vector)
      const found = await this.#ofResource(items, resourceId)
      if (found.length >= limit || (items.length > 0 && items.length < MAX_RECALLED)) return found.slice(0, limit)
    }
    const threads = await this.#threads.idsOf(resourceId ?? '')
    const all: Found[] = []
    for (let start = 0; start < threads.length; start += MAX_SEARCHES) {
      const some = threads.slice(start, start + MAX_SEARCHES)
      const found = await Promise.all(some.map(({ id }) => this.#inThread(vector, id, resourceId, limit)))
      all.push(...found.flat())
      all.sort((a, b) => b.score - a.score).splice(limit)
    }
    return all
  }

  async #ofOwner(vector: ArrayLike<number>): Promise<RecalledMessage[]> {
    try {
      return (await this.#storage.messages.recall('', { vector, mode: 'vector', limit: MAX_RECALLED })).items
    } catch (error) {
      // Without pgvector the owner may have too many vectors for one recall, and a thread fewer.
      if (isStorageError(error, 'INVALID_STATE')) return []
      throw error
    }
  }

  /**
   * Returns the messages of a resource, with the id of the resource. A message without a resource of its own has the resource of
   * its thread.
   */
  async #ofResource(items: readonly RecalledMessage[], resourceId: string | undefined): Promise<Found[]> {
    const others = items.filter(({ message }) => resourceOf(message) === undefined)
    const ids = [...new Set(others.map(({ message }) => message.sessionId))]
    const threads = new Map(await Promise.all(ids.map(async (id) => [id, await this.#threads.get(id)] as const)))
    return items.flatMap(({ message, score }) => {
      const resource = resourceOf(message) ?? threads.get(message.sessionId)?.resourceId
      return resourceId === undefined || resource === resourceId ? [{ message, score, resource }] : []
    })
  }

  /**
   * Returns the ids of the vectors. Nothing is stored: the storage embeds the messages by itself.
   *
   * @throws {INVALID_STATE} when the index is not one of messages.
   */
  override async upsert({ indexName, vectors, ids, metadata }: UpsertVectorParams): Promise<string[]> {
    checkIndex(indexName)
    return vectors.map((_, i) => ids?.[i] ?? String(metadata?.[i]?.message_id ?? i))
  }

  /**
   * Creates nothing: the messages of the storage are the only index.
   *
   * @throws {INVALID_STATE} when the index is not one of messages.
   */
  override async createIndex({ indexName }: { indexName: string }): Promise<void> {
    checkIndex(indexName)
  }

  /** Returns the name of the only index. */
  override async listIndexes(): Promise<string[]> {
    return ['memory_messages']
  }

  /**
   * Returns the dimensions of the model, and how many messages and memories it has embedded.
   *
   * @throws {INVALID_STATE} when the index is not one of messages, or in a scope, which counts nothing.
   */
  override async describeIndex({ indexName }: { indexName: string }): Promise<IndexStats> {
    checkIndex(indexName)
    if (!('stats' in this.#storage))
      throw refused('A scope does not count its vectors: describe the index of the storage')
    const { embeddings } = await this.#storage.stats()
    const { model, dimensions } = this.#embedding
    return { dimension: dimensions, count: embeddings?.models[`${model}/${dimensions}`] ?? 0, metric: 'cosine' }
  }

  /**
   * Removes nothing: the storage removes a vector with its message. Mastra calls this method when it removes or changes messages.
   *
   * @throws {INVALID_STATE} when the index is not one of messages.
   */
  override async deleteVectors({ indexName }: { indexName: string }): Promise<void> {
    checkIndex(indexName)
  }

  /**
   * Refuses: the storage removes a vector with its message.
   *
   * @throws {INVALID_STATE} when it is called.
   */
  override async deleteVector(): Promise<void> {
    throw refused('A vector goes with its message: delete the message')
  }

  /**
   * Refuses: the storage embeds a message again when it has changed.
   *
   * @throws {INVALID_STATE} when it is called.
   */
  override async updateVector(): Promise<void> {
    throw refused('A vector follows its message: change the message')
  }

  /**
   * Refuses: the vectors of a model are removed by `storage.removeEmbeddings()`.
   *
   * @throws {INVALID_STATE} when it is called.
   */
  override async deleteIndex(): Promise<void> {
    throw refused('The vectors of a model are removed by storage.removeEmbeddings()')
  }
}

function checkIndex(name: string): void {
  if (MESSAGES.some((start) => name.startsWith(start))) return
  throw refused('Only the messages of the memory are indexed: give other vectors to a vector store of Mastra')
}

function refused(message: string): StorageError<'INVALID_STATE'> {
  return new StorageError('INVALID_STATE', message)
}

/** Returns the thread and the resource that a filter names: at least one, so that nobody finds the messages of others. */
function placeOf(filter: unknown): { threadId: string | undefined; resourceId: string | undefined } {
  const all =
    isPlainObject(filter) && Array.isArray(filter.$and) && Object.keys(filter).length === 1 ? filter.$and : [filter]
  const named = new Map<string, unknown>()
  for (const [name, wanted] of all.flatMap((part) => Object.entries(Object(part)))) {
    const value: unknown = isPlainObject(wanted) && Object.keys(wanted).join() === '$eq' ? wanted.$eq : wanted
    const isOther = named.has(name) && named.get(name) !== value
    if ((name !== 'thread_id' && name !== 'resource_id') || typeof value !== 'string' || isOther) throw invalidFilter()
    named.set(name, value)
  }
  if (named.size === 0) throw invalidFilter()
  const textOf = (name: string) => (named.has(name) ? String(named.get(name)) : undefined)
  return { threadId: textOf('thread_id'), resourceId: textOf('resource_id') }
}

function invalidFilter(): StorageError {
  return invalid('filter', 'must name a thread_id, a resource_id or both, and nothing else')
}
